"""The catalogue's queries find in an index what they look for, whatever its size, and leave nothing out."""

import functools
import itertools
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.models import BackupLog, BackupStatus, JobKind
from hhh.repositories import backups, jobs, retention
from hhh.repositories.backups import Position, SizePosition
from hhh.schemas.backup import BackupFilter, BackupSort

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
POSITION = Position(NOON, "x")
FAILED = BackupStatus.FAILED

QUERIES: dict[str, Callable[[Session], object]] = {
    "newest_successful": backups.newest_successful,
    "first page of logs": lambda session: backups.finished_page(session, limit=50, offset=0),
    "far page of logs": lambda session: backups.finished_page(session, limit=50, offset=10_000),
    "free file": lambda session: backups.first_free_file(session, "app", ["backup_20250101_120000.sql"]),
    "busy target": lambda session: jobs.active_of(session, JobKind.BACKUP, "app"),
    "restores under way": lambda session: retention.is_being_restored(session, "x"),
    "candidates of a target": lambda session: retention.candidates(session, "app"),
    "newer good ones": lambda session: retention.good_newer(session, _backup(1), count=3),
    "newer proven ones": lambda session: retention.proven_newer(session, _backup(1)),
    "tombstones of a target": lambda session: retention.being_removed(session, "app"),
    "due removals": lambda session: retention.due_removals(session, "app", now=NOON),
    "targets to prune": lambda session: retention.targets_to_prune(session, now=NOON),
}

FILTERS = [
    BackupFilter(),
    BackupFilter(target="app"),
    BackupFilter(status=FAILED),
    BackupFilter("app", FAILED),
    BackupFilter("app", FAILED, NOON - timedelta(days=1), NOON + timedelta(days=1)),
    BackupFilter(created_from=NOON - timedelta(days=1)),
]


@pytest.fixture
def many(own_database: Database) -> Database:
    """Backups of two targets, several in the same moment, every third failed."""
    with own_database.transaction() as session:
        session.add_all(_backup(number) for number in range(60))
    return own_database


def _page(narrowed: BackupFilter) -> Callable[[Session], object]:
    return lambda session: backups.page_after(session, narrowed, position=POSITION, limit=50)


def _all_pages(database: Database, narrowed: BackupFilter, sort: BackupSort) -> list[BackupLog]:
    found: list[BackupLog] = []
    by_size = sort in {BackupSort.LARGEST, BackupSort.SMALLEST}
    position: Position | SizePosition | None = None
    with database.snapshot() as session:
        while page := backups.page_after(session, narrowed, sort=sort, position=position, limit=7):
            found += page
            last = page[-1]
            position = SizePosition(last.backup_size, last.id) if by_size else Position(last.created_at, last.id)
    return found


