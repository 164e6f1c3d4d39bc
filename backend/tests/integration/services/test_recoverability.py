"""What the own database tells of targets, and what that comes to, on both databases."""

from collections.abc import Callable, Sized
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.models import (
    BackupCopy,
    BackupLog,
    BackupStatus,
    CopyStatus,
    Schedule,
    Target,
    Verification,
    VerificationStatus,
)
from hhh.repositories import recoverability as rows
from hhh.repositories import retention as retention_rows
from hhh.schemas.policy import PolicyFields
from hhh.schemas.recoverability import Recoverability
from hhh.schemas.schedule import ScheduleRequest
from hhh.services.container import Services, assemble
from support.local_services import services_with_a_target, settings_in
from support.recoverable import HOUR, a_backup, a_verification

DAY = timedelta(days=1)
SUCCESS, FAILED = VerificationStatus.SUCCESS, VerificationStatus.FAILED
INCONCLUSIVE = VerificationStatus.INCONCLUSIVE
DRILL = {"restore_seconds": 12.5, "restore_bytes_per_second": 1000.0, "tables": []}


@pytest.fixture
def services(own_database: Database, tmp_path: Path) -> Services:
    return services_with_a_target(tmp_path, own_database, target="shop")


def of(services: Services, target: str = "shop") -> Recoverability:
    """What is told of a target; lists, which ask for less, have it in the same state whatever the situation is."""
    found = services.recoverability.of(target)
    assert services.recoverability.states()[target] == found.state
    return found


def taken(services: Services, **more: Any) -> str:
    return a_backup(services.database, "shop", **more)


def proven(services: Services, **more: Any) -> str:
    backup_id = taken(services, **more)
    a_verification(services.database, backup_id, result=DRILL)
    return backup_id


def demand(services: Services, **fields: int) -> None:
    services.targets.update("shop", None, PolicyFields(**fields), whole=False)  # type: ignore[arg-type]


def test_a_target_that_was_never_backed_up_says_so(services: Services) -> None:
    found = of(services)
    assert (found.state, found.last_backup_at, found.last_proven) == ("unproven", None, None)
    assert (found.rpo_seconds, found.rto_seconds, found.last_attempt_status) == (None, None, None)
    assert "never backed up" in found.reasons[0]


def test_a_proven_backup_makes_it_healthy_with_its_age_and_its_time(services: Services) -> None:
    backup_id = taken(services)
    verification_id = a_verification(services.database, backup_id, result=DRILL)

    found = of(services)

    assert (found.state, found.reasons) == ("healthy", [])
    assert found.last_backup_id == backup_id
    assert found.last_attempt_status == "success"
    assert found.last_proven is not None
    assert (found.last_proven.backup_id, found.last_proven.verification_id) == (backup_id, verification_id)
    assert found.rpo_seconds == pytest.approx(3600, abs=60)
    assert (found.rto_seconds, found.restore_bytes_per_second) == (12.5, 1000.0)


def test_the_newest_proven_backup_is_the_newest_by_its_snapshot_not_by_its_proof(services: Services) -> None:
    newer, older = taken(services, age=HOUR), taken(services, age=DAY)
    for backup_id, ago in ((newer, HOUR), (older, timedelta())):
        a_verification(services.database, backup_id, at=utcnow() - ago)
    assert (last := of(services).last_proven)
    assert last.backup_id == newer


def test_a_proof_without_its_record_still_counts(services: Services) -> None:
    taken(services, verified_level="proven", verified_at=utcnow())
    found = of(services)
    assert found.state == "healthy"
    assert found.last_proven
    assert (found.last_proven.verification_id, found.rto_seconds) == (None, None)


def test_backups_that_are_removed_or_in_no_store_count_as_none(services: Services) -> None:
    kept = proven(services, age=DAY)
    proven(services, age=HOUR, deleted_at=utcnow())
    assert of(services).last_backup_id == kept
    assert of(services).state == "healthy"
    proven(services, age=HOUR, copies={"default": CopyStatus.MISSING, "other": CopyStatus.UNDELETABLE})
    found = of(services)
    assert (found.state, found.last_backup_id, found.last_proven and found.last_proven.backup_id) == (
        "failing",
        kept,
        kept,
    )


