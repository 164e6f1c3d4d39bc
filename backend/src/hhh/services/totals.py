"""All that there is, in a few numbers: what the overview begins with."""

from __future__ import annotations

from dataclasses import dataclass

from hhh.core.database import Database
from hhh.models import JobState
from hhh.repositories import backups as backup_rows
from hhh.repositories import copies as copy_rows
from hhh.repositories import jobs as job_rows

#: More missing copies than this are not counted: all of a store may be missing.
MOST_MISSING = 1000


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all targets together."""

    #: That ended, well or not.
    backups: int
    successful: int
    #: Of the successful ones, one copy each.
    stored_bytes: int
    #: To be made again; at most `MOST_MISSING` are counted.
    missing_copies: int
    #: Jobs of any kind.
    running: int
    waiting: int

    @property
    def more_are_missing(self) -> bool:
        """Whether there may be more missing copies than were counted."""
        return self.missing_copies >= MOST_MISSING


def totals(database: Database) -> Totals:
    """The numbers, as they are now; none of them takes longer where the catalogue is longer."""
    with database.snapshot() as session:
        counted = backup_rows.totals(session)
        missing = copy_rows.count_all_missing(session, most=MOST_MISSING)
        jobs = job_rows.unfinished_by_state(session)
    return Totals(
        backups=counted.total,
        successful=counted.successful,
        stored_bytes=counted.stored_bytes,
        missing_copies=missing,
        running=jobs.get(JobState.RUNNING, 0),
        waiting=jobs.get(JobState.QUEUED, 0),
    )
