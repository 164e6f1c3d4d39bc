"""What a queue of jobs can do. The row in the database is the truth; a queue only delivers it."""

from __future__ import annotations

from abc import ABC, abstractmethod


class JobQueue(ABC):
    """Hands committed, queued jobs to workers. Thread-safe."""

    @abstractmethod
    def trigger_backup(self, target: str) -> str:
        """Commits a queued backup and hands it over; returns the backup's id.

        Raises:
            NotFound: no such target.
            BackupInProgress: the target has an active backup or restore.
        """

    @abstractmethod
    async def finished(self, job_id: str) -> None:
        """Waits, without a thread, until a job that this queue handed over has ended, well or not."""
