"""The instants that lines of cron name, remembered: many schedules share a line, and pages ask for the same again.

A time zone that the machine learns anew is known to the next process.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from hhh.services.cron import Cron

#: How long a run may be late at most before it counts as missed.
_PATIENCE = timedelta(hours=6)


def overdue_at(instant: datetime, following: datetime, jitter_seconds: int) -> datetime:
    """When the run of an instant counts as missed: a period after it, at most six hours, or after its jitter."""
    return instant + max(timedelta(seconds=jitter_seconds), min(following - instant, _PATIENCE))


@lru_cache(maxsize=4096)
def next_two(line: str, time_zone: str, since: datetime) -> tuple[datetime, datetime]:
    """The two instants after a moment.

    Raises:
        InvalidInput: the time zone is no longer known, or the line names none any more.
    """
    first, second = _cron(line, time_zone).following(since, 2)
    return first, second


@lru_cache(maxsize=256)  # of a line of every minute a month is three megabytes
def between(line: str, time_zone: str, begin: datetime, end: datetime) -> tuple[datetime, ...]:
    """The instants in ``[begin, end)``, and the one after them.

    Raises:
        InvalidInput: as for `next_two`.
    """
    cron = _cron(line, time_zone)
    return (*cron.between(begin, end), cron.after(end - timedelta(seconds=1)))


@lru_cache(maxsize=4096)
def _cron(line: str, time_zone: str) -> Cron:
    return Cron(line, time_zone)