def test_failed_attempts_are_failing_until_a_good_one_and_cancelled_ones_are_not(services: Services) -> None:
    proven(services, age=3 * HOUR)
    taken(services, age=2 * HOUR, status=BackupStatus.FAILED, error="disk full")
    taken(services, age=HOUR, status=BackupStatus.CANCELLED)
    taken(services, age=timedelta(), status=BackupStatus.RUNNING)
    found = of(services)
    assert (found.state, found.last_attempt_status) == ("failing", "cancelled")
    assert "disk full" in found.reasons[0]

    taken(services, age=timedelta(minutes=1))
    assert of(services).state == "healthy"


def test_a_failed_verification_of_the_newest_backup_is_failing_until_one_as_deep_succeeds(services: Services) -> None:
    backup_id, now = proven(services), utcnow()
    a_verification(services.database, backup_id, status=FAILED, error="5 expected, 4 found", at=now + HOUR / 60)
    failing = of(services)
    assert (failing.state, failing.last_proven) == ("failing", None)
    assert "5 expected, 4 found" in failing.reasons[0]

    a_verification(services.database, backup_id, level="stored", at=now + HOUR / 30)
    assert of(services).state == "failing"
    a_verification(services.database, backup_id, at=now + HOUR / 20)
    assert of(services).state == "healthy"


def test_a_bad_copy_is_failing_until_it_is_made_again(services: Services) -> None:
    states = {"default": CopyStatus.STORED, "second": CopyStatus.MISSING}
    backup_id = proven(services, copies=states)
    assert of(services).state == "healthy"
    a_verification(services.database, backup_id, status=FAILED, refuted=False, error="second: damaged")
    found = of(services)
    assert (found.state, found.last_proven and found.last_proven.backup_id) == ("failing", backup_id)

    with services.database.transaction() as session:
        session.execute(update(BackupCopy).values(status=CopyStatus.STORED))
    assert of(services).state == "healthy"
    a_verification(services.database, backup_id, status=FAILED, at=utcnow() - HOUR / 2)
    a_verification(services.database, backup_id, status=FAILED, refuted=False, at=utcnow())
    assert of(services).state == "healthy"
    a_verification(services.database, backup_id, status=FAILED, at=utcnow())
    a_verification(services.database, backup_id, status=FAILED, refuted=False, at=utcnow())
    assert of(services).state == "failing"


#: Of a verification: its level, what it came to, and whether it speaks against what the backup holds.
Ended = tuple[str, VerificationStatus, bool]
REFUTED: Ended = ("proven", FAILED, True)
BAD_COPY: Ended = ("proven", FAILED, False)
PASSED: Ended = ("proven", SUCCESS, False)
#: Verifications of one backup, the oldest first; whether they refute it, and whether a missing copy of it is told.
STANDING: list[tuple[list[Ended], bool, bool]] = [
    ([], False, False),
    ([PASSED], False, False),
    ([REFUTED], True, True),
    ([PASSED, REFUTED], True, True),
    ([REFUTED, PASSED], False, False),
    ([REFUTED, ("readable", SUCCESS, False)], True, True),
    ([("readable", FAILED, True), PASSED], False, False),
    ([("readable", FAILED, True), ("stored", SUCCESS, False)], True, True),
    ([REFUTED, ("stored", FAILED, True), ("readable", SUCCESS, False)], True, True),
    ([REFUTED, PASSED, REFUTED], True, True),
    ([REFUTED, ("proven", INCONCLUSIVE, False)], True, True),
    ([REFUTED, ("proven", VerificationStatus.CANCELLED, False)], True, True),
    ([("proven", INCONCLUSIVE, False)], False, False),
    ([BAD_COPY], False, True),
    ([PASSED, ("stored", FAILED, False)], False, True),
    ([BAD_COPY, PASSED], False, False),
    ([REFUTED, PASSED, BAD_COPY], False, True),
    ([REFUTED, BAD_COPY], True, True),
]


def test_retention_and_recoverability_agree_on_what_is_refuted(services: Services) -> None:
    expected, found = {}, {}
    for number, (verifications, refuted, told) in enumerate(STANDING):
        for second, failing in ((CopyStatus.STORED, refuted), (CopyStatus.MISSING, told)):
            name = f"t{number}-{second}"
            services.targets.add(name, "postgresql://db.example.com/x")
            backup_id = a_backup(services.database, name, copies={"default": CopyStatus.STORED, "second": second})
            for minute, (level, status, against) in enumerate(verifications):
                at = utcnow() - HOUR / 2 + minute * HOUR / 60
                a_verification(services.database, backup_id, level=level, status=status, refuted=against, at=at)
            with services.database.snapshot() as session:
                is_refuted = retention_rows.is_refuted(session, backup_id)
            state = of(services, name).state
            expected[name], found[name] = (refuted, failing), (is_refuted, state == "failing")
    assert found == expected


