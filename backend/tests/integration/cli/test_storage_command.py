"""`hhh storage` and the policies of `hhh target`, where no server runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli import backup, catalogue, storage, target
from hhh.core.errors import InUse, InvalidInput
from support.s3 import S3Bucket
from support.sqlite_data import make_sqlite_database

pytestmark = pytest.mark.usefixtures("installation")


def run(command: object, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(command.app, list(arguments), input=typed)  # type: ignore[attr-defined]


def must(command: object, *arguments: str, typed: str = "") -> str:
    done = run(command, *arguments, typed=typed)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def shown(command: object, name: str) -> dict[str, object]:
    return dict(json.loads(must(command, "show", name, "--json")))


def test_a_store_with_secrets_from_standard_input_works(s3: S3Bucket) -> None:
    plain = ["--option", f"access_key_id={s3.access_key_id}", "--option", f"endpoint_url={s3.endpoint}"]
    must(
        storage,
        "add",
        "remote",
        s3.url("p"),
        *plain,
        "--secret",
        "secret_access_key",
        typed=s3.secret_access_key + "\n",
    )

    assert "FAIL" not in must(storage, "test", "remote")
    assert json.loads(must(storage, "test", "remote", "--json"))["ok"] is True
    for output in (must(storage, "list"), must(storage, "show", "remote"), must(storage, "list", "--json")):
        assert s3.secret_access_key not in output
        assert "secret_access_key" in output
    must(storage, "set", "remote", "--option", "region=eu-1")
    assert "FAIL" not in must(storage, "test", "remote")


def test_a_secret_may_be_all_that_a_file_holds(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    must(storage, "add", "remote", "s3://b", "--option", "access_key_id=k", "--secret-file", "secret_access_key=key")
    assert shown(storage, "remote")["secrets"] == ["secret_access_key"]


@pytest.mark.parametrize(
    ("arguments", "typed", "saying"),
    [
        (["--option", "secret_access_key=s3cret"], "", "read arguments"),
        (["--option", "access_key_id"], "", "needs a name and a value"),
        (["--option", "access_key_id=k", "--secret", "secret_access_key"], "", "No secret_access_key came"),
        (["--option", "acces_key_id=k"], "", "did you mean access_key_id"),
        (["--secret", "secret_acces_key"], "s3cret\n", "did you mean secret_access_key"),
    ],
)
def test_options_that_can_not_be_used_are_refused(arguments: list[str], typed: str, saying: str) -> None:
    refused = run(storage, "add", "remote", "s3://b", *arguments, typed=typed)
    assert isinstance(refused.exception, InvalidInput)
    assert saying in str(refused.exception)
    assert "s3cret" not in str(refused.exception) + refused.output


def test_what_does_not_work_is_told_by_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    must(storage, "add", "bad", f"file://{tmp_path}/file/folder")
    must(target, "add", "bad", f"sqlite:///{tmp_path}/missing.db")
    for command in (storage, target):
        tried = run(command, "test", "bad")
        assert (tried.exit_code, "FAIL" in tried.output) == (1, True)


def test_a_policy_is_set_changed_in_parts_and_shown(tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db", megabytes=0.02)
    must(storage, "add", "other", f"file://{tmp_path}/other")
    stores = ["--storage", "default", "--storage", "other", "--minimum-copies", "1"]
    rules = ["--keep-last", "7", "--keep-daily", "30", "--max-age", "90d", "--max-total-size", "50GB"]
    must(
        target, "add", "shop", f"sqlite:///{tmp_path}/shop.db", *stores, "--retries", "3", "--time-limit", "2h", *rules
    )

    first = shown(target, "shop")
    must(target, "set", "shop", "--keep-daily", "0", "--keep-weekly", "4", "--max-age", "none", "--minimum-copies", "0")
    second = shown(target, "shop")
    must(target, "set", "shop", "--keep-all", "--time-limit", "none", "--storage", "default")
    third = shown(target, "shop")

    assert (first["storages"], first["minimum_copies"], first["retries"]) == (["default", "other"], 1, 3)
    assert first["time_limit_seconds"] == 7200
    kept = [{name: value for name, value in dict(each["retention"]).items() if value} for each in (first, second)]  # type: ignore[call-overload]
    assert kept == [
        {"keep_last": 7, "daily": 30, "maximum_age_days": 90, "maximum_total_bytes": 50 * 10**9, "minimum_kept": 1},
        {"keep_last": 7, "weekly": 4, "maximum_total_bytes": 50 * 10**9, "minimum_kept": 1},
    ]
    assert (second["storages"], second["minimum_copies"]) == (["default", "other"], None)
    assert (third["retention"], third["time_limit_seconds"], third["storages"]) == (None, None, ["default"])
    assert third["retries"] == 3
    assert "everything is kept" in must(target, "show", "shop")
    assert "SQLite" in must(target, "test", "shop")


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["--storage", "nowhere"], "No store is named 'nowhere'"),
        (["--minimum-copies", "2"], "can't be in 1 store"),
        (["--time-limit", "long"], "no duration"),
        (["--max-total-size", "big"], "no size"),
        (["--keep-all", "--keep-last", "1"], "leaves no rule"),
        (["--retries", "9999"], "retries"),
        (["--url", "sqlite:////x.db"], "HHH_DATABASE_URL"),
    ],
)
def test_a_policy_that_can_not_be_is_refused(arguments: list[str], saying: str) -> None:
    refused = run(target, "set", "app", *arguments)
    assert isinstance(refused.exception, InvalidInput)
    assert saying in str(refused.exception)


def test_a_store_in_use_is_not_removed(tmp_path: Path) -> None:
    must(storage, "add", "other", f"file://{tmp_path}/other")
    must(target, "set", "app", "--storage", "other")
    assert isinstance(run(storage, "remove", "other").exception, InUse)
    must(target, "set", "app", "--storage", "default")
    assert "still in the store" in must(storage, "remove", "other", "--copies", "forget")


def test_a_target_that_goes_tells_what_stays() -> None:
    must(target, "add", "shop", "-", typed="postgresql://u:s3cret@h/d\n")
    must(target, "set", "shop", "--url", "-", typed="postgresql://u@h/d2\n")
    assert shown(target, "shop")["url"] == "postgresql://u:***@h/d2"
    assert "Backups of it that stay: 0" in must(target, "remove", "shop")


def test_a_store_that_was_forgotten_is_found_again_by_its_name(tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db", megabytes=0.02)
    must(storage, "add", "other", f"file://{tmp_path}/other")
    must(target, "add", "shop", f"sqlite:///{tmp_path}/shop.db", "--storage", "other")
    must(backup, "run", "shop")
    must(target, "set", "shop", "--storage", "default")
    must(storage, "remove", "other", "--copies", "forget-backups")
    assert json.loads(must(backup, "list", "--json")) == []

    must(storage, "add", "again", f"file://{tmp_path}/other")
    must(catalogue, "rebuild", "--storage", "again")

    (found,) = json.loads(must(backup, "list", "--json"))
    assert [copy["storage"] for copy in found["copies"]] == ["again"]
