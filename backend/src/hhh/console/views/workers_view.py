"""What the page of workers tells beside the rows: in words what a job is, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hhh.core.config import QUEUE_NAMES, QueueName
from hhh.core.text import counted
from hhh.models import JobKind
from hhh.models.job import queue_of
from hhh.schemas.worker import WorkerResource
from hhh.services.job_listing import ListedJob, WaitsFor

_KINDS: Mapping[JobKind, str] = {
    JobKind.BACKUP: "Backup",
    JobKind.RESTORE: "Restore",
    JobKind.PRUNE: "Retention",
    JobKind.REPAIR: "Repair of copies",
    JobKind.SWEEP: "Sweep",
    JobKind.VERIFY: "Drill",
}
#: Where what a job makes is shown, before its id.
_PAGES: Mapping[str, str] = {
    JobKind.BACKUP: "/backups/",
    JobKind.RESTORE: "/restores/",
    JobKind.VERIFY: "/drills/",
}
_WAITS_FOR: Mapping[WaitsFor, str] = {
    WaitsFor.CANCELLATION: "its end: it was cancelled",
    WaitsFor.TIME: "its next attempt",
    WaitsFor.LIMIT: "the end of another: as many run as HHH_RUNNING_LIMIT lets",
    WaitsFor.ROOM: "a free worker",
}
#: What stays undone while nobody takes jobs of a queue.
_UNDONE: Mapping[QueueName, str] = {
    "backup": "no backup is taken",
    "restore": "no restore begins",
    "verify": "nothing is verified",
    "upkeep": "nothing is pruned, repaired or swept",
}


@dataclass(frozen=True, slots=True)
class Untaken:
    """Queues of which no living worker takes jobs."""

    said: str
    #: What to do about it.
    hint: str


def untaken(found: Mapping[QueueName, int], *, many_machines: bool) -> Untaken | None:
    """What is to be said of queues that nobody takes jobs of.

    Args:
        found: each with how many wait in it.
        many_machines: whether other processes may take jobs, too.
    """
    if not found:
        return None
    names = ",".join(found)
    waiting = sum(found.values())
    wait = f" {counted(waiting, 'job waits', 'jobs wait')} for that." if waiting else ""
    if {*found} == {*QUEUE_NAMES}:
        said = f"No worker is alive: nothing is backed up, restored or verified.{wait}"
        return Untaken(said, "Start `hhh worker`, or look into the log of `hhh serve`.")
    undone = "; ".join(_UNDONE[name] for name in found)
    said = f"No living worker takes {names.replace(',', ', ')}: {undone}.{wait}"
    if many_machines:
        return Untaken(said, f"Start one that does: `hhh worker --queues {names}`; or add it to HHH_WORKER_QUEUES.")
    return Untaken(said, "Add it to HHH_WORKER_QUEUES, and start `hhh serve` again.")


def kind_in_words(kind: str) -> str:
    """What a kind of job is called."""
    return _KINDS[JobKind(kind)]


def page_of(kind: str, job_id: str) -> str:
    """Where what a job makes is shown; empty for what makes nothing."""
    return f"{_PAGES[kind]}{job_id}" if kind in _PAGES else ""


def waits_for(job: ListedJob) -> str:
    """What a job waits for."""
    if job.waits_for is WaitsFor.TAKER:
        return f"a worker that takes {queue_of(job.kind)} jobs"
    if job.waits_for is WaitsFor.ROOM and job.kind is JobKind.VERIFY:
        return "a worker that is at no other drill"
    return _WAITS_FOR[job.waits_for] if job.waits_for is not None else ""


def names_of(workers: Sequence[WorkerResource]) -> Mapping[str, str]:
    """What workers are called, by their ids."""
    return {worker.id: worker.name for worker in workers}