def test_a_failed_verification_of_an_older_backup_is_not_failing_where_a_newer_one_is_proven(
    services: Services,
) -> None:
    old = proven(services, age=DAY)
    newer = proven(services)
    a_verification(services.database, old, status=FAILED, at=utcnow())
    found = of(services)
    assert (found.state, found.last_proven and found.last_proven.backup_id) == ("healthy", newer)


def test_a_proven_backup_that_failed_since_counts_as_proven_no_more(services: Services) -> None:
    oldest, old = proven(services, age=3 * DAY), proven(services, age=2 * DAY)
    taken(services)
    a_verification(services.database, old, status=FAILED, at=utcnow() + HOUR / 60)
    found = of(services)
    assert (found.state, found.last_proven and found.last_proven.backup_id) == ("healthy", oldest)


def test_what_found_nothing_out_is_neither_for_nor_against_the_backup(services: Services) -> None:
    backup_id = taken(services)
    a_verification(services.database, backup_id, status=INCONCLUSIVE, error="no PostgreSQL 18 here")
    found = of(services)
    assert found.state == "unproven"
    assert "no PostgreSQL 18 here" in found.reasons[-1]

    a_verification(services.database, backup_id, at=utcnow())
    assert of(services).state == "healthy"


def test_demands_are_held_against_the_clock(services: Services) -> None:
    proven(services, age=30 * HOUR)
    demand(services, backed_up_within_hours=24, proven_within_days=1)
    found = of(services)
    assert (found.state, len(found.reasons)) == ("late", 2)
    assert (found.backed_up_within_hours, found.proven_within_days) == (24, 1)
    assert found.last_backup_at
    assert (found.next_backup_due_at, found.next_proof_due_at) == (
        found.last_backup_at + DAY,
        found.last_backup_at + DAY,
    )
    taken(services)
    assert of(services).state == "unproven"
    proven(services, age=HOUR / 2)
    assert of(services).state == "healthy"


def test_without_a_demand_the_schedules_of_backups_say_what_is_late(services: Services) -> None:
    proven(services, age=5 * DAY)
    schedule = services.schedules.add(ScheduleRequest(target="shop", cron="@daily"))
    services.schedules.add(ScheduleRequest(target="shop", cron="* * * * *", verify="stored"))
    assert of(services).state == "healthy"
    with services.database.transaction() as session:
        session.execute(update(Schedule).values(created_at=utcnow() - 9 * DAY))
    late = of(services)
    assert late.state == "late"
    assert late.last_backup_at
    assert late.next_backup_due_at
    assert late.last_backup_at < late.next_backup_due_at < utcnow()

    services.schedules.pause(schedule.id)
    assert (of(services).state, of(services).next_backup_due_at) == ("healthy", None)
    services.schedules.resume(schedule.id)
    demand(services, backed_up_within_hours=24 * 7)
    assert of(services).state == "healthy"


def test_a_backup_of_the_future_makes_nothing_healthy(services: Services) -> None:
    proven(services, age=-DAY)
    taken(services, age=-2 * DAY, status=BackupStatus.FAILED)
    found = of(services)
    assert (found.state, found.last_backup_at, found.last_proven) == ("unproven", None, None)
    assert "after now" in found.reasons[-1]

    current = proven(services, age=HOUR)
    assert (of(services).state, of(services).last_backup_id) == ("healthy", current)


def test_clocks_that_differ_by_a_little_hide_no_backup(services: Services) -> None:
    proven(services, age=timedelta(seconds=-30))
    found = of(services)
    assert (found.state, found.rpo_seconds) == ("healthy", 0)


