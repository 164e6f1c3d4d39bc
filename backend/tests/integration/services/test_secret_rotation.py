"""Another HHH_SECRET_KEY: all is sealed with it, or nothing, and no process goes on with the old one unseen."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, HHHError, InvalidInput
from hhh.models import User, UserSession
from hhh.services import second_factor
from hhh.services.container import Services, assemble
from hhh.services.secret_rotation import finish_interrupted, new_key, rotate
from support.local_services import settings_in
from support.second_factor import code_at, with_second_factor
from support.sign_in import EMAIL, PASSWORD, make_user, sign_in, web_app

OLD, NEW = "old-key-" * 8, "new-key-" * 8
URL = "postgresql://reader:s3cret@db.example.com/shop"
KEY = {"access_key_id": "key", "secret_access_key": "t0psecret"}


def with_secrets(settings: Settings, database: Database) -> Services:
    services = assemble(settings, database)
    services.targets.add("shop", URL)
    services.stores.add("remote", "s3://bucket", KEY)
    return services


def opened(settings: Settings, database: Database) -> list[bool]:
    """Whether a process with these settings opens all secrets."""
    services = assemble(settings, database)
    targets, stores = services.targets.list()[1:], services.stores.list()[1:]
    return [each.problem is None for each in targets] + [each.problem is None for each in stores]


def test_everything_is_sealed_with_the_new_key_alone(tmp_path: Path, own_database: Database) -> None:
    old, new = settings_in(tmp_path, secret_key=OLD), settings_in(tmp_path, secret_key=NEW)
    services = with_secrets(old, own_database)
    services.identity.agree()

    rotation = rotate(old, own_database, NEW)

    assert (rotation.targets, rotation.stores, rotation.left) == (1, 1, ())
    assert opened(new, own_database) == [True, True]
    assert assemble(new, own_database).targets.find("shop").url == URL
    assemble(new, own_database).identity.refuse_other_keys()
    assert opened(old, own_database) == [False, False]
    with pytest.raises(ConfigurationError):
        services.identity.refuse_other_keys()


def test_second_factors_are_sealed_with_the_new_key_and_go_on(tmp_path: Path, own_database: Database) -> None:
    old, new = settings_in(tmp_path, secret_key=OLD), settings_in(tmp_path, secret_key=NEW)
    now = datetime(2025, 1, 1, 12, tzinfo=UTC)
    secret, _ = with_second_factor(own_database, old, make_user(own_database), now=now)
    make_user(own_database, email="ann@example.com")

    assert rotate(old, own_database, NEW).second_factors == 1

    with own_database.transaction() as session:
        user = session.scalars(select(User).where(User.email == EMAIL)).one()
        with pytest.raises(ConfigurationError):
            second_factor.accept(session, old, user, code_at(secret, now), now=now)
        assert second_factor.accept(session, new, user, code_at(secret, now), now=now)


def test_all_sessions_end(tmp_path: Path, sqlite_database: Database) -> None:
    from fastapi.testclient import TestClient

    settings = settings_in(tmp_path, secret_key=OLD)
    make_user(sqlite_database)
    with TestClient(web_app(settings, sqlite_database)) as client:
        sign_in(client, email=EMAIL, password=PASSWORD)
        rotate(settings, sqlite_database, NEW)
        assert client.post("/api/v1/auth/refresh").status_code == 401
    with sqlite_database.snapshot() as session:
        assert session.query(UserSession).count() == 0


def test_a_process_with_the_old_key_seals_nothing_any_more(tmp_path: Path, own_database: Database) -> None:
    old = settings_in(tmp_path, secret_key=OLD)
    running = with_secrets(old, own_database)
    store = running.stores.find("remote")
    rotate(old, own_database, NEW)

    with pytest.raises(ConfigurationError, match="rotated"):
        running.targets.add("late", URL)
    with pytest.raises(ConfigurationError, match="rotated"):
        running.stores.add("late", "s3://other", KEY)
    with pytest.raises(ConfigurationError, match="rotated"):
        running.targets.find("shop")
    assert running.stores.find("remote") is store


def test_a_key_that_the_service_keeps_is_replaced(tmp_path: Path, own_database: Database) -> None:
    old = settings_in(tmp_path)
    with_secrets(old, own_database)
    before, key = old.secret, new_key()

    rotate(old, own_database, key)

    assert settings_in(tmp_path).secret == key.encode() != before
    assert opened(settings_in(tmp_path), own_database) == [True, True]
    assert [file.name for file in old.data_dir.glob("secret*")] == ["secret.key"]
    assert (old.data_dir / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_crash_before_the_key_is_in_its_place_is_seen_to_by_the_next_command(
    tmp_path: Path, own_database: Database
) -> None:
    old = settings_in(tmp_path)
    with_secrets(old, own_database)
    place, kept = old.data_dir / "secret.key", tmp_path / "kept"
    place.rename(kept)
    (place / "in the way").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="can't be used"):
        rotate(old, own_database, NEW)
    shutil.rmtree(place)
    kept.rename(place)
    assert opened(settings_in(tmp_path), own_database) == [False, False]

    finish_interrupted(settings_in(tmp_path), own_database)

    assert opened(settings_in(tmp_path), own_database) == [True, True]
    assert not place.with_name("secret.key.new").exists()


def test_a_crash_before_the_commit_leaves_the_old_key(tmp_path: Path, own_database: Database) -> None:
    old = settings_in(tmp_path)
    with_secrets(old, own_database)
    (old.data_dir / "secret.key.new").write_text(NEW)

    finish_interrupted(settings_in(tmp_path), own_database)

    assert opened(settings_in(tmp_path), own_database) == [True, True]
    rotate(settings_in(tmp_path), own_database, new_key())
    assert opened(settings_in(tmp_path), own_database) == [True, True]


def test_a_rotation_that_fails_in_the_middle_changes_nothing(tmp_path: Path, sqlite_database: Database) -> None:
    old = settings_in(tmp_path)
    with_secrets(old, sqlite_database)
    with sqlite_database.transaction() as session:
        session.execute(text("CREATE TRIGGER no BEFORE UPDATE ON installation BEGIN SELECT RAISE(ROLLBACK, 'no'); END"))
        session.execute(
            text("CREATE TRIGGER no2 BEFORE INSERT ON installation BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
        )
    with pytest.raises(IntegrityError, match="no"):
        rotate(old, sqlite_database, NEW)
    finish_interrupted(settings_in(tmp_path), sqlite_database)
    assert opened(settings_in(tmp_path), sqlite_database) == [True, True]


def test_of_rotations_at_once_one_happens_and_no_secret_is_lost(tmp_path: Path, own_database: Database) -> None:
    with_secrets(settings_in(tmp_path), own_database)

    def turn(number: int) -> int:
        settings = settings_in(tmp_path)
        try:
            if number % 2:
                assemble(settings, own_database).targets.add(f"late{number}", URL)
                return 0
            rotate(settings, own_database, new_key())
        except HHHError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as crowd:
        assert sum(crowd.map(turn, range(8))) >= 1
    assert all(opened(settings_in(tmp_path), own_database))


def test_what_the_old_key_never_opened_is_left_and_told(tmp_path: Path, own_database: Database) -> None:
    assemble(settings_in(tmp_path, secret_key="lost " * 8), own_database).targets.add("lost", URL)
    old = settings_in(tmp_path, secret_key=OLD)
    with_secrets(old, own_database)

    rotation = rotate(old, own_database, NEW)

    assert (rotation.targets, rotation.stores, rotation.left) == (1, 1, ("target lost",))
    assert assemble(settings_in(tmp_path, secret_key="lost " * 8), own_database).targets.find("lost").url == URL


@pytest.mark.parametrize("key", ["", "short", OLD, "x" * 31, "with spaces in it " * 4, "line\nbreak" * 8])
def test_bad_keys_are_refused(tmp_path: Path, sqlite_database: Database, key: str) -> None:
    old = settings_in(tmp_path, secret_key=OLD)
    with pytest.raises(InvalidInput):
        rotate(old, sqlite_database, key)


def test_a_wrong_present_key_is_refused_and_a_rotation_that_was_done_is_told(
    tmp_path: Path, own_database: Database
) -> None:
    old = settings_in(tmp_path, secret_key=OLD)
    with_secrets(old, own_database)
    with pytest.raises(ConfigurationError, match="is not the one"):
        rotate(settings_in(tmp_path, secret_key="wrong " * 8), own_database, NEW)
    rotate(old, own_database, NEW)
    with pytest.raises(InvalidInput, match="already"):
        rotate(old, own_database, NEW)
    with pytest.raises(ConfigurationError, match="is not the one"):
        rotate(old, own_database, new_key())
