"""What a queue of jobs can do. The row in the database is the truth; a queue only delivers it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum, auto

from hhh.services.work import NewJob


class Handled(Enum):
    """What became of a job that was handed to a worker."""

    ENDED = auto()  #: it was run here, and has ended, well or not
    QUEUED = auto()  #: it was run here, and is queued again for a further attempt; `adopt_queued` names it in time
    REFUSED = auto()  #: it waits still: as many run as may, or its time has not come; `adopt_queued` names it again
    ELSEWHERE = auto()  #: nothing is to be done: it has ended, or somebody else has it


class JobQueue(ABC):
    """Hands committed, queued jobs to workers. Thread-safe."""

    @abstractmethod
    def enqueue(self, new: NewJob) -> str:
        """Commits a job as queued, with its own row, and hands it over; returns its id, which is also that row's.

        Raises:
            BackupInProgress: the target has an active backup or restore.
            HHHError: its check does not hold.
        """

    @abstractmethod
    def hand_over(self, job_ids: Sequence[str]) -> None:
        """Hands committed, queued jobs to workers; one that was handed over before is not run twice."""

    @abstractmethod
    async def finished(self, job_id: str) -> None:
        """Waits, without a thread, until a job has ended, well or not, or will not be gone on with for now."""
