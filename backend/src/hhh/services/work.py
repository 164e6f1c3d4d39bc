"""What a kind of job does; `hhh.jobs` runs it under a lease without knowing what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from hhh.core.run import Run
from hhh.models import Job, JobKind, JobState


def _nothing(_session: Session, _job_id: str, _now: datetime) -> None:
    """Writes nothing beside the job's row."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What somebody asked for, before it is a job."""

    kind: JobKind
    #: The target that it keeps busy.
    target: str
    #: Writes its own row, in the transaction that writes the job's: session, id, moment. Upkeep has none.
    write: Callable[[Session, str, datetime], None] = _nothing
    #: How often it is tried again where it fails with what may pass.
    retries: int = 0
    #: After so long an attempt is ended; None: never.
    time_limit_seconds: int | None = None
    #: The schedule that asks for it.
    schedule_id: str | None = None
    #: Its id, where that derives from what it is for; else a new one.
    job_id: str | None = None
    #: What must hold first and takes its time, with no transaction open; told the worker's name, for its scratch.
    check: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one job, held under a lease."""

    job_id: str
    number: int
    target: str
    #: Who works on it; names the scratch folder.
    worker: str


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt ended without success."""

    state: JobState
    text: str
    #: The code of the API's error shape.
    code: str


class Work(Protocol):
    """One kind of job. It finishes its job's row itself, together with its own, where it succeeds."""

    #: Whether another attempt may follow one whose worker died, or was stopped.
    repeatable: bool

    def begin(self, session: Session, job: Job) -> bool:
        """Writes, in the transaction that claims the job, that a worker is on it; false if its own row is gone."""

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Does the work and records its success, together with the end of the job.

        Raises:
            Unrecorded: it is done, and only its record is missing.
            HHHError: it failed, or its lease was lost; nothing was recorded.
        """

    def record_failure(self, session: Session, job_id: str, failure: Failure, now: datetime) -> None:
        """Writes, in the transaction that ends the job, how it ended; nothing where its own row is gone."""

    def requeue(self, session: Session, job_id: str) -> None:
        """Writes, in the transaction that queues the job again, that it waits; nothing where its own row is gone."""

    def recorded(self, session: Session, job_id: str) -> bool:
        """Whether its own row says that the job has succeeded."""

    def due(self) -> Sequence[NewJob]:
        """The jobs of this kind that nobody asks for and that should run now; asked every few seconds, and cheap.

        One that is queued or running already is refused by its index, and asked for again later.
        """

    def sweep(self, worker: str) -> None:
        """Sees to what ended attempts left outside of the database; called again and again, and may take its time.

        What can't be done is logged, and tried again later.
        """
