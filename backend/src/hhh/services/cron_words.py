"""Lines of cron in words.

The words are made of what a line names, not of how it is written: `*/15` and `0,15,30,45` are told alike, and a line
that nobody would write is told plainly, but never wrongly.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from hhh.services.cron import Cron, Moved, Times, times_of

_HOURS, _MINUTES, _MONTH_DAYS = 24, 60, 31
#: So many times of a day are listed; more are told by what is between them.
_LISTED = 6
#: From so many on, what follows each other is told by its ends.
_RUN = 3
#: Spelt here, since `calendar` has those of whatever language the machine is set to.
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_TEENS = (11, 12, 13)
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_A_COMMON_YEAR, _A_LEAP_YEAR = 2025, 2024
_A_YEAR = timedelta(days=366)


def in_words(line: str) -> str:
    """When a line runs: ``each day at 02:30``, ``every 15 minutes``, ``each Monday and Thursday at 04:00``.

    Raises:
        InvalidInput: it is not of cron.
    """
    times = times_of(line)
    dates, condition = _dates(times)
    if len(times.minutes) * len(times.hours) <= _LISTED:
        at = _and([f"{hour:02}:{minute:02}" for hour in times.hours for minute in times.minutes])
        return f"{dates} at {at}{condition}"
    again = _again(times.minutes, times.hours)
    return again if dates == "each day" else f"{again}, {dates.removeprefix('each day ')}{condition}"


def changes_in_words(cron: Cron, now: datetime) -> list[str]:
    """What changes of the clock do to a line within a year; nothing where it names every hour."""
    moved = cron.moved(now, now + _A_YEAR)
    return [
        _change_in_words(list(together), ZoneInfo(cron.time_zone))
        for _, together in groupby(moved, lambda each: each.wall.date())
    ]


def _change_in_words(moved: Sequence[Moved], zone: ZoneInfo) -> str:
    first = moved[0]
    times = [f"{each.wall:%H:%M}" for each in moved]
    told = _and(times) if len(times) <= _LISTED else f"{times[0]} to {times[-1]}"
    day = f"{first.wall.day} {_month(first.wall.month)} {first.wall.year}"
    if first.skipped:
        return f"On {day} the clock skips {told}: it runs at {first.at.astimezone(zone):%H:%M}, once"
    return f"On {day} the clock shows {told} twice: it runs the first time only"


def _again(minutes: Sequence[int], hours: Sequence[int]) -> str:
    """What runs many times a day."""
    fills_the_hour = minutes[0] == 0 and _step(minutes) * len(minutes) == _MINUTES
    every = _every(_step(minutes), "minute")
    if fills_the_hour and len(hours) == _HOURS:
        return every
    if (fills_the_hour and _step(hours) == 1) or (_step(minutes) and len(hours) == 1):
        return f"{every} from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[-1]:02}"
    if fills_the_hour:
        return f"{every} in the hours {_numbers(hours)}"
    if len(hours) == _HOURS:
        return f"each hour {_of_the_hour(minutes)}"
    if len(minutes) == 1 and _step(hours):
        return f"{_every(_step(hours), 'hour')} from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[0]:02}"
    of = f"hour {hours[0]}" if len(hours) == 1 else f"the hours {_numbers(hours)}"
    return f"{_of_the_hour(minutes)} of {of}"


def _of_the_hour(minutes: Sequence[int]) -> str:
    if len(minutes) == 1:
        return f"at minute {minutes[0]}"
    if len(minutes) > _LISTED and (step := _step(minutes)) > 1:
        return f"{_every(step, 'minute')} from minute {minutes[0]} to {minutes[-1]}"
    return f"at minutes {_numbers(minutes)}"


def _dates(times: Times) -> tuple[str, str]:
    """On which days a line runs, and what is said last."""
    any_day, any_weekday = len(times.days) == _MONTH_DAYS, len(times.weekdays) == len(WEEKDAY_NAMES)
    if (any_day and any_weekday) or (not times.both and (any_day or any_weekday)):
        return f"each day{_within(times.months)}", ""
    if any_day:
        return f"{_weekdays(times.weekdays)}{_within(times.months)}", ""
    if any_weekday:
        return _days(times.days, _with_such_days(times)), ""
    if times.both:
        names = _or([WEEKDAY_NAMES[day - 1] for day in times.weekdays])
        return _days(times.days, _with_such_days(times)), f", if it is a {names}"
    weekdays = _and([WEEKDAY_NAMES[day - 1] for day in times.weekdays])
    return f"{_days(times.days, times.months)} and on each {weekdays}{_within(times.months)}", ""


def _days(days: Sequence[int], months: Sequence[int]) -> str:
    if len(days) > _LISTED and (step := _step(days)) > 1:
        told = f"every {_ordinal(step)} day from the {_ordinal(days[0])} to the {_ordinal(days[-1])}"
    else:
        told = "the " + _and(_runs(days, _ordinal))
    if len(months) < len(MONTH_NAMES):
        return f"on {told} of {_and(_runs(months, _month))}"
    rare = days[0] > min(_length(month, _A_COMMON_YEAR) for month in months)
    return f"on {told} of each month" + (" that has it" if rare and len(days) == 1 else "")


def _with_such_days(times: Times) -> Sequence[int]:
    """The months that ever have one of the days; all of them where the reader would miss one."""
    if len(times.months) == len(MONTH_NAMES):
        return times.months
    return [month for month in times.months if _length(month, _A_LEAP_YEAR) >= times.days[0]]


def _weekdays(weekdays: Sequence[int]) -> str:
    names = [WEEKDAY_NAMES[day - 1] for day in weekdays]
    if _step(weekdays) == 1 and len(weekdays) >= _RUN:
        return f"each day from {names[0]} to {names[-1]}"
    return f"each {_and(names)}"


def _within(months: Sequence[int]) -> str:
    return "" if len(months) == len(MONTH_NAMES) else f" in {_and(_runs(months, _month))}"


def _numbers(numbers: Sequence[int]) -> str:
    return _and(_runs(numbers, str))


def _runs(numbers: Sequence[int], name: Callable[[int], str]) -> list[str]:
    """What follows each other as its first and last: ``1``, ``4 to 7``."""
    told: list[str] = []
    rest = list(numbers)
    while rest:
        # What follows without a gap is as far from the first as its place in the list is.
        run = [number for place, number in enumerate(rest) if number - rest[0] == place]
        told += [f"{name(run[0])} to {name(run[-1])}"] if len(run) >= _RUN else [name(each) for each in run]
        rest = rest[len(run) :]
    return told


def _step(numbers: Sequence[int]) -> int:
    """What is between each and the next; 0 where that differs, or there is only one."""
    steps = {after - before for before, after in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 else 0


def _every(step: int, unit: str) -> str:
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in _TEENS else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"


def _month(month: int) -> str:
    return MONTH_NAMES[month - 1]


def _length(month: int, year: int) -> int:
    return calendar.monthrange(year, month)[1]


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
