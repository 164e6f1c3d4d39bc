"""Settings: what is accepted, what is refused and how, and what nobody may see."""

import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.config import Settings, load_settings, read_settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.engines.base import Workplace
from hhh.services.targets import TargetService
from hhh.storages.registry import open_storage

KEY = "0123456789abcdef" * 3


def load(folder: Path, dotenv: str = "", **names: str) -> Settings:
    (folder / "settings.env").write_text(dotenv)
    return load_settings({"HHH_DATA_DIR": str(folder / "data"), **names}, dotenv=folder / "settings.env")


def test_defaults_need_nothing_but_a_folder(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.own_database_url == f"sqlite:///{tmp_path}/data/hhh.db"
    assert settings.default_storage_url == f"file://{tmp_path}/data/backups"
    assert (settings.env, settings.port, settings.auto_migrate, settings.cookies_are_secure) == (
        "dev",
        8000,
        True,
        False,
    )
    assert settings.scratch_dir == Path("/tmp")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_token_of_a_client_is_no_setting_and_none_that_is_unknown(tmp_path: Path) -> None:
    settings = load_settings({"HHH_TOKEN": "hhh_x", "HHH_DATA_DIR": str(tmp_path)}, dotenv=tmp_path / "none.env")
    assert "hhh_x" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("HHH_DATABASE_URI", "HHH_DATABASE_URL"), ("HHH_STORAGE", "HHH_STORAGE_URL"), ("HHH_SECRETKEY", "HHH_SECRET_KEY")],
)
def test_an_unknown_name_is_refused_with_the_nearest_right_one(tmp_path: Path, wrong: str, nearest: str) -> None:
    for where in ({wrong: "x"}, {"dotenv": f"{wrong}=x"}):
        with pytest.raises(ConfigurationError) as refused:
            load(tmp_path, **where)
        assert refused.value.message == f"Unknown setting {wrong}"
        assert refused.value.hint == f"did you mean {nearest}?"


def test_a_name_that_is_near_to_nothing_gets_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="known are HHH_ENV, HHH_DATA_DIR"):
        load(tmp_path, HHH_XYZZYXYZZYXYZZYXYZZY="x")


def test_names_of_others_are_left_alone(tmp_path: Path) -> None:
    load(tmp_path, PATH="/bin", XHHH_THING="x", dotenv="SOMETHING=else")


def test_lists_are_separated_by_commas(tmp_path: Path) -> None:
    settings = load(tmp_path, HHH_CORS_ORIGINS=" https://a.example , https://b.example,", HHH_RESTORE_DIRS="/a,b")
    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.restore_dirs == [Path("/a"), Path.cwd() / "b"]
    assert settings.trusted_proxies == []


def test_a_part_of_what_is_stored_is_read_back_each_day_unless_told_otherwise(tmp_path: Path) -> None:
    read_back = [load(tmp_path, HHH_READ_BACK_PERCENT=typed).read_back_percent for typed in ("", "0", "2.5", "100")]
    assert read_back == [4, 0, 2.5, 100]
    for wrong in ("-1", "101", "4%", "nan"):
        with pytest.raises(ConfigurationError, match="HHH_READ_BACK_PERCENT"):
            load(tmp_path, HHH_READ_BACK_PERCENT=wrong)


def test_the_user_of_drills_is_handed_on_as_it_is_named(tmp_path: Path) -> None:
    assert load(tmp_path).drill_user is None
    assert load(tmp_path, HHH_DRILL_USER="prover").drill_user == "prover"


def test_an_empty_value_is_no_value(tmp_path: Path) -> None:
    settings = load(tmp_path, HHH_PORT="", HHH_STORAGE_URL="", HHH_PG_BIN_DIR="")
    assert (settings.port, settings.pg_bin_dir) == (8000, None)
    assert settings.default_storage_url.startswith("file://")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, dotenv="HHH_PORT=1\nHHH_HOST='0.0.0.0'\n# HHH_NONSENSE=1\n", HHH_PORT="2")
    assert (settings.port, settings.host) == (2, "0.0.0.0")


