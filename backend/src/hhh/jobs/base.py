"""What a queue of jobs can do. The row in the database is the truth; a queue only delivers it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hhh.services.work import NewJob


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
    async def finished(self, job_id: str) -> None:
        """Waits, without a thread, until a job that this queue handed over has ended, well or not."""