def _backup(number: int) -> BackupLog:
    return BackupLog(
        id=str(uuid.uuid4()),
        target=("app", "shop")[number % 2],
        backup_file=f"backup_{number}.sql",
        status=FAILED if number % 3 == 0 else BackupStatus.SUCCESS,
        created_at=NOON + timedelta(seconds=number // 4),
        finished_at=NOON + timedelta(minutes=1),
        backup_size=0 if number % 3 == 0 else 1 + number % 5,
        manifest={"number": number},
        pinned=number % 10 == 0,
        verified_level={1: "proven", 2: "stored"}.get(number % 8),
    )


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_looks_up_an_index_and_sorts_no_table(
    own_database: Database, query: Callable[[Session], object]
) -> None:
    plan = _plan(own_database, query)
    assert "INDEX" in plan.upper()
    assert "SCAN backup_log\n" not in plan
    assert "Seq Scan on backup_log" not in plan
    assert "Seq Scan on jobs" not in plan
    assert "SCAN jobs\n" not in plan
    assert "SCAN policies\n" not in plan


@pytest.mark.parametrize("narrowed", FILTERS, ids=str)
def test_a_page_begins_at_its_position_in_the_index(own_database: Database, narrowed: BackupFilter) -> None:
    plan = _plan(own_database, _page(narrowed))
    [line] = [line for line in plan.splitlines() if "(created_at,id)<(" in line or "ROW(created_at" in line]
    assert line.strip().startswith(("SEARCH backup_log USING INDEX", "SEARCH backup_log USING COVERING", "Index Cond:"))


@pytest.mark.parametrize("narrowed", [BackupFilter(), BackupFilter(target="app"), BackupFilter("app", FAILED)])
def test_pages_hold_every_backup_once_newest_first(many: Database, narrowed: BackupFilter) -> None:
    found: list[BackupLog] = []
    with many.snapshot() as session:
        position = None
        while page := backups.page_after(session, narrowed, position=position, limit=7):
            found += page
            position = Position(page[-1].created_at, page[-1].id)
        everything = backups.page_after(session, narrowed, position=None, limit=100)
    assert [row.id for row in found] == [row.id for row in everything]
    assert [row.created_at for row in found] == sorted((row.created_at for row in found), reverse=True)
    assert len(found) == {BackupFilter(): 60, BackupFilter(target="app"): 30}.get(narrowed, 10)


def test_pages_of_another_order_hold_the_same_backwards(many: Database) -> None:
    wanted = [BackupFilter(), BackupFilter(proven=False), BackupFilter("app", pinned=True)]
    for narrowed, (one, other) in itertools.product(wanted, [("oldest", "newest"), ("smallest", "largest")]):
        found = _all_pages(many, narrowed, BackupSort(one))
        backwards = reversed(_all_pages(many, narrowed, BackupSort(other)))
        assert [row.id for row in found] == [row.id for row in backwards]
        assert found


def test_by_size_there_are_only_those_that_are_stored(many: Database) -> None:
    found = _all_pages(many, BackupFilter(), BackupSort.LARGEST)
    assert [row.backup_size for row in found] == sorted((row.backup_size for row in found), reverse=True)
    assert len(found) == 40
    assert {row.status for row in found} == {BackupStatus.SUCCESS}


def test_a_listing_holds_what_it_is_narrowed_to(many: Database) -> None:
    counts = {
        BackupFilter(pinned=True): 6,
        BackupFilter(pinned=False): 54,
        BackupFilter(proven=True): 8,
        BackupFilter(proven=False): 52,
        BackupFilter("shop", pinned=True): 0,
        BackupFilter("app", BackupStatus.SUCCESS, proven=False, pinned=True): 4,
    }
    for narrowed, count in counts.items():
        assert len(_all_pages(many, narrowed, BackupSort.NEWEST)) == count, narrowed


def test_what_nobody_wants_is_skipped_in_the_index(own_database: Database) -> None:
    wanted = [BackupFilter(), BackupFilter(proven=False), BackupFilter(pinned=True), BackupFilter(created_from=NOON)]
    for narrowed, sort in itertools.product(wanted, BackupSort):
        by_size = sort in {BackupSort.LARGEST, BackupSort.SMALLEST}
        position = SizePosition(1, "x") if by_size else POSITION
        query = functools.partial(backups.page_after, narrowed=narrowed, sort=sort, position=position, limit=50)
        index = "ix_backup_log_size" if by_size else "ix_backup_log_listed"
        plan = _plan(own_database, query)
        assert f"USING COVERING INDEX {index}" in plan or f"using {index}" in plan, (narrowed, sort)


def test_a_listing_may_leave_manifests_in_the_database(many: Database) -> None:
    with many.snapshot() as session:
        [row, *_] = backups.page_after(session, BackupFilter(), position=None, limit=3, with_manifests=False)
        with pytest.raises(InvalidRequestError):
            _ = row.manifest


@pytest.mark.parametrize("seconds", [3, 8, 9, 10, 20])
def test_a_page_after_a_position_keeps_to_the_time_asked_for(many: Database, seconds: int) -> None:
    before = NOON + timedelta(seconds=seconds)
    position = Position(NOON + timedelta(seconds=9), "x")
    with many.snapshot() as session:
        page = backups.page_after(session, BackupFilter(created_before=before), position=position, limit=100)
    assert {row.created_at for row in page} == {
        NOON + timedelta(seconds=each) for each in range(min(seconds, 10)) if each < seconds
    }


def test_the_listings_of_the_runbook_leave_manifests_in_the_database(many: Database) -> None:
    with many.snapshot() as session:
        rows = [*backups.finished_page(session, limit=3, offset=0), backups.newest_successful(session)]
        for row in rows:
            with pytest.raises(InvalidRequestError):
                _ = row and row.manifest


def test_a_file_name_that_the_target_has_is_not_free_to_it_alone(many: Database) -> None:
    names = ["backup_0.sql", "backup_2.sql", "backup_2_2.sql"]
    with many.snapshot() as session:
        assert backups.first_free_file(session, "app", names) == "backup_2_2.sql"
        assert backups.first_free_file(session, "shop", names) == "backup_0.sql"


def _plan(database: Database, query: Callable[[Session], object]) -> str:
    """How the database would answer; with an empty table, PostgreSQL has to be told that it has many rows."""
    explain = "EXPLAIN QUERY PLAN " if database.engine.dialect.name == "sqlite" else "EXPLAIN "
    asked: list[tuple[str, object]] = []

    def take(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    with database.transaction() as session:
        if database.engine.dialect.name != "sqlite":
            session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"))
        event.listen(database.engine, "before_cursor_execute", take)
        query(session)
        event.remove(database.engine, "before_cursor_execute", take)
        found = ""
        for statement, parameters in asked:
            lines = session.connection().exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
            found += "".join(f"{line[-1]}\n" for line in lines)
        return found
