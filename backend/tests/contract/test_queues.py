"""What every queue of jobs must do, on every own database that it works with."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hhh.core.database import Database
from hhh.core.errors import BackupInProgress
from hhh.models import JobKind, JobState
from support.own_databases import postgresql_database, settings, sqlite_database
from support.postgres import PostgresServer
from support.queues import TARGETS, OpenedQueue, QueueBench, end_in_good_order, freeze, thaw, verified
from support.waiting import wait_until

__all__ = ["postgresql_database", "settings", "sqlite_database"]

#: Kinds of queues, each with the own database that it works on.
CASES = [
    pytest.param(("embedded", "sqlite"), id="embedded-sqlite"),
    # The queue of the first on the own database of the third.
    pytest.param(("embedded", "postgresql"), id="embedded-postgresql", marks=[pytest.mark.postgres, pytest.mark.soak]),
    pytest.param(("procrastinate", "postgresql"), id="procrastinate", marks=pytest.mark.postgres),
]


@pytest.fixture
def procrastinate_settings(any_postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """A jobs database, dropped afterwards."""
    name = any_postgres.create_database()
    yield {"jobs_database_url": any_postgres.url(name)}
    any_postgres.drop_database(name)


@pytest.fixture(params=CASES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> QueueBench:
    """Queues of each kind in turn, and targets."""
    kind, database_kind = request.param
    database: Database = request.getfixturevalue(f"{database_kind}_database")
    more = request.getfixturevalue(f"{kind}_settings") if kind != "embedded" else {}
    url = database.url.set(drivername=database_kind).render_as_string(hide_password=False)
    bench = QueueBench(kind, tmp_path, url, database, more)
    bench.prepare()
    return bench


def test_a_job_is_begun_at_once_and_recorded(bench: QueueBench) -> None:
    with bench.open() as opened:
        job_id = opened.ask()
        opened.wait_for(job_id)
        assert opened.status(job_id) == "success"
    job = bench.job(job_id)
    assert (job.state, job.attempt, job.error) == (JobState.SUCCESS, 1, None)


def test_of_many_that_ask_for_a_target_at_once_one_is_taken(bench: QueueBench) -> None:
    bench.gate.hold("one")

    def ask(_: int) -> str | None:
        try:
            return opened.ask()
        except BackupInProgress:
            return None

    with bench.open() as opened:
        with ThreadPoolExecutor(8) as crowd:
            [job_id] = filter(None, crowd.map(ask, range(8)))
        bench.gate.let_go("one")
        opened.wait_for(job_id)
    assert bench.gate.begun() == ["one.1"]


def test_any_number_of_verifications_of_a_target_is_taken_beside_its_backup(bench: QueueBench) -> None:
    with bench.open() as opened:
        backup_id = opened.ask()
        opened.wait_for(backup_id)
        bench.gate.hold("one", attempt=1)
        again = opened.ask()
        ask = opened.services.verifications.request
        asked = [opened.queue.enqueue(ask(backup_id, "stored", requested_by="cli")) for _ in range(3)]
        for each in asked:
            opened.wait_for(each)
        assert {opened.services.verifications.get(each).status for each in asked} == {"success"}
        assert opened.status(again) == "running"
        bench.gate.let_go("one")
        opened.wait_for(again)


def test_a_running_job_is_cancelled_and_then_its_target_is_free(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.open() as opened:
        job_id = opened.ask()
        bench.gate.wait_for("one")
        assert opened.services.cancelling.cancel(job_id, JobKind.BACKUP) is JobState.RUNNING
        opened.wait_for(job_id)
        assert opened.status(job_id) == "cancelled"
        assert bench.objects() == []
        bench.gate.let_go("one")
        again = opened.ask()
        opened.wait_for(again)
        assert opened.status(again) == "success"


def test_a_queued_job_is_cancelled_at_once(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.open(worker_slots=1) as opened:
        first = opened.ask("one")
        bench.gate.wait_for("one")
        second = opened.ask("two")
        assert opened.services.cancelling.cancel(second, JobKind.BACKUP) is JobState.CANCELLED
        assert opened.status(second) == "cancelled"
        opened.wait_for(second)
        bench.gate.let_go("one")
        opened.wait_for(first)
    assert bench.gate.begun() == ["one.1"]


def test_what_may_pass_is_tried_again_as_often_as_asked(bench: QueueBench) -> None:
    for attempt in (1, 2):
        bench.gate.fail("one", attempt)
    with bench.open() as opened:
        job_id = opened.ask(retries=2)
        job = bench.wait_for_state(job_id, JobState.SUCCESS, JobState.FAILED)
        assert (job.state, job.attempt, job.retries_left) == (JobState.SUCCESS, 3, 0)
        assert opened.status(job_id) == "success"
        assert opened.services.catalogue.stats().total_backups == 1


def test_what_fails_more_often_than_it_is_tried_has_failed(bench: QueueBench) -> None:
    for attempt in (1, 2):
        bench.gate.fail("one", attempt)
    with bench.open() as opened:
        job_id = opened.ask(retries=1)
        job = bench.wait_for_state(job_id, JobState.SUCCESS, JobState.FAILED)
        assert (job.state, job.attempt, job.error) == (JobState.FAILED, 2, "The store is away")
        assert opened.services.catalogue.stats().failed_backups == 1


def test_a_further_attempt_begins_no_sooner_than_it_may(bench: QueueBench) -> None:
    bench.gate.fail("one")
    with bench.open() as opened:
        job_id = opened.ask(retries=1)
        waiting = wait_until(lambda: bench.job(job_id).not_before, what="an attempt that failed")
        done = bench.wait_for_state(job_id, JobState.SUCCESS)
    assert waiting is not None
    assert done.started_at is not None
    assert done.started_at >= waiting


def test_who_waited_too_long_is_ended_and_not_tried_again(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.open() as opened:
        job_id = opened.ask(retries=3, time_limit=1)
        opened.wait_for(job_id)
        assert opened.status(job_id) == "failed"
    job = bench.job(job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert "time limit of 1 s " in (job.error or "")


def test_a_job_of_a_killed_worker_is_taken_over(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.elsewhere() as process:
        job_id = bench.leave_to_others()
        bench.gate.wait_for("one")
        with bench.open() as opened:
            process.kill()
            bench.wait_for_state(job_id, JobState.SUCCESS, JobState.FAILED)
            assert opened.status(job_id) == "success"
            assert opened.services.catalogue.stats().total_backups == 1
    assert bench.job(job_id).attempt == 2
    assert len(bench.manifests()) == 1


def test_a_worker_that_was_frozen_finalises_nothing_when_it_wakes_up(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.elsewhere() as process:
        job_id = bench.leave_to_others()
        bench.gate.wait_for("one")
        with bench.database.transaction():  # SQLite's one writer is we, so that nobody is frozen who writes
            freeze(process)
        with bench.open() as opened:
            bench.wait_for_state(job_id, JobState.SUCCESS)
            left = bench.objects()
            bench.gate.let_go("one")
            thaw(process)
            end_in_good_order(process)
            assert opened.services.catalogue.stats().total_backups == 1
    job = bench.job(job_id)
    assert (job.state, job.attempt) == (JobState.SUCCESS, 2)
    assert bench.objects() == left


def test_a_worker_that_stops_hands_back_what_does_not_end_in_time(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.open("first", drain_seconds=0) as opened:
        job_id = opened.ask()
        bench.gate.wait_for("one")
    assert bench.job(job_id).state == JobState.QUEUED
    with bench.open("second") as opened:
        job = bench.wait_for_state(job_id, JobState.SUCCESS, JobState.FAILED)
        assert (job.state, job.attempt) == (JobState.SUCCESS, 2)
        assert opened.services.catalogue.stats().total_backups == 1


def test_no_more_run_at_once_than_may_and_the_next_begins_when_one_ends(bench: QueueBench) -> None:
    for name in TARGETS:
        bench.gate.hold(name)
    with bench.open(running_limit=2) as opened:
        job_ids = [opened.ask(name) for name in TARGETS]
        wait_until(lambda: len(bench.gate.begun()) == 2, what="two that run")
        waiting = next(name for name in TARGETS if f"{name}.1" not in bench.gate.begun())
        assert states(bench, job_ids) == ["queued", "running", "running"]
        running = next(name for name in TARGETS if name != waiting)
        bench.gate.let_go(running)
        bench.gate.wait_for(waiting)
        for name in {*TARGETS} - {running}:
            bench.gate.let_go(name)
        for job_id in job_ids:
            opened.wait_for(job_id)
        assert [opened.status(job_id) for job_id in job_ids] == ["success"] * 3
    assert [bench.job(job_id).attempt for job_id in job_ids] == [1, 1, 1]


def test_a_worker_takes_jobs_of_its_queues_alone(bench: QueueBench) -> None:
    with bench.open("first", worker_queues="restore,upkeep") as asking:
        job_id = asking.ask()
        with bench.open("second", worker_queues="backup"):
            asking.wait_for(job_id)
            [taker] = [each.id for each in asking.services.workers.list() if each.queues == ["backup"]]
    job = bench.job(job_id)
    assert (job.state, job.attempt, job.worker) == (JobState.SUCCESS, 1, taker)


def test_what_nobody_takes_waits_and_is_told(bench: QueueBench) -> None:
    with bench.open(worker_queues="verify,upkeep") as opened:
        job_id = opened.ask()
        assert opened.services.workers.untaken() == {"backup": 1, "restore": 0}
    assert (bench.job(job_id).state, bench.job(job_id).attempt) == (JobState.QUEUED, 0)


def test_what_a_killed_worker_ran_waits_for_another_that_takes_it(bench: QueueBench) -> None:
    bench.gate.hold("one")
    with bench.elsewhere(queues="backup") as process, bench.open("other", worker_queues="verify"):
        job_id = bench.leave_to_others()
        bench.gate.wait_for("one")
        process.kill()
        assert bench.wait_for_state(job_id, JobState.QUEUED, JobState.FAILED).state == JobState.QUEUED
        with bench.open("third", worker_queues="backup"):
            job = bench.wait_for_state(job_id, JobState.SUCCESS, JobState.FAILED)
    assert (job.state, job.attempt) == (JobState.SUCCESS, 2)


def test_one_verification_runs_at_a_time_and_no_backup_waits_for_it(bench: QueueBench) -> None:
    with bench.open() as opened:
        first, second = stored(opened, "one", "two")
        bench.gate.hold(verified("one"))
        running = opened.verify(first)
        bench.gate.wait_for(verified("one"))
        waiting = opened.verify(second)
        stored(opened, "three")
        assert states(bench, [running, waiting]) == ["queued", "running"]
        bench.gate.let_go(verified("one"))
        for job_id in (running, waiting):
            opened.wait_for(job_id)
            assert opened.services.verifications.get(job_id).status == "success"


def test_a_worker_that_takes_nothing_else_runs_several_verifications_at_once(bench: QueueBench) -> None:
    with bench.open("first", worker_queues="backup") as opened:
        backup_ids = stored(opened, "one", "two")
    for name in ("one", "two"):
        bench.gate.hold(verified(name))
    with bench.open("second", worker_queues="verify") as prover:
        job_ids = [prover.verify(backup_id) for backup_id in backup_ids]
        for name in ("one", "two"):
            bench.gate.wait_for(verified(name))
        for name in ("one", "two"):
            bench.gate.let_go(verified(name))
        for job_id in job_ids:
            prover.wait_for(job_id)
            assert prover.services.verifications.get(job_id).status == "success"


def stored(opened: OpenedQueue, *targets: str) -> list[str]:
    """Backups of these targets that have succeeded; their ids."""
    job_ids = [opened.ask(target) for target in targets]
    for job_id in job_ids:
        opened.wait_for(job_id)
        assert opened.status(job_id) == "success"
    return job_ids


def states(bench: QueueBench, job_ids: list[str]) -> list[str]:
    return sorted(bench.job(job_id).state for job_id in job_ids)
