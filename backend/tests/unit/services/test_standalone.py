"""A restore without a service: where it goes, what has to be typed, whose signature counts, and what it leaves."""

import dataclasses
from pathlib import Path

import pytest

from hhh.core.config import Settings, read_settings
from hhh.core.errors import InvalidInput
from hhh.core.signing import load_or_make
from hhh.engines.restoring import Destination, RestoreMode
from hhh.schemas.facts import DatabaseProperties, LargeObjectFacts, PostgresqlFacts
from hhh.services.choosing import Choice, ChosenBackup, choose
from hhh.services.standalone import Aim, known_keys, standalone
from hhh.storages.local import LocalStorage
from support.stored_backups import BackupMaker

POSTGRESQL = PostgresqlFacts(
    server_version="16.4",
    system_identifier=None,
    database=DatabaseProperties(
        name="shop",
        owner="clerk",
        encoding="UTF8",
        locale_provider="libc",
        collation="C",
        character_type="C",
        icu_locale=None,
        collation_version=None,
        settings=[],
    ),
    tables=[],
    sequences=[],
    large_objects=LargeObjectFacts(count=0, total_bytes=0),
    extensions=[],
    roles=[],
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a machine without any installation."""
    environment = {"HHH_DATA_DIR": str(tmp_path / "var"), "HHH_SCRATCH_DIR": str(tmp_path / "scratch")}
    return read_settings(environment, dotenv=tmp_path / "none.env")


@pytest.fixture
def sqlite(tmp_path: Path) -> ChosenBackup:
    BackupMaker(LocalStorage(tmp_path / "sqlite")).store(b"content")
    return choose(Choice((tmp_path / "sqlite").as_uri()), None)


@pytest.fixture
def postgresql(tmp_path: Path) -> ChosenBackup:
    BackupMaker(LocalStorage(tmp_path / "postgresql")).store(b"content", facts=POSTGRESQL)
    return choose(Choice((tmp_path / "postgresql").as_uri()), None)


def destination(backup: ChosenBackup, aim: Aim, settings: Settings, **environment: str) -> Destination:
    with standalone(backup, aim, settings, environment=environment) as restoration:
        return restoration.destination


def test_a_path_is_taken_from_the_folder_that_one_is_in(
    sqlite: ChosenBackup, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for to in ("a b%20#.db", str(tmp_path / "x/../a b%20#.db"), f"sqlite:///{tmp_path}/a b%2520%23.db"):
        found = destination(sqlite, Aim(to), settings)
        assert (found.name, found.mode) == (str(tmp_path / "a b%20#.db"), RestoreMode.NEW)
        assert found.url == f"sqlite:///{tmp_path}/a b%2520%23.db"


def test_a_url_names_the_database_and_its_password_may_be_elsewhere(
    postgresql: ChosenBackup, settings: Settings
) -> None:
    found = destination(postgresql, Aim("postgresql://clerk@db/new%20one"), settings, PGPASSWORD="secret")
    assert (found.name, found.url) == ("new one", "postgresql://clerk:secret@db/new%20one")
    assert "secret" not in repr(found)


def test_a_destination_of_another_kind_is_refused(
    sqlite: ChosenBackup, postgresql: ChosenBackup, settings: Settings
) -> None:
    with pytest.raises(InvalidInput, match="of a SQLite database"):
        destination(sqlite, Aim("postgresql://clerk@db/new"), settings)
    for to in ("new.db", "sqlite:////new.db"):
        with pytest.raises(InvalidInput, match="of a PostgreSQL database"):
            destination(postgresql, Aim(to), settings)


def test_what_is_replaced_has_to_be_typed_unless_it_is_only_planned(
    sqlite: ChosenBackup, postgresql: ChosenBackup, settings: Settings, tmp_path: Path
) -> None:
    file = Aim(str(tmp_path / "app.db"), RestoreMode.REPLACE)
    database = Aim("postgresql://clerk@db/shop", RestoreMode.REPLACE)
    for backup, aim, wrong in ((sqlite, file, "app"), (postgresql, database, "clerk"), (sqlite, file, None)):
        with pytest.raises(InvalidInput, match="It would replace"):
            destination(backup, dataclasses.replace(aim, confirm=wrong), settings)
    for typed in ("app.db", str(tmp_path / "app.db")):
        assert destination(sqlite, dataclasses.replace(file, confirm=typed), settings).mode is RestoreMode.REPLACE
    assert destination(postgresql, dataclasses.replace(database, confirm="shop"), settings).name == "shop"
    assert destination(sqlite, dataclasses.replace(file, only_planned=True), settings).name == file.to


def test_each_restore_has_a_token_of_its_own_and_scratch_that_ends_with_it(
    sqlite: ChosenBackup, settings: Settings, tmp_path: Path
) -> None:
    aim = Aim(str(tmp_path / "new.db"))
    with standalone(sqlite, aim, settings) as one, standalone(sqlite, aim, settings) as other:
        assert one.destination.token != other.destination.token
        assert len(one.destination.token) == 8
        assert one.workplace.scratch.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "var").exists()


def test_scratch_of_a_restore_that_was_killed_is_swept_by_the_next_one_and_that_of_a_living_one_is_not(
    sqlite: ChosenBackup, settings: Settings, tmp_path: Path
) -> None:
    aim = Aim(str(tmp_path / "new.db"))
    killed = settings.scratch_dir / "hhh-scratch-restore-x_y"
    with standalone(sqlite, aim, settings) as living:
        for folder in (killed, living.workplace.scratch):
            folder.mkdir(exist_ok=True)
            (folder / "dump").write_bytes(b"secret")
        with standalone(sqlite, aim, settings):
            assert not killed.exists()
            assert (living.workplace.scratch / "dump").exists()


def test_the_keys_of_an_installation_that_is_here_count_and_none_is_made(settings: Settings, tmp_path: Path) -> None:
    assert known_keys(settings, ()) is None
    assert known_keys(settings, ("named",)) == frozenset({"named"})
    assert not (tmp_path / "var").exists()
    own = load_or_make(settings.signing_key_path).public_key
    assert known_keys(settings, ("named",)) == frozenset({"named", own})
    older = settings.model_copy(update={"trusted_keys": [own], "data_dir": tmp_path / "other"})
    assert known_keys(older, ()) == frozenset({own})