def test_variables_of_the_stores_are_exported_from_the_file_but_win_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AZURE_STORAGE_ACCOUNT_NAME", "GOOGLE_SERVICE_ACCOUNT", "OTHER_NAME"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "from-the-environment")
    load(
        tmp_path,
        dotenv="AWS_ACCESS_KEY_ID=id\nAZURE_STORAGE_ACCOUNT_NAME=me\nGOOGLE_SERVICE_ACCOUNT=g\nAWS_REGION=x\nOTHER_NAME=o",
    )
    assert os.environ["AWS_ACCESS_KEY_ID"] == "id"
    assert os.environ["AZURE_STORAGE_ACCOUNT_NAME"] == "me"
    assert os.environ["GOOGLE_SERVICE_ACCOUNT"] == "g"
    assert os.environ["AWS_REGION"] == "from-the-environment"
    assert "OTHER_NAME" not in os.environ


def test_production_is_told_of_the_key_that_was_made_before(tmp_path: Path) -> None:
    made = load(tmp_path).secret
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, HHH_ENV="production")
    assert f"what {tmp_path / 'data' / 'secret.key'} holds" in str(refused.value)
    assert made.decode() not in str(refused.value)


def test_production_needs_a_secret_key_and_has_secure_cookies(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="HHH_SECRET_KEY is required in production"):
        load(tmp_path, HHH_ENV="production")
    settings = load(tmp_path, HHH_ENV="production", HHH_SECRET_KEY=KEY)
    assert settings.secret == KEY.encode()
    assert settings.cookies_are_secure
    assert not load(tmp_path, HHH_ENV="production", HHH_SECRET_KEY=KEY, HHH_COOKIE_SECURE="false").cookies_are_secure


def test_in_dev_the_secret_key_is_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    first = load(tmp_path).secret
    kept = tmp_path / "data" / "secret.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert load(tmp_path).secret == first
    assert len(first) >= 32
    kept.write_text("")
    with pytest.raises(ConfigurationError, match=r"secret\.key"):
        _ = load(tmp_path).secret


def test_values_of_the_wrong_form_are_named_and_secrets_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, HHH_PORT="many", HHH_ENV="staging", HHH_COOKIE_SECURE="perhaps", HHH_ADMIN_PASSWORD="hunter2")
    for name in ("HHH_PORT", "HHH_ENV", "HHH_COOKIE_SECURE"):
        assert name in str(refused.value)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="HHH_PORT"):
        load(tmp_path, HHH_PORT="65536")


def test_no_secret_is_seen_in_a_repr(tmp_path: Path) -> None:
    secrets = {
        "HHH_SECRET_KEY": KEY,
        "HHH_ADMIN_PASSWORD": "hunter2-admin",
        "HHH_DATABASE_URL": "postgresql://u:hunter2-db@h/d",
        "HHH_STORAGE_URL": "s3://bucket/hunter2-prefix",
    }
    settings = load(tmp_path, **secrets)
    for shown in (repr(settings), str(settings), str(settings.model_dump())):
        assert "hunter2" not in shown
        assert KEY not in shown


def test_a_data_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for unusable in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(ConfigurationError, match="HHH_DATA_DIR"):
            load(tmp_path, HHH_DATA_DIR=str(unusable))


def test_settings_that_are_only_read_make_no_folder_and_require_no_secret(tmp_path: Path) -> None:
    environment = {"HHH_ENV": "production", "HHH_DATA_DIR": str(tmp_path / "data")}
    settings = read_settings(environment, dotenv=tmp_path / "none.env")
    assert (settings.env, settings.data_dir) == ("production", tmp_path / "data")
    assert not settings.data_dir.exists()
    with pytest.raises(ConfigurationError, match="HHH_SECRET_KEY"):
        load_settings(environment, dotenv=tmp_path / "none.env")


def test_only_what_is_given_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHH_PORT", "9")
    monkeypatch.setenv("hhh_host", "192.0.2.1")
    settings = load(tmp_path)
    assert (settings.port, settings.host) == (8000, "127.0.0.1")


@pytest.mark.parametrize("name", ["dätä", "a b", "100%", "a%41", "a#b", "a?b", "a:b@c,(d)+e"])
def test_a_folder_of_any_name_holds_database_and_backups(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, HHH_DATA_DIR=str(tmp_path / name))
    database, storage = Database(settings.own_database_url), open_storage(settings.default_storage_url)
    with database.transaction() as session:
        session.execute(text("SELECT 1"))
    database.close()
    storage.create("a", b"1")
    assert (tmp_path / name / "hhh.db").is_file()
    assert (tmp_path / name / "backups" / "a").is_file()
    own = TargetService(settings, database).find("app")
    assert own.engine.inspect(own.url, Workplace(tmp_path)).description == "SQLite, 0 tables"
    assert own.engine.validate(own.masked_url) == own.engine.validate(own.url)
