"""Lines of cron in words: what is said, and that it is true, read by a reader who knows nothing of cron."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

import pytest

from hhh.core.errors import InvalidInput
from hhh.services.cron import times_of
from hhh.services.cron_words import in_words

SAID = {
    "* * * * *": "every minute",
    "*/1 0-23 * * *": "every minute",
    "*/15 * * * *": "every 15 minutes",
    "0,15,30,45 * * * *": "every 15 minutes",
    "0,30 * * * *": "every 30 minutes",
    "*/7 * * * *": "each hour every 7 minutes from minute 0 to 56",
    "5/15 * * * *": "each hour at minutes 5, 20, 35 and 50",
    "@hourly": "each hour at minute 0",
    "15,45 * * * *": "each hour at minutes 15 and 45",
    "5 * * * 1-5": "each hour at minute 5, from Monday to Friday",
    "0 9-17 * * *": "every hour from 09:00 to 17:00",
    "*/5 9-17 * * mon-fri": "every 5 minutes from 09:00 to 17:55, from Monday to Friday",
    "*/10 3,5,7-9 * * *": "every 10 minutes in the hours 3, 5 and 7 to 9",
    "0-10 3 * * *": "every minute from 03:00 to 03:10",
    "7,9,13 1,2,5,9 * * *": "at minutes 7, 9 and 13 of the hours 1, 2, 5 and 9",
    "0 */2 * * *": "every 2 hours from 00:00 to 22:00",
    "0 */5 * * *": "each day at 00:00, 05:00, 10:00, 15:00 and 20:00",
    "@daily": "each day at 00:00",
    "@MIDNIGHT": "each day at 00:00",
    " 30  2 * * * ": "each day at 02:30",
    "0 0,12 * * *": "each day at 00:00 and 12:00",
    "@weekly": "each Sunday at 00:00",
    "0 2 * * 7": "each Sunday at 02:00",
    "0 2 * * 6,0": "each Saturday and Sunday at 02:00",
    "0 2 * * 5-7": "each day from Friday to Sunday at 02:00",
    "0 4 * * 1,4": "each Monday and Thursday at 04:00",
    "0 4 * JAN-MAR Mon": "each Monday in January to March at 04:00",
    "0 0 * */3 *": "each day in January, April, July and October at 00:00",
    "@monthly": "on the 1st of each month at 00:00",
    "@yearly": "on the 1st of January at 00:00",
    "@annually": "on the 1st of January at 00:00",
    "0 0 1,15 * *": "on the 1st and 15th of each month at 00:00",
    "0 0 2,3,11-13,22 * *": "on the 2nd, 3rd, 11th to 13th and 22nd of each month at 00:00",
    "0 0 */2 * *": "on every 2nd day from the 1st to the 31st of each month at 00:00",
    "0 0 31 * *": "on the 31st of each month that has it at 00:00",
    "0 0 31 2,3 *": "on the 31st of March at 00:00",
    "0 0 29 2 *": "on the 29th of February at 00:00",
    "*/5 * 1 1 *": "every 5 minutes, on the 1st of January",
    # A star before or after the other: both must fit. Without one, either is enough.
    "0 0 */2 * 1": "on every 2nd day from the 1st to the 31st of each month at 00:00, if it is a Monday",
    "0 0 1-7 * */7": "on the 1st to 7th of each month at 00:00, if it is a Sunday",
    "0 0 1,15 * 1": "on the 1st and 15th of each month and on each Monday at 00:00",
    "0 0 1 6 1": "on the 1st of June and on each Monday in June at 00:00",
    "0 0 1-31 * 1": "each day at 00:00",
    "0 0 1 * 0-6": "each day at 00:00",
    "0 0 * * *,1": "each day at 00:00",
}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
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
#: Of a leap year: all that there are.
DAYS = [date(2028, 1, 1) + timedelta(days=day) for day in range(366)]


@pytest.mark.parametrize(("line", "words"), SAID.items())
def test_a_line_is_told_as_one_would_say_it(line: str, words: str) -> None:
    assert in_words(line) == words


@pytest.mark.parametrize("line", SAID)
def test_what_is_said_of_a_line_is_what_it_does(line: str) -> None:
    assert read(in_words(line)) == named_by(line)


def test_what_is_said_is_true_of_lines_that_nobody_would_write() -> None:
    draw = random.Random("lines of cron")
    lines = [line for line in (drawn_line(draw) for _ in range(300)) if is_a_line(line)]
    assert len(lines) > 200
    wrong = {line: words for line in lines if read(words := in_words(line)) != named_by(line)}
    assert wrong == {}


@pytest.mark.parametrize("line", ["", "* * * *", "@often", "60 * * * *", "0 0 30 2 *", "0 0 L * *", "0 0 * * 1#2"])
def test_what_is_no_line_has_no_words(line: str) -> None:
    with pytest.raises(InvalidInput):
        in_words(line)


# ------------------------------------------------------------------------------------------------------ the lines


def drawn_line(draw: random.Random) -> str:
    return " ".join(drawn_field(draw, low, high) for low, high in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)))


def drawn_field(draw: random.Random, low: int, high: int) -> str:
    kind = draw.choice(["*", "*", "one", "few", "range", "step", "mixed"])
    first, last = sorted(draw.sample(range(low, high + 1), 2))
    step = draw.randint(1, max(2, high // 2))
    few = ",".join(str(draw.randint(low, high)) for _ in range(draw.randint(2, 4)))
    terms = {"*": "*", "one": str(first), "few": few, "range": f"{first}-{last}", "step": f"*/{step}"}
    return terms.get(kind) or draw.choice([f"{first}-{last}/{step},{few}", f"{first}/{step}", f"*/{step},{first}"])


def is_a_line(line: str) -> bool:
    try:
        times_of(line)
    except InvalidInput:
        return False
    return True


def named_by(line: str) -> tuple[set[int], list[date]]:
    """The minutes of a day and the days on which a line runs, from its fields."""
    times = times_of(line)

    def is_named(day: date) -> bool:
        by_day, by_weekday = day.day in times.days, day.isoweekday() in times.weekdays
        fits = (by_day and by_weekday) if times.both else (by_day or by_weekday)
        return fits and day.month in times.months

    return {60 * hour + minute for hour in times.hours for minute in times.minutes}, list(filter(is_named, DAYS))


# ----------------------------------------------------------------------------------------------------- the reader


_LIST_OF_TIMES = re.compile(r"((?:each day|each [A-Z]|on ).*) at (\d\d:[\d:, and]+?)(?:, if it is a (.+))?")
_AGAIN = re.compile(
    r"((?:every|each hour|at minute).*?)(?:, ((?:on|(?:from|in|each) (?=[A-Z])).*?))?(?:, if it is a (.+))?"
)
_FROM_TO = re.compile(r"every (?:(\d+) )?(minute|hour)s? from (\d\d:\d\d) to (\d\d:\d\d)")
_EVERY = re.compile(r"every (?:(\d+) )?minutes?(?: in the hours (.+))?")
_OF_THE_HOUR = re.compile(
    r"(?:each hour )?(at minutes? (.+?)|every (\d+) minutes from minute (\d+) to (\d+))(?: of (?:the hours|hour) (.+))?"
)
_ON = re.compile(
    r"on (?:the (.+?)|every (\d+).. day from the (.+?) to the (.+?)) of "
    r"(each month|[A-Z].*?)(?: that has it)?(?: and (on each .*))?"
)
_WEEKDAYS = re.compile(r"(?:on )?(?:each day )?(?:from (\w+) to (\w+)|each (.+?))?(?: ?in (.+))?")


def read(words: str) -> tuple[set[int], list[date]]:
    """The minutes of a day and the days that the words name."""
    if found := _LIST_OF_TIMES.fullmatch(words):
        dates, times, condition = found.groups()
        minutes = {minute_of(time) for time in split(times)}
    else:
        again, dates, condition = matched(_AGAIN, words)
        minutes = set(minutes_of(again))
    weekdays = {WEEKDAYS.index(name) for name in split(condition)} if condition else set(range(7))
    return minutes, [day for day in DAYS if is_told(dates or "")(day) and day.weekday() in weekdays]


def minutes_of(again: str) -> Iterable[int]:
    if found := _FROM_TO.fullmatch(again):
        step, unit, first, last = found.groups()
        if minute_of(first) // 60 != minute_of(last) // 60 and unit == "minute":
            assert (60 % int(step or 1), minute_of(first) % 60) == (0, 0), "else it would not be so in each hour"
        return range(minute_of(first), minute_of(last) + 1, int(step or 1) * (60 if unit == "hour" else 1))
    if found := _EVERY.fullmatch(again):
        step, hours = found.groups()
        assert 60 % int(step or 1) == 0, "else it would not go on through the hours"
        in_hours = numbers(hours) if hours else range(24)
        return {60 * hour + minute for hour in in_hours for minute in range(0, 60, int(step or 1))}
    _, listed, step, first, last, hours = matched(_OF_THE_HOUR, again)
    of_the_hour = numbers(listed) if listed else range(int(first), int(last) + 1, int(step))
    return {60 * hour + minute for hour in (numbers(hours) if hours else range(24)) for minute in of_the_hour}


def is_told(dates: str) -> Callable[[date], bool]:
    if found := _ON.fullmatch(dates):
        listed, step, first, last, months, or_else = found.groups()
        days = numbers(listed) if listed else range(number(first), number(last) + 1, int(step))
        in_months = range(1, 13) if months == "each month" else places(months, MONTHS)
        other = is_told(or_else) if or_else else None
        return lambda day: (day.day in days and day.month in in_months) or (other is not None and other(day))
    first, last, listed, months = matched(_WEEKDAYS, dates)
    weekdays = (
        places(f"{first} to {last}" if first else listed, WEEKDAYS)
        if first or (listed and listed != "day")
        else range(1, 8)
    )
    in_months = places(months, MONTHS) if months else range(1, 13)
    return lambda day: day.isoweekday() in weekdays and day.month in in_months


def places(names: str, of: Sequence[str]) -> set[int]:
    """The numbers of months or weekdays, from 1."""
    ends = [[of.index(end) + 1 for end in name.split(" to ")] for name in split(names)]
    return {place for each in ends for place in range(each[0], each[-1] + 1)}


def numbers(listed: str) -> set[int]:
    ends = [[number(end) for end in item.split(" to ")] for item in split(listed)]
    return {each for pair in ends for each in range(pair[0], pair[-1] + 1)}


def number(text: str) -> int:
    [digits] = re.findall(r"\d+", text)
    return int(digits)


def minute_of(time: str) -> int:
    hour, minute = time.split(":")
    return 60 * int(hour) + int(minute)


def split(listed: str) -> list[str]:
    return re.split(r", | and | or ", listed)


def matched(pattern: re.Pattern[str], text: str) -> Sequence[str]:
    found = pattern.fullmatch(text)
    assert found, text
    return found.groups()
