"""What became of backups over the last days: of each target day by day, and how large, long and fast they were.

Days are those of UTC, as the catalogue's filters have them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.models import BackupStatus, JobState
from hhh.repositories import history as rows
from hhh.repositories.history import Named, PastBackup, PastJob
from hhh.repositories.retention import PROVEN
from hhh.services import instants
from hhh.services.instants import overdue_at

#: So many days are told, today included.
DAYS = 30
_DAY = timedelta(days=1)
_DAY_SECONDS = 86_400


@dataclass(slots=True)
class Outcomes:
    """How many backups of a target came to what on one day. What was cancelled, or has not ended, is none of them."""

    #: Stored, and restored by a drill.
    proven: int = 0
    #: Stored.
    ok: int = 0
    #: Stored, and not kept any longer.
    removed: int = 0
    failed: int = 0
    #: Runs of its schedules that never began.
    missed: int = 0


@dataclass(frozen=True, slots=True)
class TargetHistory:
    """The last days of one target."""

    target: str
    #: One for each of `History.days`.
    outcomes: Sequence[Outcomes]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the backups of one day that are still kept were like; None where there are none."""

    stored_bytes: int | None
    #: The median of them.
    seconds: float | None
    #: Of the dump; the median.
    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class History:
    """The last days of some targets."""

    #: The oldest first, today last.
    days: Sequence[date]
    #: In the order in which they were asked for.
    targets: Sequence[TargetHistory]
    #: Of all these targets together, one for each of `days`.
    figures: Sequence[Figures]


class HistoryService:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, targets: Sequence[str]) -> History:
        """The last days of targets, in a number of queries that does not depend on theirs."""
        now = utcnow()
        begin = datetime.combine(now.date() - (DAYS - 1) * _DAY, datetime.min.time(), UTC)
        with self._database.snapshot() as session:
            past = _Past(
                rows.backups(session, targets, since=begin),
                rows.jobs(session, targets, since=begin),
                rows.schedules(session, targets),
            )
        return _told(targets, past, begin, now)


@dataclass(frozen=True, slots=True)
class _Past:
    backups: Sequence[PastBackup]
    jobs: Sequence[PastJob]
    schedules: Sequence[Named]


@dataclass(slots=True)
class _Measured:
    """The backups of one day."""

    stored: int = 0
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def figures(self) -> Figures:
        return Figures(
            self.stored if self.seconds else None,
            median(self.seconds) if self.seconds else None,
            median(self.rates) if self.rates else None,
        )


def _told(targets: Sequence[str], past: _Past, begin: datetime, now: datetime) -> History:
    outcomes = {target: [Outcomes() for _ in range(DAYS)] for target in targets}
    measured = [_Measured() for _ in range(DAYS)]
    day_of = _day_of(begin)
    started = {job.id: job.started_at for job in past.jobs}
    for backup in past.backups:
        if (day := day_of(backup.created_at)) < DAYS:  # else a clock was ahead
            _count(outcomes[backup.target][day], backup)
            _measure(measured[day], backup, started.get(backup.id))
    kept = {backup.id for backup in past.backups}
    for job in past.jobs:
        if job.state == JobState.SUCCESS and job.id not in kept and (day := day_of(job.created_at)) < DAYS:
            outcomes[job.target][day].removed += 1
    for target, instant in _missed(past, begin, now):
        outcomes[target][day_of(instant)].missed += 1
    return History(
        days=[begin.date() + number * _DAY for number in range(DAYS)],
        targets=[TargetHistory(target, outcomes[target]) for target in targets],
        figures=[each.figures for each in measured],
    )


def _day_of(begin: datetime) -> Callable[[float], int]:
    first = begin.timestamp()
    return lambda moment: max(0, int((moment - first) // _DAY_SECONDS))


def _count(outcomes: Outcomes, backup: PastBackup) -> None:
    if backup.status == BackupStatus.FAILED:
        outcomes.failed += 1
    elif backup.status == BackupStatus.SUCCESS and backup.verified_level == PROVEN:
        outcomes.proven += 1
    elif backup.status == BackupStatus.SUCCESS:
        outcomes.ok += 1


def _measure(measured: _Measured, backup: PastBackup, started_at: float | None) -> None:
    if backup.status != BackupStatus.SUCCESS or backup.finished_at is None:
        return
    # One that was found in a store has no job here.
    seconds = round(backup.finished_at - (started_at or backup.created_at), 3)
    measured.stored += backup.size
    measured.seconds.append(max(0.0, seconds))
    if seconds > 0 and backup.raw_size is not None:
        measured.rates.append(backup.raw_size / seconds)


def _missed(past: _Past, begin: datetime, now: datetime) -> Iterator[tuple[str, float]]:
    """The instants at which a backup should have begun, each with its target."""
    of_schedule: Mapping[str | None, list[float]] = defaultdict(list)
    of_target: Mapping[str, list[PastJob]] = defaultdict(list)
    for job in sorted(past.jobs, key=lambda each: each.created_at):
        of_schedule[job.schedule_id].append(job.created_at)
        of_target[job.target].append(job)
    for schedule in past.schedules:
        for instant in missed_instants(schedule, of_schedule[schedule.id], begin, now):
            if not _was_busy(of_target[schedule.target], instant, schedule.jitter_seconds):
                yield schedule.target, instant


def missed_instants(schedule: Named, runs: Sequence[float], begin: datetime, now: datetime) -> Iterable[float]:
    """The instants of a schedule since `begin` that no run of it followed before the next one, and none will.

    Args:
        schedule: names them, from `since` on.
        runs: when its jobs were made, in their order.
        begin: of the first day, in UTC.
        now: the moment.
    """
    try:
        named = instants.between(schedule.cron, schedule.time_zone, begin, begin + DAYS * _DAY)
    except InvalidInput:  # its time zone is no longer known, so that it begins nothing any more
        return
    first, last = bisect_right(named, schedule.since.timestamp()), bisect_right(named, now.timestamp())
    for instant, following in pairwise(named[first : last + 1]):
        has_run = bisect_left(runs, instant) < bisect_left(runs, following)
        if not has_run and overdue_at(instant, following, schedule.jitter_seconds) < now.timestamp():
            yield instant


def _was_busy(jobs: Sequence[PastJob], instant: float, jitter_seconds: int) -> bool:
    """Whether another backup of the target was under way: then the run was left out, and nothing was missed."""
    place = bisect_right(jobs, instant + jitter_seconds, key=lambda job: job.created_at)
    # A target has one at a time.
    last = jobs[place - 1] if place else None
    return last is not None and (last.finished_at is None or last.finished_at >= instant)
