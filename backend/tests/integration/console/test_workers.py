"""The page of workers: who is alive, what runs and waits, and what became of upkeep."""

import re
import uuid
from datetime import datetime, timedelta

from hhh.core.clock import utcnow
from hhh.models import Job, JobKind, JobState, WorkerRow, WorkerState
from support.console import Console, a_console
from support.session import current_session

NOBODY = "5f1f2f0e-0000-4000-8000-000000000000"


def add_job(console: Console, kind: JobKind, state: JobState, target: str = "shop", **more: object) -> str:
    """The id of a job of which there is the row alone, and which no worker takes."""
    now = utcnow()
    job = Job(id=str(uuid.uuid4()), kind=kind, target=target, state=state, worker=NOBODY, attempt=1)
    job.created_at, job.lease_expires_at = now, now + timedelta(seconds=25)
    if state != JobState.QUEUED:
        job.started_at = now
    if state not in (JobState.QUEUED, JobState.RUNNING):
        job.finished_at = now + timedelta(seconds=4)
    for name, value in more.items():
        setattr(job, name, value)
    with console.database.transaction() as session:
        session.add(job)
    return job.id


def add_worker(console: Console, name: str, *, heartbeat_at: datetime, **more: object) -> str:
    """The id of a worker on another machine."""
    row = WorkerRow(id=str(uuid.uuid4()), name=name, host="elsewhere", pid=7, version="0.1", state=WorkerState.ACTIVE)
    row.slots, row.queues, row.started_at, row.heartbeat_at = 2, "upkeep", heartbeat_at, heartbeat_at
    for field, value in more.items():
        setattr(row, field, value)
    with console.database.transaction() as session:
        session.add(row)
    return row.id


def test_a_service_that_has_nothing_to_do_says_so(fresh_console: Console) -> None:
    page = fresh_console.get("/workers")

    [worker] = page.rows("Workers")
    assert (worker["State"], worker["Takes"], worker["Slots"]) == ("alive", "backup, restore, verify, upkeep", "0 of 4")
    assert page.notices == []
    for said in ("Nothing runs.", "Nothing waits.", "None yet: the first sweep"):
        assert said in page.text


def test_a_worker_that_gives_no_sign_of_life_is_lost(fresh_console: Console) -> None:
    console, now = fresh_console, utcnow()
    add_worker(console, "prover", heartbeat_at=now - timedelta(minutes=5))
    add_worker(console, "leaving", heartbeat_at=now, state=WorkerState.DRAINING)

    states = {
        row["Worker"]: (row["State"], row["Last sign of life"]) for row in console.get("/workers").rows("Workers")
    }

    assert states["prover"] == ("lost", "5 min ago")
    assert states["leaving"][0] == "stopping"


def test_what_runs_leads_to_what_it_makes_and_tells_how_far_it_is(fresh_console: Console) -> None:
    console = fresh_console
    worker = add_worker(console, "prover", heartbeat_at=utcnow())
    progress = {"stage": "restore", "percent": 40.0}
    drill = add_job(console, JobKind.VERIFY, JobState.RUNNING, worker=worker, progress=progress)
    add_job(console, JobKind.SWEEP, JobState.RUNNING, "*")

    page = console.get("/workers")

    running = {row["Job"]: row for row in page.rows("Running")}
    assert page.links["Drill"] == f"/drills/{drill}"
    assert (running["Drill"]["Worker"], running["Drill"]["Progress"]) == ("prover", "restoring 40 %")
    assert (running["Sweep"]["Of"], running["Sweep"]["Worker"]) == ("all stores", "one that is gone")
    assert "Drill of shop" in {row["Worker"]: row["Runs"] for row in page.rows("Workers")}["prover"]


def test_what_waits_says_for_what_and_what_nobody_takes_is_a_warning() -> None:
    folder = current_session().new_folder("console")
    with a_console(folder, worker_queues="restore,upkeep", running_limit=1) as console:
        soon = utcnow() + timedelta(minutes=5)
        add_job(console, JobKind.VERIFY, JobState.QUEUED)
        add_job(console, JobKind.REPAIR, JobState.QUEUED, not_before=soon, error="connection refused", attempt=2)
        add_job(console, JobKind.BACKUP, JobState.RUNNING, "other")
        add_job(console, JobKind.RESTORE, JobState.QUEUED, not_before=None)

        page = console.get("/workers")

        waiting = {row["Job"]: row["Waits for"] for row in page.rows("Waiting")}
        assert waiting["Drill"] == "a worker that takes verify jobs"
        assert re.fullmatch(r"its next attempt, in \d min last: connection refused", waiting["Repair of copies"])
        assert waiting["Restore"] == "the end of another: as many run as HHH_RUNNING_LIMIT lets"
        [notice] = page.notices
        assert notice.startswith("No living worker takes backup, verify: no backup is taken; nothing is verified.")
        assert "1 job waits for that." in notice
        assert "Add it to HHH_WORKER_QUEUES" in notice


def test_a_job_that_waits_is_cancelled_and_one_that_has_ended_is_not(fresh_console: Console) -> None:
    console = fresh_console
    job = add_job(console, JobKind.REPAIR, JobState.QUEUED, not_before=utcnow() + timedelta(minutes=5))
    page = console.get("/workers")

    cancelled = console.press(page, "Cancel: Repair of copies of shop")

    assert cancelled.notices == ["It was asked to stop, and does so within seconds."]
    assert cancelled.rows("Upkeep")[0]["State"] == "cancelled"
    ended = add_job(console, JobKind.PRUNE, JobState.SUCCESS)
    assert console.send(f"/workers/jobs/{ended}/cancel").status == 409
    for unknown in (NOBODY, "no-id"):
        assert console.send(f"/workers/jobs/{unknown}/cancel").status == 404
    assert console.send(f"/workers/jobs/{job}/cancel", csrf_token="").status == 403


def test_upkeep_that_ended_is_told_with_its_error(fresh_console: Console) -> None:
    console, now = fresh_console, utcnow()
    for day in range(25):
        ended = now - timedelta(days=day + 1)
        add_job(console, JobKind.SWEEP, JobState.SUCCESS, "*", started_at=ended, finished_at=ended)
    add_job(console, JobKind.PRUNE, JobState.FAILED, error="403 Forbidden")
    add_job(console, JobKind.BACKUP, JobState.FAILED, error="of no interest here")

    rows = console.get("/workers").rows("Upkeep")

    assert len(rows) == 20
    assert (rows[0]["Job"], rows[0]["State"], rows[0]["Error"]) == ("Retention", "failed", "403 Forbidden")
    assert {row["Job"] for row in rows[1:]} == {"Sweep"}
