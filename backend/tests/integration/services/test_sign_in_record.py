"""What the audit log has of signing in and out, and of users."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.event import listen

from hhh.core.actor import Actor, ActorKind, acting
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError, InvalidCredentials, SessionExpired
from hhh.models import AuditEvent, Role
from hhh.services import auth, sign_in, users
from hhh.services.account import Account
from hhh.services.auth import SignedIn
from hhh.services.known_places import Client
from support.second_factor import with_second_factor
from support.sign_in import EMAIL, PASSWORD, make_user

TYPED_INTO_THE_WRONG_FIELD = "my secret password 1234"


def try_to_sign_in(
    database: Database, settings: Settings, *, email: str = EMAIL, password: str = "wrong", address: str = "192.0.2.1"
) -> SignedIn | None:
    asking = Actor(ActorKind.NOBODY, address=address, request_id="r1")
    try:
        with acting(asking):
            return sign_in.sign_in(database, settings, email=email, password=password, client=Client(address))
    except HHHError:
        return None


def events(database: Database) -> list[tuple[str, str, str, str, str | None]]:
    """Who did what on what, how it went, and from where; but for the users that the tests make."""
    with database.snapshot() as session:
        found = session.scalars(select(AuditEvent).where(AuditEvent.action != "user.create").order_by(AuditEvent.seq))
        return [(each.actor, each.action, each.subject, each.result, each.address) for each in found]


def test_a_sign_in_and_a_sign_out_are_recorded_as_theirs(own_database: Database, settings: Settings) -> None:
    make_user(own_database)
    signed_in = try_to_sign_in(own_database, settings, password=PASSWORD)
    assert signed_in is not None
    with acting(Actor(ActorKind.NOBODY, address="192.0.2.1")), own_database.transaction() as session:
        auth.sign_out(session, session_id=signed_in.principal.credential_id, refresh_token=signed_in.refresh_token)
        auth.sign_out(session, session_id=signed_in.principal.credential_id, refresh_token=None)

    assert events(own_database) == [
        (EMAIL, "auth.sign-in", EMAIL, "done", "192.0.2.1"),
        (EMAIL, "auth.sign-out", EMAIL, "done", "192.0.2.1"),
    ]


def test_a_flood_of_failures_is_told_once_by_account_and_address(own_database: Database, settings: Settings) -> None:
    make_user(own_database)
    for _ in range(14):
        try_to_sign_in(own_database, settings)
    try_to_sign_in(own_database, settings, address="198.51.100.1")

    assert events(own_database) == [
        ("", "auth.sign-in", EMAIL, "failed", "192.0.2.1"),
        ("", "auth.sign-in", "(unknown)", "refused", "192.0.2.1"),
        ("", "auth.sign-in", EMAIL, "failed", "198.51.100.1"),
    ]


def test_as_often_is_written_for_who_is_known_as_for_nobody_so_that_time_tells_nothing(
    sqlite_database: Database, settings: Settings
) -> None:
    make_user(sqlite_database)
    commits: list[str] = []
    listen(sqlite_database.engine, "commit", lambda _connection: commits.append(""))

    def written(email: str) -> int:
        commits.clear()
        assert try_to_sign_in(sqlite_database, settings, email=email) is None
        return len(commits)

    tries = 12
    nobody = [written("first@example.com") for _ in range(tries)]
    another = [written("second@example.com") for _ in range(tries)]
    somebody = [written(EMAIL) for _ in range(tries)]

    assert nobody[:10] == another[:10] == somebody[:10]
    assert another[10:] == somebody[10:] == [0, 0]


def test_how_often_somebody_has_signed_in_makes_no_failed_sign_in_slower(
    sqlite_database: Database, settings: Settings
) -> None:
    make_user(sqlite_database)
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection: object, _cursor: object, statement: str, given: tuple[object, ...], *_others: object) -> None:
        asked.append((statement, given))

    listen(sqlite_database.engine, "before_cursor_execute", note)
    try_to_sign_in(sqlite_database, settings)

    [(statement, given)] = [each for each in asked if each[0].startswith("SELECT") and "FROM audit_events" in each[0]]
    with sqlite_database.snapshot() as session:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
    assert [row.detail for row in plan] == ["SEARCH audit_events USING INDEX ix_audit_events_at (at>?)"]


def test_of_many_addresses_only_so_many_are_told(sqlite_database: Database, settings: Settings) -> None:
    for at in range(60):
        try_to_sign_in(sqlite_database, settings, email=f"nobody{at}@example.com", address=f"198.51.100.{at}")

    assert len(events(sqlite_database)) == 50


def test_what_was_typed_as_an_email_that_nobody_has_is_in_no_event(own_database: Database, settings: Settings) -> None:
    make_user(own_database)
    for _ in range(12):
        try_to_sign_in(own_database, settings, email=TYPED_INTO_THE_WRONG_FIELD)

    assert {event[2] for event in events(own_database)} == {"(unknown)"}
    assert [event[3] for event in events(own_database)] == ["failed", "refused"]
    with own_database.snapshot() as session:
        rows = [vars(event) for event in session.scalars(select(AuditEvent))]
    assert TYPED_INTO_THE_WRONG_FIELD not in str(rows)


def test_each_wrong_code_after_the_right_password_each_recovery_code_and_each_change_of_a_second_factor_is_told(
    sqlite_database: Database, settings: Settings
) -> None:
    now = datetime.now(UTC)
    user = make_user(sqlite_database)
    _, codes = with_second_factor(sqlite_database, settings, user, now=now - timedelta(hours=1))
    client = Client("192.0.2.1")
    for _ in range(2):
        with pytest.raises(HHHError):
            sign_in.sign_in(sqlite_database, settings, email=EMAIL, password=PASSWORD, client=client, code="000000")
    signed_in = sign_in.sign_in(sqlite_database, settings, email=EMAIL, password=PASSWORD, client=client, code=codes[0])
    Account(sqlite_database, settings, signed_in.principal).remove_second_factor(PASSWORD, codes[1])

    assert [event[1:4] for event in events(sqlite_database)] == [
        ("auth.second-factor", EMAIL, "done"),
        ("auth.second-factor", EMAIL, "failed"),
        ("auth.second-factor", EMAIL, "failed"),
        ("auth.second-factor", EMAIL, "done"),
        ("auth.sign-in", EMAIL, "done"),
        ("auth.second-factor", EMAIL, "done"),
        ("auth.second-factor", EMAIL, "done"),
    ]
    with sqlite_database.snapshot() as session:
        told = session.scalars(select(AuditEvent.detail)).all()
    assert sum("wrong code after the right password" in detail for detail in told) == 2
    assert sum("recovery code used" in detail for detail in told) == 2
    assert not any(code in detail for code in codes for detail in told)


def test_changes_of_users_are_told_with_who_made_them(own_database: Database) -> None:
    make_user(own_database)
    admin = Actor(ActorKind.USER, EMAIL, address="192.0.2.1")
    with acting(admin), own_database.transaction() as session:
        users.create_user(session, email="ann@example.com", password=PASSWORD, role=Role.MEMBER)
        users.set_role(session, email="ann@example.com", role=Role.ADMIN)
        users.set_password(session, email="ann@example.com", password="another long password")
        users.end_sessions(session, email="ann@example.com")
        users.remove(session, email="ann@example.com")

    with own_database.snapshot() as session:
        found = session.scalars(select(AuditEvent).where(AuditEvent.actor == EMAIL).order_by(AuditEvent.seq)).all()
    assert [(each.action, each.subject) for each in found] == [
        (action, "ann@example.com")
        for action in ("user.create", "user.change", "user.change", "auth.session-end", "user.remove")
    ]
    assert "password" not in "".join(each.detail for each in found).replace('{"password": "set"}', "")


def test_what_a_session_gets_wrong_is_told_since_somebody_may_have_stolen_it(
    sqlite_database: Database, settings: Settings
) -> None:
    user = make_user(sqlite_database)
    signed_in = try_to_sign_in(sqlite_database, settings, password=PASSWORD)
    assert signed_in is not None
    with_second_factor(sqlite_database, settings, user, now=datetime.now(UTC))
    thief = Account(sqlite_database, settings, signed_in.principal)
    with acting(Actor(ActorKind.USER, EMAIL, address="198.51.100.7")):
        for password in ("a wrong password", PASSWORD):
            with pytest.raises(InvalidCredentials):
                thief.remove_second_factor(password, "000 000")

    assert events(sqlite_database)[-2:] == [
        (EMAIL, "access.refused", EMAIL, "refused", "198.51.100.7"),
        (EMAIL, "auth.second-factor", EMAIL, "failed", "198.51.100.7"),
    ]


def test_the_end_of_a_session_whose_refresh_token_came_twice_is_told(
    sqlite_database: Database, settings: Settings
) -> None:
    make_user(sqlite_database)
    signed_in = try_to_sign_in(sqlite_database, settings, password=PASSWORD)
    assert signed_in is not None

    with acting(Actor(ActorKind.NOBODY, address="198.51.100.7")):
        with sqlite_database.transaction() as session:
            auth.refresh(session, settings, signed_in.refresh_token)
        with sqlite_database.transaction() as session, contextlib.suppress(SessionExpired):
            auth.refresh(session, settings, signed_in.refresh_token)

    assert events(sqlite_database)[-1] == ("", "auth.session-end", EMAIL, "done", "198.51.100.7")


def test_sessions_that_end_though_there_was_no_second_factor_to_reset_are_told(
    sqlite_database: Database, settings: Settings
) -> None:
    make_user(sqlite_database)
    try_to_sign_in(sqlite_database, settings, password=PASSWORD)

    with acting(Actor(ActorKind.CLI, "root@host")), sqlite_database.transaction() as session:
        assert not users.reset_second_factor(session, email=EMAIL)

    assert events(sqlite_database)[-1] == ("root@host", "auth.session-end", EMAIL, "done", None)
