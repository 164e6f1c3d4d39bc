"""Restores below the API: what is recorded of them, what is kept, and what is swept."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import AlreadyEnded, BackupInProgress, InvalidInput, NotFound, RestoreUnsafe
from hhh.core.run import Progress
from hhh.jobs.heartbeat import Heartbeat
from hhh.jobs.liveness import Liveness
from hhh.jobs.worker import Worker, working
from hhh.models import Job, JobKind, JobState, Restore, Target
from hhh.services import restore_work
from support.backing_up import scratch_leftovers
from support.local_services import services_with_a_target
from support.logs import Log, log
from support.postgres import PostgresServer
from support.restoring import ADDRESS, WHO, RestoreBench, change, content
from support.restoring_process import RECORDING
from support.waiting import wait_until

__all__ = ["log"]

LONG_AGO = utcnow() - timedelta(hours=1)


@pytest.fixture
def bench(tmp_path: Path, own_database: Database) -> Iterator[RestoreBench]:
    services = services_with_a_target(tmp_path, own_database)
    with working(services) as worker:
        yield RestoreBench(services, worker)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The target's file."""
    return tmp_path / "source.db"


def without_heartbeat(bench: RestoreBench) -> RestoreBench:
    """The same, with a worker that does not look after its lease while it works."""
    database, name = bench.services.database, bench.worker.name
    liveness = Liveness(bench.services.settings.data_dir)
    return RestoreBench(bench.services, Worker(bench.services, name, Heartbeat(database, name), liveness))


def write(bench: RestoreBench, restore_id: str, **values: Any) -> None:
    with bench.services.database.transaction() as session:
        session.execute(update(Restore).where(Restore.id == restore_id).values(**values))


def unfinished(bench: RestoreBench, restore_id: str) -> bool:
    with bench.services.database.snapshot() as session:
        row = session.get(Restore, restore_id)
        assert row is not None
        return row.unfinished


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def main_files(folder: Path) -> set[str]:
    """Without what SQLite keeps beside a database that is used."""
    return {name for name in files(folder) if not name.endswith(("-wal", "-shm"))}


def test_a_backup_is_restored_into_a_new_file_and_a_receipt_says_so(
    bench: RestoreBench, live: Path, tmp_path: Path
) -> None:
    before = content(live)
    done = bench.restore(bench.backup(), destination=f"{tmp_path}/new.db")
    assert (done.status, done.error, done.error_code) == ("success", None, None)
    assert (done.requested_by, done.address, done.target, done.destination_target) == (WHO, ADDRESS, "source", "source")
    assert done.receipt is not None
    assert (done.receipt.differences, done.receipt.errors, done.kept) == ([], [], None)
    assert {table.name for table in done.receipt.tables} >= {"note", "author"}
    assert {check.name for check in done.checks} >= {"signature", "object"}
    assert done.steps
    assert content(tmp_path / "new.db") == content(live) == before
    assert not unfinished(bench, done.id)
    assert scratch_leftovers(tmp_path / "scratch") == []


def test_a_replaced_database_is_kept_and_an_undo_brings_it_back(bench: RestoreBench, live: Path) -> None:
    then = content(live)
    backup_id = bench.backup()
    change(live)
    changed = content(live)
    done = bench.replace(backup_id)
    assert (done.status, done.error) == ("success", None)
    assert content(live) == then
    assert done.kept
    assert done.receipt is not None
    assert (done.receipt.kept, done.receipt.kept_until) == (done.kept, done.kept_until)
    assert done.kept_until is not None
    undone = bench.undo(done.id)
    assert (undone.status, undone.error, undone.undo_of, undone.mode) == ("success", None, done.id, "replace")
    assert content(live) == changed
    first = bench.get(done.id)
    assert (first.kept, first.kept_until) == (None, None)
    assert first.undone_at is not None
    again = bench.undo(undone.id)
    assert (again.status, content(live)) == ("success", then)


