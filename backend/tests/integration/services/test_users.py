"""Users, on both kinds of own database."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from hhh.core.actor import Actor, ActorKind, acting
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, HHHError, InvalidCredentials, InvalidInput, NotFound, SuperAdminRequired
from hhh.models import Role
from hhh.services import users
from hhh.services.auth import session_of_refresh_token
from hhh.services.known_places import Client
from hhh.services.sign_in import sign_in
from support.sign_in import EMAIL, PASSWORD, make_user


def roles(database: Database) -> dict[str, str]:
    with database.snapshot() as session:
        return {user.email: user.role for user in users.list_users(session)}


def signs_in(database: Database, settings: Settings, email: str, password: str) -> bool:
    try:
        sign_in(database, settings, email=email, password=password, client=Client("192.0.2.1"))
    except InvalidCredentials:
        return False
    return True


def test_a_user_is_made_and_listed_by_email(own_database: Database) -> None:
    make_user(own_database, email="zoe@example.com", role=Role.MEMBER)
    make_user(own_database, email=" Ann@Example.COM ", role=Role.ADMIN)

    assert list(roles(own_database).items()) == [("ann@example.com", "ADMIN"), ("zoe@example.com", "MEMBER")]


def test_an_email_is_taken_once_however_it_is_written(own_database: Database) -> None:
    make_user(own_database, email="ann@example.com")

    with pytest.raises(InvalidInput, match=r"There is a user ann@example\.com already"):
        make_user(own_database, email="ANN@example.com")

    assert len(roles(own_database)) == 1


def test_a_taken_email_spoils_nothing_else_of_the_transaction(own_database: Database) -> None:
    make_user(own_database)

    with own_database.transaction() as session:
        users.create_user(session, email="ann@example.com", password=PASSWORD, role=Role.MEMBER)
        with pytest.raises(InvalidInput):
            users.create_user(session, email=EMAIL, password=PASSWORD, role=Role.MEMBER)

    assert set(roles(own_database)) == {EMAIL, "ann@example.com"}


@pytest.mark.parametrize(
    "email",
    ["", "nobody", "@", "a@", "@b", "a@b@c", "a b@c", "a\n@b", "a\0@b", "a\u200b@b", "a@b\udc80", "x" * 250 + "@long"],
)
def test_what_is_no_email_is_refused(sqlite_database: Database, email: str) -> None:
    with pytest.raises(InvalidInput, match="not an e-mail"):
        make_user(sqlite_database, email=email)


def test_a_short_password_is_refused_with_the_rule(sqlite_database: Database) -> None:
    with sqlite_database.transaction() as session:
        with pytest.raises(InvalidInput, match="at least 12 characters"):
            users.create_user(session, email=EMAIL, password="elevenchars", role=Role.MEMBER)
        with pytest.raises(InvalidInput, match="too long"):
            users.create_user(session, email=EMAIL, password="x" * 1025, role=Role.MEMBER)


def test_the_last_super_admin_stays_one(own_database: Database) -> None:
    make_user(own_database)
    make_user(own_database, email="second@example.com")

    with own_database.transaction() as session:
        users.set_role(session, email="second@example.com", role=Role.MEMBER)
        with pytest.raises(InvalidInput, match="last super admin"):
            users.set_role(session, email=EMAIL, role=Role.ADMIN)
        users.set_role(session, email=EMAIL, role=Role.SUPER_ADMIN)

    assert roles(own_database) == {EMAIL: "SUPER_ADMIN", "second@example.com": "MEMBER"}


def test_two_super_admins_who_are_demoted_at_the_same_time_leave_one(own_database: Database) -> None:
    emails = ["one@example.com", "two@example.com"]
    for email in emails:
        make_user(own_database, email=email)
    together = threading.Barrier(len(emails))

    def demote(email: str) -> bool:
        together.wait()
        try:
            with own_database.transaction() as session:
                users.set_role(session, email=email, role=Role.MEMBER)
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(demote, emails))

    assert sorted(done) == [False, True]
    assert sorted(roles(own_database).values()) == ["MEMBER", "SUPER_ADMIN"]


def test_nobody_of_that_name_is_told_so(own_database: Database) -> None:
    with own_database.transaction() as session:
        with pytest.raises(NotFound, match=r"no user x@example\.com"):
            users.set_role(session, email="x@example.com", role=Role.ADMIN)
        with pytest.raises(NotFound):
            users.set_password(session, email="x@example.com", password=PASSWORD)


def test_the_first_super_admin_is_the_one_of_the_settings(own_database: Database, settings: Settings) -> None:
    chosen = settings.model_copy(update={"admin_email": "Boss@example.com", "admin_password": secret(PASSWORD)})

    with own_database.transaction() as session:
        assert users.ensure_first_super_admin(chosen, session) is None
    with own_database.transaction() as session:
        assert users.ensure_first_super_admin(settings, session) is None

    assert roles(own_database) == {"boss@example.com": "SUPER_ADMIN"}
    assert signs_in(own_database, settings, "boss@example.com", PASSWORD)


def test_without_settings_the_first_super_admin_gets_a_password_that_is_told_once(
    own_database: Database, settings: Settings
) -> None:
    with own_database.transaction() as session:
        password = users.ensure_first_super_admin(settings, session)
    with own_database.transaction() as session:
        assert users.ensure_first_super_admin(settings, session) is None

    assert password is not None
    assert roles(own_database) == {"admin@localhost": "SUPER_ADMIN"}
    assert signs_in(own_database, settings, "admin@localhost", password)


def test_a_user_of_that_name_becomes_the_first_super_admin(sqlite_database: Database, settings: Settings) -> None:
    make_user(sqlite_database, email="boss@example.com", role=Role.MEMBER)
    chosen = settings.model_copy(
        update={"admin_email": "boss@example.com", "admin_password": secret("the operator's choice")}
    )

    with sqlite_database.transaction() as session:
        users.ensure_first_super_admin(chosen, session)

    assert roles(sqlite_database) == {"boss@example.com": "SUPER_ADMIN"}
    assert signs_in(sqlite_database, settings, "boss@example.com", "the operator's choice")


@pytest.mark.parametrize(
    ("values", "said"), [({"admin_password": "short"}, "at least 12"), ({"admin_email": "boss"}, "not an e-mail")]
)
def test_settings_that_make_no_super_admin_are_named(
    sqlite_database: Database, settings: Settings, values: dict[str, str], said: str
) -> None:
    given = {name: secret(value) if name == "admin_password" else value for name, value in values.items()}

    with pytest.raises(ConfigurationError, match=said) as raised, sqlite_database.transaction() as session:
        users.ensure_first_super_admin(settings.model_copy(update=given), session)

    assert "HHH_ADMIN_" in str(raised.value)
    assert roles(sqlite_database) == {}


def test_workers_that_start_together_make_one_first_super_admin(own_database: Database, settings: Settings) -> None:
    together = threading.Barrier(4)

    def start(_worker: int) -> str | None:
        together.wait()
        with own_database.transaction() as session:
            return users.ensure_first_super_admin(settings, session)

    with ThreadPoolExecutor() as pool:
        passwords = [password for password in pool.map(start, range(4)) if password]

    assert roles(own_database) == {"admin@localhost": "SUPER_ADMIN"}
    assert len(passwords) == 1
    assert signs_in(own_database, settings, "admin@localhost", passwords[0])


def test_a_password_is_in_no_message(sqlite_database: Database) -> None:
    with pytest.raises(HHHError) as raised, sqlite_database.transaction() as session:
        users.create_user(session, email=EMAIL, password="hunter2", role=Role.MEMBER)

    assert "hunter2" not in str(raised.value)


def secret(value: str) -> object:
    """The value as the settings hold it."""
    return Settings(admin_password=value).admin_password  # type: ignore[arg-type]


def test_a_removed_user_is_gone_with_their_sessions(own_database: Database, settings: Settings) -> None:
    make_user(own_database)
    make_user(own_database, email="ann@example.com")
    started = sign_in(own_database, settings, email="ann@example.com", password=PASSWORD, client=Client("192.0.2.1"))

    with own_database.transaction() as session:
        users.remove(session, email="Ann@example.com")

    assert set(roles(own_database)) == {EMAIL}
    with own_database.snapshot() as session:
        assert session_of_refresh_token(session, started.refresh_token) is None


def test_neither_the_last_super_admin_nor_who_asks_is_removed(own_database: Database) -> None:
    make_user(own_database)
    make_user(own_database, email="ann@example.com", role=Role.ADMIN)

    with own_database.transaction() as session, pytest.raises(InvalidInput, match="last super admin"):
        users.remove(session, email=EMAIL)
    make_user(own_database, email="zoe@example.com")
    me = Actor(ActorKind.USER, EMAIL)
    with acting(me), own_database.transaction() as session, pytest.raises(InvalidInput, match="themselves"):
        users.remove(session, email=EMAIL)

    assert set(roles(own_database)) == {EMAIL, "ann@example.com", "zoe@example.com"}


def test_of_two_super_admins_who_remove_each_other_one_stays(own_database: Database) -> None:
    both = [make_user(own_database, email=email).email for email in ("ann@example.com", "zoe@example.com")]
    both_are_there = threading.Barrier(2)

    def remove(email: str, by: str) -> bool:
        both_are_there.wait()
        try:
            with acting(Actor(ActorKind.USER, by)), own_database.transaction() as session:
                users.remove(session, email=email)
        except HHHError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(remove, reversed(both), both))

    assert sorted(done) == [False, True]
    assert len(roles(own_database)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda session: users.create_user(session, email="new@example.com", password=PASSWORD, role=Role.SUPER_ADMIN),
        lambda session: users.set_role(session, email="zoe@example.com", role=Role.SUPER_ADMIN),
        lambda session: users.set_password(session, email=EMAIL, password="another long password"),
        lambda session: users.remove(session, email="zoe@example.com"),
    ],
    ids=["make", "role", "password", "remove"],
)
def test_who_is_no_super_admin_any_longer_when_it_is_their_turn_changes_nobody(
    own_database: Database, change: Callable[[Session], object]
) -> None:
    make_user(own_database)
    for email in ("ann@example.com", "zoe@example.com"):
        make_user(own_database, email=email, role=Role.ADMIN)
    before = roles(own_database)

    with (
        acting(Actor(ActorKind.USER, "ann@example.com")),
        own_database.transaction() as session,
        pytest.raises(SuperAdminRequired),
    ):
        change(session)

    assert roles(own_database) == before


@pytest.mark.parametrize("email", ["nobody@example.com", "a\0@b", "a\udc80@b"])
def test_nobody_is_removed_by_an_email_that_nobody_has(own_database: Database, email: str) -> None:
    make_user(own_database)
    with own_database.transaction() as session, pytest.raises(NotFound):
        users.remove(session, email=email)


def test_users_come_in_pages_by_email(own_database: Database) -> None:
    for name in ("carol", "ann", "bob"):
        make_user(own_database, email=f"{name}@example.com", role=Role.MEMBER)

    with own_database.snapshot() as session:
        first = users.page(session, limit=2)
        rest = users.page(session, after=first[-1].email, limit=2)
        nothing = users.page(session, after="\0", limit=2)

    assert [user.email for user in (*first, *rest)] == [f"{name}@example.com" for name in ("ann", "bob", "carol")]
    assert nothing == []
