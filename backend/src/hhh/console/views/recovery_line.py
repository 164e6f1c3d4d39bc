"""Recovery points as a time line: by day, and as marks from the oldest one to now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from hhh.core.text import counted
from hhh.services.recovery_points import Point, PointPage


@dataclass(frozen=True, slots=True)
class Day:
    """The points of one day, newest first."""

    name: str
    points: Sequence[Point]
    #: Whether it is shown without being asked for.
    is_open: bool

    @property
    def said(self) -> str:
        """How many there are."""
        proven = sum(each.is_proven for each in self.points)
        return counted(len(self.points), "recovery point", "recovery points") + (f", {proven} proven" if proven else "")


@dataclass(frozen=True, slots=True)
class Mark:
    """One point on the line."""

    #: From 0, the oldest, to 100, now.
    percent: float
    look: str


@dataclass(frozen=True, slots=True)
class RecoveryLine:
    """What a page shows of a `PointPage`."""

    days: Sequence[Day]
    marks: Sequence[Mark]
    #: The id of the point that is chosen until somebody chooses another one; empty where there is none.
    chosen: str
    #: The newest proven one, where it is not among those of the days.
    apart: Point | None
    #: How many are newer than the chosen one, among those shown.
    newer: int
    said: str


def line_of(page: PointPage, now: datetime, zone: ZoneInfo, *, chosen: str = "", latest: bool = False) -> RecoveryLine:
    """The time line of a page.

    Args:
        page: of recovery points.
        now: its right end.
        zone: that days are told in.
        chosen: the id of one of them; empty: the newest one that is proven.
        latest: choose the newest one of the page instead, proven or not.
    """
    points = page.points
    ids = [each.id for each in points]
    proven = page.newest_proven
    apart = proven if proven and not chosen and not latest and proven.id not in ids else None
    preferred = chosen or _first_good(points) if latest or chosen else (proven.id if proven else _first_good(points))
    days = [
        Day(name, some, is_open=number == 0 or any(each.id == preferred for each in some))
        for number, (name, some) in enumerate(_by_day(points, zone))
    ]
    newer = ids.index(preferred) if preferred in ids else len(ids) if apart else 0
    return RecoveryLine(days, _marks(points, now), preferred, apart, newer, _said(points))


def look_of(point: Point) -> str:
    """Which way a point is drawn."""
    if not point.is_good:
        return "bad"
    return "proven" if point.is_proven else "good"


def _first_good(points: Sequence[Point]) -> str:
    return next((each.id for each in points if each.is_good), points[0].id if points else "")


def _by_day(points: Sequence[Point], zone: ZoneInfo) -> list[tuple[str, list[Point]]]:
    days = groupby(points, key=lambda each: each.created_at.astimezone(zone).date())
    return [(f"{day:%A}, {day.day} {day:%B %Y}", list(some)) for day, some in days]


def _marks(points: Sequence[Point], now: datetime) -> Sequence[Mark]:
    if not points:
        return []
    oldest = points[-1].created_at
    whole = max((now - oldest).total_seconds(), 1.0)
    return [Mark(_percent((each.created_at - oldest).total_seconds() / whole), look_of(each)) for each in points]


def _percent(share: float) -> float:
    # Not quite to the ends: half of a mark would be cut off.
    return round(1 + 97 * min(max(share, 0.0), 1.0), 2)


def _said(points: Sequence[Point]) -> str:
    proven = sum(each.is_proven for each in points)
    return f"{counted(len(points), 'recovery point', 'recovery points')}, {proven} of them proven"
