"""The audit log: append-only by the database, and every way to change it all the same is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hhh.core.actor import Actor, ActorKind, acting
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, InvalidInput
from hhh.core.signing import SigningKey, load_or_make
from hhh.models import Action, AuditEvent, Result, Role
from hhh.repositories import audit as rows
from hhh.repositories.audit import Head
from hhh.schemas.audit import AuditFilter, AuditQuery, AuditVerdict
from hhh.services import audit, users
from hhh.services.audit_chain import event_hash, parse_head, signed_message
from hhh.services.audit_file import check_file
from hhh.services.audit_log import AuditLog
from hhh.services.installation import Identity
from support.audit_owner import cut, run, without_rules
from support.sign_in import PASSWORD

ANN = Actor(ActorKind.USER, "ann@example.com", address="192.0.2.7", request_id="request-1")
_OTHERS = [name for name in AuditEvent.__table__.columns.keys() if name != "seq"]  # noqa: SIM118  not a dict
NIGHTLY = Actor(ActorKind.SCHEDULE, "a-schedule")


@pytest.fixture
def log(own_database: Database, settings: Settings) -> AuditLog:
    """The log of an installation, with five events."""
    return filled(own_database, settings)


def filled(database: Database, settings: Settings) -> AuditLog:
    identity = Identity(settings, database)
    audit.sign_with(database, identity)
    for number in range(1, 6):
        with acting(ANN if number % 2 else NIGHTLY):
            audit.record_alone(database, Action.BACKUP, f"backup-{number}", target="shop", detail={"é": number})
    return AuditLog(settings, database, identity)


@pytest.fixture
def key(log: AuditLog, settings: Settings) -> SigningKey:
    return load_or_make(settings.signing_key_path)


def event(database: Database, seq: int) -> AuditEvent:
    with database.snapshot() as session:
        found = rows.get(session, seq)
    assert found is not None
    return found


def test_what_was_written_is_read_back_as_it_was_hashed(own_database: Database, log: AuditLog) -> None:
    first = event(own_database, 1)

    assert log.verify() == AuditVerdict(ok=True, events=5, head=str(log.head()))
    assert (first.actor_kind, first.actor, first.address) == ("user", "ann@example.com", "192.0.2.7")
    assert (first.subject, first.target, first.request_id) == ("backup-1", "shop", "request-1")
    assert event(own_database, 2).actor_kind == "schedule"


def test_what_no_database_takes_is_written_so_that_it_does(own_database: Database, log: AuditLog) -> None:
    hostile = "\0\ud800\N{SNOWMAN}" * 200
    with acting(Actor(ActorKind.USER, hostile, token=hostile, address=hostile)):
        audit.record_alone(own_database, Action.REFUSED, hostile, detail={"said": hostile})

    assert log.verify().ok
    assert event(own_database, 6).subject.startswith("\N{REPLACEMENT CHARACTER}?\N{SNOWMAN}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'bob' WHERE seq = 2",
        "DELETE FROM audit_events WHERE seq = 2",
        "DELETE FROM audit_events",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET hash = ''",
        f"INSERT INTO audit_events SELECT seq + 100, {', '.join(_OTHERS)} FROM audit_events WHERE seq = 2",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(own_database: Database, log: AuditLog, statement: str) -> None:
    with pytest.raises((DBAPIError, DatabaseUnavailable), match="audit log"):
        run(own_database, statement)

    assert log.verify().events == 5


def test_no_event_is_replaced_or_truncated(own_database: Database, log: AuditLog) -> None:
    replace = "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events WHERE seq = 2"
    truncate = "TRUNCATE audit_events"

    with pytest.raises((DBAPIError, DatabaseUnavailable), match="audit log"):
        run(own_database, replace if own_database.file else truncate)
    assert log.verify().events == 5


def swap(database: Database) -> None:
    run(
        database,
        "UPDATE audit_events SET seq = 0 WHERE seq = 2",
        "UPDATE audit_events SET seq = 2 WHERE seq = 3",
        "UPDATE audit_events SET seq = 3 WHERE seq = 0",
    )


def put_one_in(database: Database) -> None:
    """Between two others, of which the later ones move on."""
    for seq in (5, 4, 3):
        run(database, f"UPDATE audit_events SET seq = {seq + 1} WHERE seq = {seq}")
    copied = event(database, 2)
    with database.transaction() as session:
        values = {column.key: getattr(copied, column.key) for column in AuditEvent.__table__.columns}
        session.add(AuditEvent(**(values | {"seq": 3, "subject": "forged"})))
    run(database, "UPDATE audit_head SET seq = 6")


_CHANGED = "what it says was changed: its hash is another"
_NEVER_WRITTEN = "what stands there was never written by the service"
#: PostgreSQL takes it as a moment, and SQLite anything.
_NEVER = "infinity"


@pytest.mark.parametrize(
    ("tamper", "seq", "said"),
    [
        (lambda database: run(database, "UPDATE audit_events SET actor = 'bob' WHERE seq = 2"), 2, _CHANGED),
        (lambda database: run(database, "UPDATE audit_events SET result = 'failed' WHERE seq = 5"), 5, _CHANGED),
        (lambda database: run(database, "UPDATE audit_events SET target = NULL WHERE seq = 1"), 1, _CHANGED),
        (lambda database: run(database, "UPDATE audit_events SET signature = '' WHERE seq = 4"), 4, "not signed"),
        (
            lambda database: run(database, "DELETE FROM audit_events WHERE seq = 3"),
            3,
            "missing; the next one there is 4",
        ),
        (
            lambda database: run(database, "DELETE FROM audit_events WHERE seq = 1"),
            1,
            "missing; the next one there is 2",
        ),
        (swap, 2, "does not follow on event 1"),
        (put_one_in, 3, "does not follow on event 2"),
        (lambda database: run(database, "DELETE FROM audit_events WHERE seq > 3"), 4, "the last events, up to 5"),
        (lambda database: run(database, "DELETE FROM audit_events"), 1, "the last events, up to 5"),
        (lambda database: run(database, "UPDATE audit_head SET seq = 4"), 5, "noted as 4:"),
        (lambda database: run(database, "DELETE FROM audit_head"), 5, "noted as 0:, which is another"),
        (lambda database: run(database, "DELETE FROM audit_events", "DELETE FROM audit_head"), 0, "is missing"),
        (lambda database: run(database, f"UPDATE audit_events SET at = '{_NEVER}' WHERE seq = 3"), 3, _NEVER_WRITTEN),
    ],
)
def test_each_way_to_change_the_log_is_told_with_its_place(
    own_database: Database, log: AuditLog, tamper: Callable[[Database], None], seq: int, said: str
) -> None:
    with without_rules(own_database):
        tamper(own_database)

    found = log.verify()

    assert (found.ok, found.broken_at) == (False, seq), found
    assert said in (found.reason or "")


@pytest.mark.parametrize("seq", ["'abc'", "2.5", "NULL"])
def test_a_row_that_only_sqlite_takes_is_told(sqlite_database: Database, settings: Settings, seq: str) -> None:
    log = filled(sqlite_database, settings)
    run(sqlite_database, "CREATE TABLE loose AS SELECT * FROM audit_events")
    with without_rules(sqlite_database):
        run(
            sqlite_database,
            "DROP TABLE audit_events",
            "ALTER TABLE loose RENAME TO audit_events",
            f"INSERT INTO audit_events SELECT {seq}, {', '.join(_OTHERS)} FROM audit_events WHERE seq = 2",
        )

    assert not log.verify().ok
    with pytest.raises(DatabaseUnavailable, match="`hhh audit verify` says where"):
        log.page(AuditQuery())


def test_triggers_that_were_taken_away_are_told_also_of_a_log_that_holds(own_database: Database, log: AuditLog) -> None:
    with without_rules(own_database):
        found = log.verify()

    assert not found.ok
    assert "the events hold, but somebody has taken away" in (found.reason or "")
    assert log.verify().ok


#: What an owner of the own database adds who wants no more told of them: the log holds all the same.
_DROPPING = {
    "sqlite": ["CREATE TRIGGER quiet BEFORE INSERT ON audit_events BEGIN SELECT RAISE(IGNORE); END"],
    "postgresql": [
        "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER quiet BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION quiet()",
    ],
}


def test_nothing_is_done_whose_event_the_database_drops(own_database: Database, log: AuditLog) -> None:
    run(own_database, *_DROPPING[own_database.url.get_backend_name()])

    with (
        pytest.raises(DatabaseUnavailable, match="its database drops what is recorded"),
        own_database.transaction() as session,
    ):
        users.create_user(session, email="ann@example.com", password=PASSWORD, role=Role.MEMBER)

    with own_database.snapshot() as session:
        assert users.list_users(session) == []
    assert log.verify().ok


@pytest.mark.postgres
def test_triggers_that_are_there_but_run_for_nobody_are_told(postgresql_database: Database, settings: Settings) -> None:
    run(postgresql_database, "ALTER TABLE audit_events ENABLE REPLICA TRIGGER audit_events_no_change")

    found = AuditLog(settings, postgresql_database, Identity(settings, postgresql_database)).verify()

    assert "audit_events_no_change" in (found.reason or "")


def test_nothing_is_done_that_the_log_can_not_tell_of(own_database: Database, log: AuditLog) -> None:
    with without_rules(own_database):
        run(own_database, "DELETE FROM audit_events WHERE seq > 3", "UPDATE audit_head SET seq = 1")

    with pytest.raises(DatabaseUnavailable, match="The audit log can't be gone on with"):
        audit.record_alone(own_database, Action.BACKUP, "x")


def test_a_tail_that_was_cut_off_with_the_head_is_told_by_a_noted_head(own_database: Database, log: AuditLog) -> None:
    noted = parse_head(str(log.head()))
    cut(own_database, after=3)

    assert log.verify().ok  # the database alone can't tell it
    found = log.verify([noted])

    assert (found.ok, found.broken_at) == (False, 4)
    assert "up to 5, which you noted, are missing" in (found.reason or "")


def write_anew(database: Database, key: SigningKey, *, subject: str) -> None:
    """The last event, changed by somebody who computes its hash, signs it, and moves the head."""
    forged = event(database, 5)
    forged.subject = subject
    forged.hash = event_hash(forged)
    with database.transaction() as session:
        session.execute(text("DELETE FROM audit_events WHERE seq = 5"))
        values = {column.key: getattr(forged, column.key) for column in AuditEvent.__table__.columns}
        session.add(AuditEvent(**(values | {"signature": key.sign(signed_message(forged.hash))})))
    run(database, f"UPDATE audit_head SET hash = '{forged.hash}'")


def test_who_writes_to_the_database_alone_makes_no_chain_anew(
    own_database: Database, log: AuditLog, tmp_path: Path
) -> None:
    with without_rules(own_database):
        write_anew(own_database, load_or_make(tmp_path / "another.key"), subject="backup-of-another")

    found = log.verify()

    assert (found.ok, found.broken_at) == (False, 5)
    assert "no key that is trusted here has signed it" in (found.reason or "")


def test_who_has_the_key_as_well_is_found_by_a_noted_head(
    own_database: Database, log: AuditLog, key: SigningKey
) -> None:
    noted = log.head()
    with without_rules(own_database):
        write_anew(own_database, key, subject="backup-of-another")

    assert log.verify().ok
    assert log.verify([noted]).reason == "its hash is not the one that you noted: the chain was written anew"


def test_what_an_older_key_signed_holds_while_it_is_trusted(
    own_database: Database, log: AuditLog, settings: Settings, key: SigningKey
) -> None:
    settings.signing_key_path.unlink()
    identity = Identity(settings, own_database)
    audit.sign_with(own_database, identity)
    audit.record_alone(own_database, Action.KEYS, "another signing key")

    assert AuditLog(settings, own_database, identity).verify().broken_at == 1
    trusting = settings.model_copy(update={"trusted_keys": [key.public_key]})
    assert AuditLog(trusting, own_database, identity).verify().events == 6


def test_many_at_once_make_one_chain_however_the_server_isolates(own_database: Database, log: AuditLog) -> None:
    if own_database.file is None:
        name = own_database.url.database
        run(own_database, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable'")
        own_database.close()

    def work() -> None:
        for number in range(10):
            audit.record_alone(own_database, Action.BACKUP, f"{number}")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.verify().events == 45


def test_events_of_one_transaction_are_there_together_or_not_at_all(own_database: Database, log: AuditLog) -> None:
    with suppress(InvalidInput), own_database.transaction() as session:
        audit.record(session, Action.TARGET_ADD, "one")
        raise InvalidInput("no")
    assert log.head().seq == 5

    with own_database.transaction() as session, acting(ANN):
        audit.record(session, Action.TARGET_ADD, "one", detail={"long": "x" * 5000})
        audit.record(session, Action.TARGET_ADD, "two", result=Result.FAILED)
    found = log.page(AuditQuery(limit=2)).items
    assert [(each.seq, each.subject, each.result) for each in found] == [(7, "two", "failed"), (6, "one", "done")]
    assert len(found[1].detail["long"]) == 501


def test_a_page_follows_the_other_and_is_narrowed_by_what_is_asked(log: AuditLog) -> None:
    first = log.page(AuditQuery(limit=3))
    second = log.page(AuditQuery(limit=3, cursor=first.next_cursor))

    assert [each.seq for each in (*first.items, *second.items)] == [5, 4, 3, 2, 1]
    assert (second.next_cursor, first.head.seq) == (None, 5)
    by = {
        "actor": (AuditQuery(actor="a-schedule"), [4, 2]),
        "subject": (AuditQuery(subject="backup-3"), [3]),
        "target": (AuditQuery(subject="shop"), [5, 4, 3, 2, 1]),
        "action": (AuditQuery(action="backup"), [5, 4, 3, 2, 1]),
        "another action": (AuditQuery(action="back"), []),
        "result": (AuditQuery(result=Result.FAILED), []),
        "until": (AuditQuery(until=datetime.now(UTC) - timedelta(days=1)), []),
    }
    for name, (asked, expected) in by.items():
        assert [each.seq for each in log.page(asked).items] == expected, name
    with pytest.raises(InvalidInput, match="cursor"):
        log.page(AuditQuery(cursor="1 OR 1=1"))


# ---------------------------------------------------------------------------------------------- exported


def exported(log: AuditLog, **asked: object) -> list[str]:
    return b"".join(log.export(AuditFilter.model_validate(asked))).decode().splitlines()


def changed(line: str, **values: object) -> str:
    return json.dumps(json.loads(line) | values)


def test_an_export_is_checked_by_the_public_key_alone(log: AuditLog, key: SigningKey) -> None:
    lines = exported(log)

    assert check_file(lines, {key.public_key}) == AuditVerdict(ok=True, events=6, head=str(log.head()))
    assert json.loads(lines[5])["action"] == "audit.export"
    assert not check_file(lines, {"another"}).ok


def test_of_a_narrowed_export_each_event_and_their_number_are_checked(log: AuditLog, key: SigningKey) -> None:
    lines = exported(log, actor="a-schedule")
    keys = {key.public_key}

    assert check_file(lines, keys).events == 2
    assert check_file(lines[1:], keys).reason == "2 events were exported, and 1 are there"
    assert check_file([changed(lines[0], actor="bob"), *lines[1:]], keys).broken_at == 2


def test_no_event_of_a_narrowed_export_is_exchanged_for_another_that_is_genuine(log: AuditLog, key: SigningKey) -> None:
    of_the_schedule, others = exported(log, actor="a-schedule"), exported(log)
    harmless = others[0]
    assert harmless not in of_the_schedule

    found = check_file([harmless, *of_the_schedule[1:]], {key.public_key})

    assert "stands there instead of another" in (found.reason or "")


@pytest.mark.parametrize(
    ("tamper", "seq", "said"),
    [
        (lambda lines: [lines[0], changed(lines[1], address=None), *lines[2:]], None, ""),
        (lambda lines: [lines[0], changed(lines[1], address="::1"), *lines[2:]], 2, _CHANGED),
        (lambda lines: [changed(lines[0], detail={}), *lines[1:]], 1, _CHANGED),
        (lambda lines: [lines[0], *lines[2:]], 2, "missing; the next one there is 3"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1, "twice"),
        (lambda lines: lines[:-1], 7, "its last line is missing"),
        (lambda lines: [*lines[:4], lines[-1]], 5, "the last events, up to 6"),
        (lambda lines: [*lines[:4], lines[-1].replace('"seq":6', '"seq":4')], 5, "signed the last line"),
    ],
)
def test_an_export_that_was_changed_is_told_from_a_good_one(
    log: AuditLog, key: SigningKey, tamper: Callable[[list[str]], list[str]], seq: int | None, said: str
) -> None:
    found = check_file(tamper(exported(log)), {key.public_key})

    assert (found.ok, found.broken_at) == (seq is None, seq), found
    assert said in (found.reason or "")


def test_a_line_that_other_tools_would_read_otherwise_is_refused(log: AuditLog, key: SigningKey) -> None:
    first, *others = exported(log)

    for forged in (
        first.replace('{"seq"', '{"actor":"bob","seq"', 1),  # the first of two, or the last
        changed(first, note="approved by bob"),
        changed(first, seq="1"),
    ):
        with pytest.raises(InvalidInput, match="Line 1"):
            check_file([forged, *others], {key.public_key})


def test_an_end_that_was_noted_later_is_missing_in_a_narrowed_export_too(log: AuditLog, key: SigningKey) -> None:
    lines = exported(log, actor="a-schedule")
    noted = Head(9, "0" * 64)

    assert "up to 9, which you noted, are missing" in (check_file(lines, {key.public_key}, [noted]).reason or "")


def test_a_line_of_an_export_is_one_and_commands_no_terminal(log: AuditLog, own_database: Database) -> None:
    hostile = "\x9b2J \u202e \u2028 \x85"
    audit.record_alone(own_database, Action.REFUSED, hostile, detail={"said": hostile, "halves": ["\udcff"]})

    lines = exported(log)

    assert hostile in [json.loads(line).get("subject") for line in lines]
    assert "".join(lines).isprintable()
    assert check_file(lines, {json.loads(lines[-1])["end"]["public_key"]}).ok


@pytest.mark.parametrize("line", ["", "{", "[]", '{"seq": "x"}', '{"end": {}}', "[" * 100_000])
def test_what_is_no_exported_log_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput, match="Line 1"):
        check_file([line], set())


def test_an_export_holds_no_transaction_while_somebody_takes_it(own_database: Database, log: AuditLog) -> None:
    lines: Iterator[bytes] = log.export(AuditFilter())
    next(lines)
    audit.record_alone(own_database, Action.BACKUP, "meanwhile")

    assert len([*lines]) == 6  # what came meanwhile is not part of it
    assert log.verify().events == 7


def test_a_head_is_read_as_it_was_printed() -> None:
    assert parse_head(f"12:{'0' * 64}") == Head(12, "0" * 64)
    for text_ in ("", "12", "x:y", f"-1:{'0' * 64}", f"1:{'0' * 63}", f"1:{'X' * 64}"):
        with pytest.raises(InvalidInput, match="SEQ:HASH"):
            parse_head(text_)