@pytest.mark.parametrize("own", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_the_own_database_is_restored_into_something_new(
    request: pytest.FixtureRequest, tmp_path: Path, any_postgres: PostgresServer, own: str
) -> None:
    database: Database = request.getfixturevalue(f"{own}_database")
    services = services_with_a_target(tmp_path, database, pg_bin_dir=any_postgres.bin_dir)
    name = str(tmp_path / "data" / "own.db") if own == "sqlite" else f"{database.url.database}_new"
    with working(services) as worker:
        bench = RestoreBench(services, worker)
        done = bench.restore(bench.backup("app"), destination=name)
        assert (done.status, done.error) == ("success", None)
    url = database.url.set(database=name).render_as_string(hide_password=False)
    with contextlib.closing(Database(url)) as copy, copy.snapshot() as session:
        assert session.scalars(select(Target.name)).all() == ["source"]
    if own == "postgresql":
        any_postgres.drop_database(name)


@pytest.mark.parametrize("own", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_the_running_service_replaces_its_own_database(
    request: pytest.FixtureRequest, tmp_path: Path, any_postgres: PostgresServer, own: str
) -> None:
    database: Database = request.getfixturevalue(f"{own}_database")
    services = services_with_a_target(tmp_path, database, pg_bin_dir=any_postgres.bin_dir)
    with working(services) as worker:
        bench = RestoreBench(services, worker)
        then = bench.backup("app")
        since = bench.backup("source")
        services.targets.add("late", "sqlite:////late.db")
        done = bench.replace(then, target="app")
        assert (done.status, done.error) == ("success", None)
        assert services.targets.names() == ["app", "source"]
        assert [services.catalogue.get(each).status for each in (then, since)] == ["success", "success"]
        assert services.catalogue.stats().total_backups == 2
        undone = bench.undo(done.id)
        assert (undone.status, undone.error) == ("success", None)
        assert services.targets.names() == ["app", "late", "source"]
        assert {each.id for each in services.restores.page(cursor=None, limit=9).items} == {done.id, undone.id}
        assert services.catalogue.stats().total_backups == 2
        assert services.catalogue.get(bench.backup("source")).status == "success"
    if own == "postgresql" and undone.kept:
        any_postgres.drop_database(undone.kept)


def test_who_asked_for_what_and_how_it_ended_is_logged(bench: RestoreBench, tmp_path: Path, log: Log) -> None:
    backup_id = bench.backup()
    done = bench.restore(backup_id, destination=f"{tmp_path}/new.db")
    (asked,), (ended,) = log.lines("restore_requested"), log.lines("restore_ended")
    for line in (asked, ended):
        assert (line["restore_id"], line["backup_id"]) == (done.id, backup_id)
        assert (line["requested_by"], line["address"]) == (WHO, ADDRESS)
        assert (line["mode"], line["destination"]) == ("new", f"{tmp_path}/new.db")
    assert ended["status"] == "success"


def test_there_is_an_end_to_undoing(bench: RestoreBench, live: Path, tmp_path: Path) -> None:
    backup_id = bench.backup()
    with pytest.raises(NotFound):
        bench.undo("none")
    with pytest.raises(RestoreUnsafe, match="replaced nothing"):
        bench.undo(bench.restore(backup_id, destination=f"{tmp_path}/new.db").id)
    done = bench.replace(backup_id)
    write(bench, done.id, kept_until=LONG_AGO)
    with pytest.raises(RestoreUnsafe, match="no longer"):
        bench.undo(done.id)
    write(bench, done.id, kept_until=utcnow() + timedelta(days=1))
    bench.undo(done.id)
    with pytest.raises(RestoreUnsafe, match="undone already"):
        bench.undo(done.id)


def test_what_is_kept_goes_when_its_time_has_come(bench: RestoreBench, live: Path) -> None:
    backup_id = bench.backup()
    before = main_files(live.parent)
    done = bench.replace(backup_id)
    assert main_files(live.parent) > before
    bench.worker.sweep()
    assert bench.get(done.id).kept == done.kept
    write(bench, done.id, kept_until=LONG_AGO)
    waiting = bench.worker.create(bench.services.backups.request("source"))
    bench.worker.sweep()
    assert bench.get(done.id).kept == done.kept, "something is at work there"
    bench.worker.execute(waiting)
    bench.worker.sweep()
    assert bench.get(done.id).kept is None
    assert main_files(live.parent) == before


def test_a_dry_run_tells_what_would_happen_and_touches_nothing(bench: RestoreBench, live: Path, tmp_path: Path) -> None:
    backup_id, before = bench.backup(), files(tmp_path)
    planned = bench.restore(backup_id, destination=f"{tmp_path}/new.db", dry_run=True)
    assert (planned.status, planned.receipt, planned.error) == ("success", None, None)
    assert planned.steps
    assert {check.status for check in planned.checks} <= {"ok", "warning", "unknown"}
    unsafe = bench.restore(backup_id, destination=str(live), dry_run=True)
    assert unsafe.status == "success"
    assert "unsafe" in {check.status for check in unsafe.checks}
    assert files(tmp_path) == before


def test_what_stands_against_a_restore_is_told_at_once_and_leaves_no_row(bench: RestoreBench, live: Path) -> None:
    backup_id = bench.backup()
    with pytest.raises(RestoreUnsafe) as error:
        bench.ask(backup_id, destination=str(live))
    assert error.value.reasons
    assert bench.services.restores.page(cursor=None, limit=1).items == []
    assert bench.worker.adopt_queued() == []


def test_what_only_the_object_tells_ends_the_job(bench: RestoreBench, live: Path, tmp_path: Path) -> None:
    backup_id, before = bench.backup(), content(live)
    (copy,) = bench.services.catalogue.get(backup_id).copies
    stored = tmp_path / "data" / "backups" / copy.key
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)
    failed = bench.replace(backup_id)
    assert (failed.status, failed.error_code) == ("failed", "ERR_RESTORE_UNSAFE")
    assert failed.error
    assert not unfinished(bench, failed.id)
    assert (content(live), failed.kept) == (before, None)
    assert scratch_leftovers(tmp_path / "scratch") == []


def test_expected_seconds_come_from_earlier_receipts(bench: RestoreBench, tmp_path: Path) -> None:
    backup_id = bench.backup()
    first = bench.restore(backup_id, destination=f"{tmp_path}/1.db")
    second = bench.restore(backup_id, destination=f"{tmp_path}/2.db")
    assert first.expected_seconds is None
    assert first.receipt is not None
    assert second.expected_seconds == pytest.approx(first.receipt.raw_bytes / first.receipt.bytes_per_second)


def test_a_target_has_one_backup_or_restore_at_a_time(bench: RestoreBench, tmp_path: Path) -> None:
    backup_id = bench.backup()
    waiting = bench.ask(backup_id, destination=f"{tmp_path}/new.db")
    for mode in ({"destination": f"{tmp_path}/other.db"}, {"mode": "replace", "confirm": "source"}):
        with pytest.raises(BackupInProgress):
            bench.ask(backup_id, **mode)
    with pytest.raises(BackupInProgress):
        bench.backup()
    assert bench.run(waiting).status == "success"
    bench.backup()


@pytest.mark.parametrize("stage", ["queued", "checks", "download", "restore", "compare"])
def test_a_cancelled_restore_leaves_everything_as_it_was(
    bench: RestoreBench, live: Path, tmp_path: Path, stage: str
) -> None:
    backup_id, before = bench.backup(), content(live)
    change(live)
    changed, names = content(live), main_files(tmp_path)
    asked = bench.ask(backup_id, mode="replace", confirm="source")
    reached = threading.Event()

    def cancel(progress: Progress) -> None:
        if progress.stage == stage and not reached.is_set():
            reached.set()
            bench.services.following.cancel(JobKind.RESTORE, asked)

    if stage == "queued":
        bench.services.following.cancel(JobKind.RESTORE, asked)
        reached.set()
    cancelled = bench.run(asked, cancel)
    assert reached.is_set()
    assert (cancelled.status, cancelled.error) == ("cancelled", "The restore was cancelled")
    assert cancelled.error_code is None
    assert content(live) == changed != before
    assert main_files(tmp_path) == names
    with pytest.raises(AlreadyEnded, match="ended already"):
        bench.services.following.cancel(JobKind.RESTORE, asked)


def test_a_restore_that_was_given_up_does_not_swap(bench: RestoreBench, live: Path) -> None:
    backup_id = bench.backup()
    change(live)
    changed = content(live)
    asked = bench.ask(backup_id, mode="replace", confirm="source")

    def give_up(progress: Progress) -> None:
        if progress.stage == "compare":
            with bench.services.database.transaction() as session:
                session.execute(update(Job).where(Job.id == asked).values(attempt=7))

    given_up = bench.run(asked, give_up)
    assert given_up.status == "running"
    assert content(live) == changed


def test_a_restore_that_happened_is_never_told_as_failed(bench: RestoreBench, live: Path) -> None:
    stages: list[str] = []
    then = content(live)
    backup_id = bench.backup()
    change(live)
    asked = bench.ask(backup_id, mode="replace", confirm="source")

    def give_up(progress: Progress) -> None:
        stages.append(progress.stage)
        if stages.count("swap") == 2:  # after the last look at the row; a heartbeat could still hear of it
            with bench.services.database.transaction() as session:
                session.execute(update(Job).where(Job.id == asked).values(state=JobState.FAILED))
                session.execute(update(Restore).where(Restore.id == asked).values(status="failed", error="died"))

    done = without_heartbeat(bench).run(asked, give_up)
    assert (done.status, done.error, content(live)) == ("success", None, then)
    assert bench.undo(done.id).status == "success"


@pytest.mark.parametrize(
    ("stage", "times"),
    # `swap` is told once before the row is asked for the last time, and once after.
    [("checks", 1), ("download", 1), ("restore", 1), ("compare", 1), ("swap", 1), ("swap", 2), (RECORDING, 1)],
)
def test_after_a_killed_restore_the_next_worker_finds_out_and_clears_up(
    bench: RestoreBench, live: Path, tmp_path: Path, stage: str, times: int
) -> None:
    then, backup_id = content(live), bench.backup()
    change(live)
    changed, names = content(live), main_files(tmp_path)
    asked = bench.ask(backup_id, mode="replace", confirm="source")
    bench.die(asked, stage, times=times)
    bench.clear_up()
    found = bench.get(asked)
    assert not unfinished(bench, asked)
    assert scratch_leftovers(tmp_path / "scratch") == []
    if stage == RECORDING:
        assert (found.status, found.error, content(live)) == ("success", None, then)
        assert main_files(tmp_path) == names | {Path(found.kept or "").name}
        assert bench.undo(asked).status == "success"
    else:
        assert (found.status, found.kept, found.error_code) == ("failed", None, "ERR_RESTORE_FAILED")
        assert "process that ran the restore ended" in str(found.error)
        assert main_files(tmp_path) == names
    assert content(live) == changed
    assert bench.replace(backup_id).status == "success"
    assert content(live) == then


@pytest.mark.parametrize("stage", ["swap", RECORDING])
def test_after_a_killed_undo_the_next_worker_finds_out_as_well(bench: RestoreBench, live: Path, stage: str) -> None:
    then, backup_id = content(live), bench.backup()
    change(live)
    changed = content(live)
    done = bench.replace(backup_id)
    undo = bench.worker.create(bench.services.restores.undo(done.id, requested_by=WHO, address=ADDRESS))
    bench.die(undo, stage)
    bench.clear_up()
    happened = stage == RECORDING
    assert content(live) == (changed if happened else then)
    assert bench.get(undo).status == ("success" if happened else "failed")
    assert (bench.get(done.id).undone_at is not None) == happened
    assert bench.undo(undo if happened else done.id).status == "success"
    assert content(live) == (then if happened else changed)


@pytest.mark.parametrize("stage", ["compare", RECORDING])
def test_after_a_killed_restore_into_a_new_file_it_is_there_or_not(
    bench: RestoreBench, live: Path, tmp_path: Path, stage: str
) -> None:
    asked, names = bench.ask(bench.backup(), destination=f"{tmp_path}/new.db"), main_files(tmp_path)
    bench.die(asked, stage)
    bench.clear_up()
    happened = stage == RECORDING
    assert main_files(tmp_path) == names | ({"new.db"} if happened else set())
    assert bench.get(asked).status == ("success" if happened else "failed")


def test_what_can_not_be_swept_is_left_for_later(bench: RestoreBench, tmp_path: Path) -> None:
    asked = bench.ask(bench.backup(), destination=f"{tmp_path}/new.db")
    bench.die(asked, "compare")
    with bench.services.database.transaction() as session:
        sealed = session.scalars(select(Target.sealed_url)).one()
        session.execute(update(Target).values(sealed_url="unreadable"))
    bench.clear_up()
    assert (bench.get(asked).status, unfinished(bench, asked)) == ("failed", True)
    with bench.services.database.transaction() as session:
        session.execute(update(Target).values(sealed_url=sealed))
    bench.worker.sweep()
    assert unfinished(bench, asked), "not yet"
    bench.services.restore_work._sweep._later.clear()
    bench.worker.sweep()
    assert not unfinished(bench, asked)


@pytest.mark.postgres
@pytest.mark.parametrize("patience", [20.0, 0.0])
def test_a_restore_that_happened_is_recorded_as_soon_as_the_own_database_is_back(
    tmp_path: Path,
    postgresql_database: Database,
    any_postgres: PostgresServer,
    live: Path,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
) -> None:
    monkeypatch.setattr(restore_work, "_RECORDING_SECONDS", patience)
    own = postgresql_database.url.database
    services = services_with_a_target(tmp_path, postgresql_database)
    stages: list[str] = []

    def leave(progress: Progress) -> None:
        stages.append(progress.stage)
        if stages.count("swap") == 2:
            any_postgres.execute(f'ALTER DATABASE "{own}" ALLOW_CONNECTIONS false')
            any_postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{own}'")

    with working(services) as worker, ThreadPoolExecutor(1) as thread:
        bench = RestoreBench(services, worker)
        then, backup_id = content(live), bench.backup()
        change(live)
        asked = bench.ask(backup_id, mode="replace", confirm="source")
        ended = thread.submit(worker.execute, asked, leave)
        refused = "restore_not_recorded_yet" if patience else "ending_not_recorded"
        wait_until(lambda: log.lines(refused), what="a record that was refused")
        any_postgres.execute(f'ALTER DATABASE "{own}" ALLOW_CONNECTIONS true')
        ended.result()
        worker.tidy()
        assert (bench.get(asked).status, content(live)) == ("success", then)
        assert bench.get(asked).kept


def test_pages_are_newest_first(bench: RestoreBench, tmp_path: Path) -> None:
    backup_id = bench.backup()
    asked = [bench.restore(backup_id, destination=f"{tmp_path}/{name}.db", dry_run=True).id for name in "abc"]
    first = bench.services.restores.page(cursor=None, limit=2)
    second = bench.services.restores.page(cursor=first.next_cursor, limit=2)
    assert [row.id for row in (*first.items, *second.items)] == asked[::-1]
    assert second.next_cursor is None
    with pytest.raises(InvalidInput, match="cursor"):
        bench.services.restores.page(cursor="none", limit=2)


def test_dry_runs_and_restores_are_listed_apart(bench: RestoreBench, tmp_path: Path) -> None:
    backup_id = bench.backup()
    looked = [bench.restore(backup_id, destination=f"{tmp_path}/{name}.db", dry_run=True).id for name in "ab"]
    restored = bench.restore(backup_id, destination=f"{tmp_path}/c.db").id
    first = bench.services.restores.page(dry_run=True, cursor=None, limit=1)
    second = bench.services.restores.page(dry_run=True, cursor=first.next_cursor, limit=1)
    others = bench.services.restores.page(dry_run=False, cursor=None, limit=9)
    assert [row.id for row in (*first.items, *second.items)] == looked[::-1]
    assert ([row.id for row in others.items], second.next_cursor) == ([restored], None)
