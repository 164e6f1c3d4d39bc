"""Retention as a calendar: how many backups of each day stay, and how many go.

Days are those of UTC, as the rules count them.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from hhh.services.cron_words import MONTH_NAMES
from hhh.services.pruning import Decided
from hhh.services.retention import Verdict

#: What becomes of a backup, in the order in which it is told.
KEPT, HELD, DROPPED, REMOVING = "kept", "protected", "dropped", "being removed"
KINDS = (KEPT, HELD, DROPPED, REMOVING)
#: Months on one page.
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Day:
    """A day that has backups."""

    date: date
    #: By kind, without those that there are none of.
    counts: Mapping[str, int]

    @property
    def label(self) -> str:
        """``23 November: 1 kept, 23 dropped``."""
        told = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        return f"{self.date.day} {MONTH_NAMES[self.date.month - 1]}: {told}"


@dataclass(frozen=True, slots=True)
class Month:
    """A month that has backups."""

    #: ``2026-11``.
    key: str
    name: str
    #: From Monday; 0 outside of the month, else the day's number where there is no backup.
    weeks: Sequence[Sequence[Day | int]]


@dataclass(slots=True)
class MonthTotal:
    """What becomes of the backups of a month."""

    key: str
    name: str
    counts: Counter[str] = field(default_factory=Counter)
    #: Bytes of what is dropped.
    freed: int = 0


@dataclass(frozen=True, slots=True)
class Calendar:
    """Some months, newest first, and the sums of all of them."""

    months: Sequence[Month]
    totals: Sequence[MonthTotal]
    #: The keys of the months that the pages with newer and older ones begin with; empty where there are none.
    newer: str
    older: str


def calendar_of(decided: Decided, until: str) -> Calendar:
    """The calendar of what was decided.

    Args:
        decided: what becomes of each backup.
        until: the newest month to be shown, ``2026-11``; empty: the newest that has a backup.
    """
    days, totals = _counted(decided)
    keys = [total.key for total in totals]
    begin = next((place for place, key in enumerate(keys) if key <= until), 0) if until else 0
    return Calendar(
        months=[_month(key, days) for key in keys[begin : begin + SHOWN]],
        totals=totals,
        newer=keys[max(begin - SHOWN, 0)] if begin else "",
        older=keys[begin + SHOWN] if begin + SHOWN < len(keys) else "",
    )


def kind_of(verdict: Verdict) -> str:
    """What becomes of a backup."""
    if not verdict.keep:
        return DROPPED
    return HELD if verdict.held else KEPT


def _counted(decided: Decided) -> tuple[Mapping[date, Counter[str]], Sequence[MonthTotal]]:
    days: dict[date, Counter[str]] = {}
    freed: Counter[tuple[int, int]] = Counter()
    for verdict in decided.verdicts:
        day, kind = verdict.backup.created_at.date(), kind_of(verdict)
        days.setdefault(day, Counter())[kind] += 1
        if kind == DROPPED:
            freed[day.year, day.month] += verdict.backup.size
    for removal in decided.removals:
        days.setdefault(removal.created_at.date(), Counter())[REMOVING] += 1
    months: dict[tuple[int, int], MonthTotal] = {}
    for day in sorted(days, reverse=True):
        place = day.year, day.month
        total = months.setdefault(place, MonthTotal(_key(*place), _name(*place), freed=freed[place]))
        total.counts += days[day]
    return days, list(months.values())


def _month(key: str, days: Mapping[date, Counter[str]]) -> Month:
    year, month = int(key[:4]), int(key[5:])

    def cell(number: int) -> Day | int:
        counts = days.get(date(year, month, number)) if number else None
        if counts is None:
            return number
        return Day(date(year, month, number), {kind: counts[kind] for kind in KINDS if counts[kind]})

    weeks = calendar.Calendar().monthdayscalendar(year, month)
    return Month(key, _name(year, month), [[cell(number) for number in week] for week in weeks])


def _key(year: int, month: int) -> str:
    return f"{year:04}-{month:02}"


def _name(year: int, month: int) -> str:
    return f"{MONTH_NAMES[month - 1]} {year}"