def test_all_targets_are_listed_the_worst_first_and_removed_ones_are_gone(services: Services) -> None:
    for name in ("a", "b", "c"):
        services.targets.add(name, "postgresql://db.example.com/x")
    a_verification(services.database, a_backup(services.database, "a"))
    a_backup(services.database, "b", status=BackupStatus.FAILED)
    services.targets.update("c", None, PolicyFields(backed_up_within_hours=1), whole=False)
    a_backup(services.database, "not registered")

    found = {each.target: each.state for each in services.recoverability.all()}
    assert found == {"b": "failing", "c": "late", "app": "unproven", "shop": "unproven", "a": "healthy"}
    assert [*found] == ["b", "c", "app", "shop", "a"]
    assert [*services.recoverability.states().items()] == [*found.items()]

    services.targets.remove("a")
    assert "a" not in {each.target for each in services.recoverability.all()}
    for unknown in ("a", "not registered", "nul\0"):
        with pytest.raises(NotFound):
            services.recoverability.of(unknown)


LOOKS: dict[str, Callable[[Services], Sized]] = {
    "all": lambda services: services.recoverability.all(),
    "states": lambda services: services.recoverability.states(),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_hundreds_of_targets_are_looked_at_with_as_many_statements_as_one(
    own_database: Database, tmp_path: Path, look: Callable[[Services], Sized]
) -> None:
    services, now = assemble(settings_in(tmp_path), own_database), utcnow()
    names = [f"t{number:03}" for number in range(400)]
    asked: list[str] = []
    event.listen(own_database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))

    def statements() -> int:
        asked.clear()
        look(services)
        return len([each for each in asked if " FROM " in each.replace("\n", " ")])

    few = statements()
    with own_database.transaction() as session:
        target = {"engine": "postgresql", "sealed_url": "", "created_at": now, "updated_at": now}
        session.execute(insert(Target), [{"id": name, "name": name, **target} for name in names])
    many(own_database, names, each=2)

    assert 0 < few <= statements() <= 10
    assert len(look(services)) == 401


QUERIES: dict[str, Callable[[Session], object]] = {
    "newest": lambda session: rows.newest(session, ["t1"], until=utcnow()),
    "newest for states": lambda session: rows.newest_for_states(session, ["t1"], until=utcnow()),
    "faulted": lambda session: rows.faulted(session, ["x", "y"]),
    "backups": lambda session: rows.backups(session, ["x", "y"]),
    "lacking copies": lambda session: rows.lacking_copies(session, ["x", "y"]),
    "conclusions": lambda session: rows.conclusions(session, ["x", "y"]),
    "schedules": lambda session: rows.schedules_of_backups(session, ["t1"]),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_no_query_reads_a_whole_table(own_database: Database, query: Callable[[Session], object]) -> None:
    sqlite = own_database.engine.dialect.name == "sqlite"
    many(own_database, ["t1", "t2"], each=50)
    asked: list[tuple[str, object]] = []
    with own_database.transaction() as session:
        if not sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        event.listen(own_database.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
        query(session)
        plans = [
            "\n".join(
                str(line[-1])
                for line in session.connection().exec_driver_sql(
                    ("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement,
                    parameters,  # type: ignore[arg-type]
                )
            )
            for statement, parameters in [*asked]
        ]
    assert plans
    for plan in plans:
        for table in ("backup_log", "verifications", "backup_copies", "schedules"):
            assert f"SCAN {table}" not in plan, plan
            assert f"Seq Scan on {table}" not in plan, plan


def many(database: Database, targets: list[str], *, each: int) -> None:
    """Backups of each target with a copy and a verification, the newest an hour old."""
    now = utcnow()
    ids = [(name, f"{name}-{number}", now - number * HOUR - HOUR) for name in targets for number in range(each)]
    with database.transaction() as session:
        backup = {"status": "SUCCESS", "backup_size": 1, "pinned": False, "verified_level": "proven"}
        session.execute(
            insert(BackupLog),
            [
                {"id": key, "target": name, "backup_file": key, "created_at": at, "finished_at": at, **backup}
                for name, key, at in ids
            ],
        )
        copy = {"storage": "default", "key": "k", "status": "stored", "size": 1, "sha256": "0"}
        session.execute(insert(BackupCopy), [{"backup_id": key, **copy} for _, key, _ in ids])
        proof = {"level": "proven", "status": "success", "requested_by": "cli", "result": DRILL}
        session.execute(
            insert(Verification),
            [
                {"id": key, "backup_id": key, "target": name, "backup_file": key, "backup_created_at": at}
                | {"created_at": now, "finished_at": now, "refuted": False}
                | proof
                for name, key, at in ids
            ],
        )
