"""Which instants of a schedule were missed: where clocks are changed, while a run may still come, and where it came."""

from datetime import UTC, datetime, timedelta

import pytest

from hhh.repositories.history import Named
from hhh.services.cron import Cron
from hhh.services.history import missed_instants

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGIN, NOW = datetime(2026, 10, 12, tzinfo=UTC), datetime(2026, 11, 10, 12, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def schedule(cron: str, time_zone: str = "UTC", *, jitter: int = 0, since: datetime = BEGIN - DAY) -> Named:
    return Named("s", "shop", cron, time_zone, jitter, since)


def missed(of: Named, *runs: datetime, now: datetime = NOW) -> list[str]:
    found = missed_instants(of, sorted(each.timestamp() for each in runs), BEGIN, now)
    return [f"{datetime.fromtimestamp(each, UTC):%m-%d %H:%M}" for each in found]


def nightly(*, without: str = "") -> list[datetime]:
    """The runs of each night at half past two, UTC, a second late, but for one day."""
    nights = [BEGIN + each * DAY + 2.5 * HOUR + timedelta(seconds=1) for each in range(30)]
    return [each for each in nights if f"{each:%m-%d}" != without]


def test_where_each_instant_had_its_run_nothing_was_missed() -> None:
    assert missed(schedule("30 2 * * *"), *nightly()) == []


def test_an_instant_without_a_run_was_missed() -> None:
    assert missed(schedule("30 2 * * *"), *nightly(without="10-20")) == ["10-20 02:30"]


def test_a_run_that_came_late_covers_the_instant_before_it() -> None:
    late = datetime(2026, 10, 20, 23, tzinfo=UTC)
    assert missed(schedule("30 2 * * *"), late, *nightly(without="10-20")) == []


def test_one_run_that_caught_up_covers_one_instant_and_not_those_before() -> None:
    outage = [
        each for each in nightly() if not datetime(2026, 10, 16, tzinfo=UTC) < each < datetime(2026, 10, 20, tzinfo=UTC)
    ]
    caught_up = datetime(2026, 10, 19, 20, tzinfo=UTC)
    assert missed(schedule("30 2 * * *"), caught_up, *outage) == ["10-16 02:30", "10-17 02:30", "10-18 02:30"]


def test_a_schedule_names_nothing_before_it_was_set_up_changed_or_resumed() -> None:
    assert missed(schedule("30 2 * * *", since=datetime(2026, 11, 9, 2, 30, tzinfo=UTC))) == ["11-10 02:30"]
    assert missed(schedule("30 2 * * *", since=NOW + DAY)) == []


@pytest.mark.parametrize(("hours", "expected"), [(5.9, []), (6.1, ["11-10 02:30"])])
def test_a_run_may_come_six_hours_late_before_it_counts_as_missed(hours: float, expected: list[str]) -> None:
    now = datetime(2026, 11, 10, 2, 30, tzinfo=UTC) + hours * HOUR
    assert missed(schedule("30 2 * * *", since=NOW - DAY), now=now) == expected


@pytest.mark.parametrize(("minutes", "expected"), [(119, ["11-10 10:00"]), (121, ["11-10 10:00", "11-10 11:00"])])
def test_of_a_line_of_every_hour_one_is_waited_for_until_the_next(minutes: int, expected: list[str]) -> None:
    since = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
    now = datetime(2026, 11, 10, 10, tzinfo=UTC) + timedelta(minutes=minutes)
    assert missed(schedule("0 * * * *", since=since), now=now) == expected


def test_jitter_is_waited_for_too() -> None:
    since = datetime(2026, 11, 10, tzinfo=UTC)
    assert missed(schedule("30 2 * * *", jitter=10 * 3600, since=since)) == []
    assert missed(schedule("30 2 * * *", jitter=9 * 3600, since=since)) == ["11-10 02:30"]


def test_what_the_clock_shows_twice_is_one_instant_and_has_one_run() -> None:
    # In Berlin, 02:30 came twice on the 25th of October.
    berlin = schedule("30 2 * * *", BERLIN)
    everything = missed(berlin)
    assert [each for each in everything if each.startswith(("10-24", "10-25", "10-26"))] == [
        "10-24 00:30",
        "10-25 00:30",
        "10-26 01:30",
    ]
    runs = [datetime.strptime(f"2026-{each}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for each in everything]
    assert missed(berlin, *runs) == []


def test_an_unknown_time_zone_names_nothing() -> None:
    assert missed(schedule("30 2 * * *", "Atlantis/Capital")) == []


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "line", ["30 2 * * *", "*/20 * * * *", "15 */6 * * *", "0 1 1 * *", "30 1,2 * * 0", "0 0 * * *"]
)
@pytest.mark.parametrize("month", [3, 4, 10, 11])
def test_a_span_names_the_same_instants_as_one_after_the_other(line: str, zone: str, month: int) -> None:
    begin, end = datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month, 1, tzinfo=UTC) + 31 * DAY
    cron, moment, expected = Cron(line, zone), begin - timedelta(seconds=1), []
    while (moment := cron.after(moment)) < end:
        expected.append(moment)
    assert cron.between(begin, end) == expected
