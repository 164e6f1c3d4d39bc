"""Lines of cron: which there are, and the moments they name, also where the clock is changed.

Which wall-clock times a line names is asked of cronsim; which moments those are is answered here, since cronsim asks
only how a field is written, and leaves out a time of a clock that is changed by half an hour:

* A line whose hours are not all of the day names fixed times: each once on its day. One that the clock skips is the
  moment after the gap, one that comes twice is the first.
* A line of every hour names moments as they pass: whenever the clock shows its minute, in each real hour. Only where
  the clock skips part of an hour, and its minute with it, the moment after the gap stands in.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from cronsim import CronSim, CronSimError

from hhh.core.errors import InvalidInput

_LONGEST = 254
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_VALUE = r"(?:\d{1,4}|[A-Z]{3})"
_TERM = rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d{{1,4}})?"
_FIELD = re.compile(rf"{_TERM}(?:,{_TERM})*", re.ASCII | re.IGNORECASE)
_EVERY_HOUR = set(range(24))
_DAY, _HOUR, _MINUTE, _SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
#: No two changes of a clock are nearer to each other.
_STRIDE = timedelta(hours=12)
_HINT = "five fields, e.g. `30 2 * * *` for each day at 02:30, or @hourly, @daily, @weekly, @monthly, @yearly"


@dataclass(frozen=True, slots=True)
class Moved:
    """A time that a clock skips, or shows twice."""

    #: As the line names it.
    wall: datetime
    #: When it is run.
    at: datetime
    skipped: bool


class Cron:
    """A line of cron in a time zone.

    Args:
        line: minute, hour, day of the month, month and day of the week, or one of the names that begin with ``@``.
        time_zone: a name of the IANA database, e.g. ``Europe/Berlin``.

    Raises:
        InvalidInput: the line is not of cron or names no moment ever, or nobody knows the time zone.
    """

    def __init__(self, line: str, time_zone: str = "UTC") -> None:
        #: As it was written, with single spaces.
        self.line = " ".join(line[: _LONGEST + 1].split())
        self.time_zone = time_zone
        self._zone = _zone(time_zone)
        self._fields = _fields(self.line)
        self._hourly = _parsed(self._fields).hours == _EVERY_HOUR
        self.after(datetime.now(UTC))

    def after(self, moment: datetime) -> datetime:
        """The first moment after that one, in UTC.

        Raises:
            InvalidInput: none comes within fifty years.
        """
        following = self._hourly_after if self._hourly else self._fixed_after
        try:
            return following(moment.astimezone(UTC))
        except (StopIteration, OverflowError):
            raise InvalidInput(f"{self.line!r} names no date that ever comes", hint=_HINT) from None

    def following(self, moment: datetime, count: int) -> list[datetime]:
        """The first so many moments after that one, in UTC."""
        found: list[datetime] = []
        while len(found) < count:
            found.append(moment := self.after(moment))
        return found

    def between(self, begin: datetime, end: datetime) -> list[datetime]:
        """All moments in ``[begin, end)``, in UTC, as `after` would name them one by one."""
        # What a change of the clock moves is less than a day away from it.
        change = self._change(begin - _DAY, end, self._offset(begin - _DAY))
        if change is None:
            return [*self._in_calm(begin, end)]
        near, behind = max(begin, change - _DAY), min(end, change + _DAY)
        return [*self._in_calm(begin, near), *self._one_by_one(near, behind), *self.between(behind, end)]

    def moved(self, begin: datetime, end: datetime) -> list[Moved]:
        """What changes of the clock in ``(begin, end]`` do to the times that a line names; see this module."""
        found: list[Moved] = []
        while not self._hourly and (change := self._change(begin, end, self._offset(begin))):
            before, after = self._offset(change - _SECOND), self._offset(change)
            first, last = (_naive(change + each) for each in sorted((before, after)))
            found += [
                Moved(wall, self._behind_the_gap(wall), skipped=after > before)
                for wall in itertools.takewhile(last.__gt__, self._walls_after(first - _SECOND))
            ]
            begin = change
        return found

    def _in_calm(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        if begin >= end:
            return
        offset = self._offset(begin)
        for wall in self._walls_after(begin + offset - _SECOND):
            moment = (wall - offset).replace(tzinfo=UTC)
            if moment >= end:
                return
            yield moment

    def _one_by_one(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        with contextlib.suppress(InvalidInput):  # it names none any more
            moment = begin - _SECOND
            while (moment := self.after(moment)) < end:
                yield moment

    def _fixed_after(self, moment: datetime) -> datetime:
        walls = self._walls_after(moment + self._offset(moment))
        while True:
            at = self._behind_the_gap(next(walls))
            # Not so where the clock shows for the second time what it showed before.
            if at > moment:
                return at

    def _behind_the_gap(self, wall: datetime) -> datetime:
        while True:
            at = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
            if _naive(at + self._offset(at)) == wall:
                return at
            wall += _MINUTE

    def _hourly_after(self, moment: datetime) -> datetime:
        offset = self._offset(moment)
        while True:
            wall = next(self._walls_after(moment + offset))
            at = (wall - offset).replace(tzinfo=UTC)
            change = self._change(moment, at, offset)
            if change is None:
                return at
            before, offset = offset, self._offset(change)
            if wall < _naive(change + offset) and (offset - before) % _HOUR:
                return change
            # From there on the clock shows other times, of which the first may be one of the line's.
            moment = change - _SECOND

    def _change(self, begin: datetime, end: datetime, offset: timedelta) -> datetime | None:
        """The first moment in ``(begin, end]`` at which the clock has another offset; None where there is none."""
        low = begin.replace(microsecond=0)
        if self._offset(low) != offset:  # the second before a change, told with the offset after it
            low += _SECOND
        while low < end:
            high = min(low + _STRIDE, end)
            if self._offset(high) != offset:
                return self._bisected(low, high, offset)
            low = high
        return None

    def _bisected(self, low: datetime, high: datetime, offset: timedelta) -> datetime:
        while high - low > _SECOND:
            middle = low + timedelta(seconds=(high - low) // (2 * _SECOND))
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return high

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()

    def _walls_after(self, moment: datetime) -> Iterator[datetime]:
        """What the line names on a clock that is never changed."""
        return CronSim(self._fields, _naive(moment))


@dataclass(frozen=True, slots=True)
class Times:
    """What a line names on a clock that is never changed; all in order."""

    minutes: Sequence[int]
    hours: Sequence[int]
    #: Of the month.
    days: Sequence[int]
    months: Sequence[int]
    #: From Monday, 1, to Sunday, 7.
    weekdays: Sequence[int]
    #: Whether the day of the month and that of the week must both fit: where one of them begins with a star.
    both: bool


def times_of(line: str) -> Times:
    """What a line names.

    Raises:
        InvalidInput: it is not of cron.
    """
    parsed = _parsed(_fields(" ".join(line.split())))
    # Names of weekdays in their weeks ("1#2") are no field that we take: there are numbers only.
    weekdays = {day or 7 for day in cast("set[int]", parsed.weekdays)}
    return Times(
        sorted(parsed.minutes),
        sorted(parsed.hours),
        sorted(parsed.days),
        sorted(parsed.months),
        sorted(weekdays),
        parsed.day_and,
    )


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _fields(line: str) -> str:
    fields = _NICKNAMES.get(line.lower(), line).split()
    if line.startswith("@") and line.lower() not in _NICKNAMES:
        raise InvalidInput(f"{line!r} is no name for a line of cron", hint=_HINT)
    if len(line) > _LONGEST:
        raise InvalidInput(f"A line of cron has at most {_LONGEST} characters", hint=_HINT)
    if len(fields) != len(_FIELDS):
        raise InvalidInput(f"{line!r} has {len(fields)} fields, and not five", hint=_HINT)
    for name, field in zip(_FIELDS, fields, strict=True):
        if not _FIELD.fullmatch(field):
            raise InvalidInput(f"{field!r} is no {name} of cron", hint=_HINT)
    return " ".join(fields)


def _parsed(fields: str) -> CronSim:
    try:
        return CronSim(fields, datetime(2000, 1, 1))  # noqa: DTZ001  only read, never asked
    except CronSimError:
        raise InvalidInput(_problem(fields), hint=_HINT) from None


def _problem(fields: str) -> str:
    """What cronsim has against it: one field after the other is tried alone."""
    given = fields.split()
    for index, (name, field) in enumerate(zip(_FIELDS, given, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[index] = field
        try:
            CronSim(" ".join(alone), datetime(2000, 1, 1))  # noqa: DTZ001
        except CronSimError:
            return f"{field!r} is no {name} of cron"
    return f"{fields!r} names no date that ever comes"


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # of a folder, or of a name that is no path
        raise InvalidInput(f"No time zone is named {name[:64]!r}", hint=_nearest_zone(name[:64])) from None


def _nearest_zone(name: str) -> str:
    known = {each.lower(): each for each in zoneinfo.available_timezones()}
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {known[nearest[0]]}?" if nearest else "a name of the IANA database, e.g. Europe/Berlin"
