"""The form of a schedule: lines of cron for those who don't want to write one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from pydantic import ValidationError

from hhh.console.typed import Typed, WrongFieldsError, said_of
from hhh.console.words import seconds_in_words
from hhh.core.errors import InvalidInput
from hhh.schemas.schedule import ScheduleRequest, ScheduleResource
from hhh.services.cron import Cron, Times, times_of
from hhh.services.cron_words import WEEKDAY_NAMES
from hhh.web.forms import Fields

LINE, HOURLY, DAILY, WEEKLY, MONTHLY = "line", "hourly", "daily", "weekly", "monthly"
WEEKDAYS = [(str(number), name) for number, name in enumerate(WEEKDAY_NAMES, 1)]
WHAT = (
    ("", "Take a backup"),
    ("stored", "Check the copies of the newest backup (stored)"),
    ("readable", "Read the newest backup to its end (readable)"),
    ("proven", "Prove the newest backup: restore and compare it (proven)"),
)
_JITTERS = (0, 60, 300, 900, 1800, 3600)
_DAYS, _MONTHS, _HOURS, _WEEK = 31, 12, 24, 7
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_NUMBER = re.compile(r"\d{1,2}", re.ASCII)
_SECONDS = re.compile(r"\d{1,5}", re.ASCII)
#: What is proposed, as `DAILY` has it below.
PROPOSED = "30 2 * * *"
#: What stands in the fields of those that are not chosen.
_DEFAULTS: Mapping[str, str] = {
    "minute": "0",
    "daily_at": "02:30",
    "weekday": "7",
    "weekly_at": "03:00",
    "day": "1",
    "monthly_at": "04:00",
    "cron": PROPOSED,
}


def new_form(target: str, time_zone: str) -> Typed:
    """The form of a schedule that is to be set up."""
    shown = {**_DEFAULTS, "preset": DAILY, "target": target, "time_zone": time_zone, "jitter_seconds": "0"}
    return _typed(shown)


def form_of(schedule: ScheduleResource) -> Typed:
    """The form of a schedule that is to be another."""
    shown = {
        **_DEFAULTS,
        "target": schedule.target,
        "verify": schedule.verify or "",
        "time_zone": schedule.time_zone,
        "jitter_seconds": str(schedule.jitter_seconds),
        **_preset(times_of(schedule.cron)),
        "cron": schedule.cron,
    }
    return _typed(shown)


def form_again(fields: Fields, errors: Mapping[str, str]) -> Typed:
    """A form as it was sent."""
    return Typed(
        {**{name: [value] for name, value in _DEFAULTS.items()}, **{name: [fields[name]] for name in fields}}, errors
    )


def asked_of(fields: Fields, target: str = "") -> ScheduleRequest:
    """What was typed.

    Args:
        fields: of the form.
        target: of a schedule that is there; else the form says it.

    Raises:
        WrongFieldsError: some of it can't be used.
    """
    wrong: dict[str, str] = {}
    line = ""
    try:
        line = _LINES.get(fields.text("preset"), _free)(fields)
        _refuse(wrong, "cron", lambda: Cron(line))
    except WrongFieldsError as error:
        wrong |= error.errors
    _refuse(wrong, "time_zone", lambda: Cron("@daily", fields.text("time_zone") or "UTC"))
    given: dict[str, Any] = {
        "target": target or fields.text("target"),
        "cron": line,
        "time_zone": fields.text("time_zone") or "UTC",
        "jitter_seconds": fields.text("jitter_seconds") or 0,
        "verify": fields.text("verify") or None,
    }
    try:
        asked = ScheduleRequest.model_validate(given)
    except ValidationError as error:
        raise WrongFieldsError({**said_of(error), **wrong}) from None
    if wrong:
        raise WrongFieldsError(wrong)
    return asked


def jitters(chosen: str) -> Sequence[tuple[str, str]]:
    """What can be chosen, with what was chosen elsewhere."""
    known = sorted({*_JITTERS, *([int(chosen)] if _SECONDS.fullmatch(chosen) else [])})
    return [(str(each), f"up to {seconds_in_words(each)} later" if each else "on time") for each in known]


@cache
def time_zones() -> Sequence[str]:
    """Names of the IANA database, without those that are only kept for what is old."""
    return ["UTC", *sorted(name for name in available_timezones() if _is_of_a_place(name))]


def _is_of_a_place(name: str) -> bool:
    return "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/", "US/"))


def _typed(shown: Mapping[str, str]) -> Typed:
    return Typed({name: [value] for name, value in shown.items()})


def _refuse(wrong: dict[str, str], name: str, tried: Callable[[], object]) -> None:
    try:
        tried()
    except InvalidInput as error:
        wrong[name] = f"{error.message}: {error.hint}" if error.hint else error.message


# --------------------------------------------------------------------------------------------------- lines of cron


def _hourly(fields: Fields) -> str:
    return f"{_number(fields, 'minute', 0, 59)} * * * *"


def _daily(fields: Fields) -> str:
    return f"{_time(fields, 'daily_at')} * * *"


def _weekly(fields: Fields) -> str:
    # As cron has it: 0 is Sunday, and 7 is not known everywhere.
    return f"{_time(fields, 'weekly_at')} * * {_number(fields, 'weekday', 1, _WEEK) % _WEEK}"


def _monthly(fields: Fields) -> str:
    return f"{_time(fields, 'monthly_at')} {_number(fields, 'day', 1, _DAYS)} * *"


def _free(fields: Fields) -> str:
    return fields.text("cron")


_LINES: Mapping[str, Callable[[Fields], str]] = {HOURLY: _hourly, DAILY: _daily, WEEKLY: _weekly, MONTHLY: _monthly}


def _number(fields: Fields, name: str, least: int, most: int) -> int:
    text = fields.text(name)
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise WrongFieldsError({name: f"This is not a whole number from {least} to {most}"})
    return int(text)


def _time(fields: Fields, name: str) -> str:
    """Minute and hour of a line."""
    found = _TIME.fullmatch(fields.text(name))
    if found is None:
        raise WrongFieldsError({name: "This is not a time of the day, such as 02:30"})
    return f"{int(found[2])} {int(found[1])}"


def _preset(times: Times) -> Mapping[str, str]:
    """The fields that say the same as a line."""
    any_day, any_weekday = len(times.days) == _DAYS, len(times.weekdays) == _WEEK
    at = f"{times.hours[0]:02}:{times.minutes[0]:02}"
    is_simple = len(times.minutes) == 1 and len(times.months) == _MONTHS
    is_once = len(times.hours) == 1
    is_weekly = any_day and len(times.weekdays) == 1 and times.both
    is_monthly = any_weekday and len(times.days) == 1 and times.both
    ways = (
        (len(times.hours) == _HOURS and any_day and any_weekday, {"preset": HOURLY, "minute": str(times.minutes[0])}),
        (is_once and any_day and any_weekday, {"preset": DAILY, "daily_at": at}),
        (is_once and is_weekly, {"preset": WEEKLY, "weekday": str(times.weekdays[0]), "weekly_at": at}),
        (is_once and is_monthly, {"preset": MONTHLY, "day": str(times.days[0]), "monthly_at": at}),
    )
    return next((fields for is_so, fields in ways if is_simple and is_so), {"preset": LINE})
