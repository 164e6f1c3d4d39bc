"""The instants that lines of cron name, remembered: many schedules share a line, and pages ask for the same again.

A time zone that the machine learns anew is known to the next process.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from hhh.services.cron import Cron

#: How many seconds a run may be late at most before it counts as missed.
_PATIENCE = 6 * 3600.0


def overdue_at(instant: float, following: float, jitter_seconds: int) -> float:
    """When the run of an instant counts as missed: a period after it, at most six hours, or after its jitter.

    All of them in seconds since 1970.
    """
    return instant + max(float(jitter_seconds), min(following - instant, _PATIENCE))


def overdue_after(line: str, time_zone: str, jitter_seconds: int, since: datetime) -> datetime:
    """When the run of the first instant after a moment counts as missed.

    Raises:
        InvalidInput: the time zone is no longer known, or the line names none any more.
    """
    instant, late = _next(line, time_zone, since)
    return instant + max(timedelta(seconds=jitter_seconds), late)


@lru_cache(maxsize=256)  # of a line of every minute a month is a megabyte
def between(line: str, time_zone: str, begin: datetime, end: datetime) -> tuple[float, ...]:
    """The instants in ``[begin, end)``, and the one after them, in seconds since 1970.

    Raises:
        InvalidInput: as for `overdue_after`.
    """
    cron = _cron(line, time_zone)
    named = [*cron.between(begin, end), cron.after(end - timedelta(seconds=1))]
    return tuple(each.timestamp() for each in named)


@lru_cache(maxsize=4096)
def _next(line: str, time_zone: str, since: datetime) -> tuple[datetime, timedelta]:
    """The first instant after a moment, and how late its run may be without its jitter."""
    first, second = _cron(line, time_zone).following(since, 2)
    return first, min(second - first, timedelta(seconds=_PATIENCE))


@lru_cache(maxsize=4096)
def _cron(line: str, time_zone: str) -> Cron:
    return Cron(line, time_zone)
