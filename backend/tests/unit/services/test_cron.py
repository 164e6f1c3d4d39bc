"""Lines of cron: which there are, and which moments they name where clocks are changed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from hhh.core.errors import InvalidInput
from hhh.services.cron import Cron

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
HOUR = timedelta(hours=1)
#: By zone: in UTC, when clocks were set forward and back in 2026; half an hour on Lord Howe Island.
CHANGES = {
    BERLIN: (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    NEW_YORK: (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    LORD_HOWE: (datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC)),
}
EVERY_CHANGE = [(zone, change) for zone, changes in CHANGES.items() for change in changes]


def between(line: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The moments that a line names after one moment and up to another."""
    cron, found = Cron(line, zone), []
    while (begin := cron.after(begin)) <= end:
        found.append(begin)
    return found


def around(line: str, zone: str, change: datetime, hours: int = 30) -> list[datetime]:
    return between(line, zone, change - hours * HOUR, change + hours * HOUR)


def local(moments: list[datetime], zone: str) -> list[str]:
    return [f"{moment.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for moment in moments]


@pytest.mark.parametrize(("zone", "change"), EVERY_CHANGE)
@pytest.mark.parametrize("line", ["*/15 * * * *", "0,15,30,45 * * * *", "*/15 0-23 * * *", "*/30 * * * *"])
def test_what_runs_several_times_an_hour_keeps_its_distance(zone: str, change: datetime, line: str) -> None:
    moments = around(line, zone, change)
    [distance] = {after - before for before, after in pairwise(moments)}
    assert distance in {timedelta(minutes=15), timedelta(minutes=30)}
    assert change in moments


@pytest.mark.parametrize(("zone", "change"), EVERY_CHANGE)
@pytest.mark.parametrize("line", ["0 * * * *", "@hourly", "0 */1 * * *", "0 0-23 * * *"])
def test_what_runs_hourly_runs_once_in_each_real_hour(zone: str, change: datetime, line: str) -> None:
    moments = [moment.replace(minute=0) for moment in around(line, zone, change)]
    assert {after - before for before, after in pairwise(moments)} == {HOUR}


@pytest.mark.parametrize(("zone", "change"), [each for each in EVERY_CHANGE if each[0] != LORD_HOWE])
@pytest.mark.parametrize("minute", [1, 17, 30, 59])
def test_what_runs_hourly_keeps_its_minute_where_whole_hours_are_skipped_or_doubled(
    zone: str, change: datetime, minute: int
) -> None:
    moments = around(f"{minute} * * * *", zone, change)
    assert {after - before for before, after in pairwise(moments)} == {HOUR}
    assert {moment.minute for moment in moments} == {minute}


def test_half_an_hour_that_is_skipped_or_doubled_moves_what_runs_hourly() -> None:
    forward, back = CHANGES[LORD_HOWE]
    assert local(around("0 * * * *", LORD_HOWE, forward, 2), LORD_HOWE)[:3] == [
        "10-04 01:00",
        "10-04 02:30",
        "10-04 03:00",
    ]
    assert local(around("45 * * * *", LORD_HOWE, forward, 2), LORD_HOWE)[1:3] == ["10-04 01:45", "10-04 02:45"]
    # The clock shows it twice, and cronsim leaves the second out.
    assert local(around("45 * * * *", LORD_HOWE, back, 2), LORD_HOWE)[1:4] == [
        "04-05 01:45",
        "04-05 01:45",
        "04-05 02:45",
    ]


@pytest.mark.parametrize(
    ("line", "zone", "shown"),
    [
        ("30 2 * * *", BERLIN, ["03-28 02:30", "03-29 03:00", "03-30 02:30"]),
        ("30 2 * * *", NEW_YORK, ["03-07 02:30", "03-08 03:00", "03-09 02:30"]),
        ("15 2 * * *", LORD_HOWE, ["10-03 02:15", "10-04 02:30", "10-05 02:15"]),
        # All that is skipped is one run, also where another of the line's times is that moment.
        ("*/20 2 * * *", BERLIN, ["03-28 02:40", "03-29 03:00", "03-30 02:00"]),
        ("0 2,3 * * *", BERLIN, ["03-28 03:00", "03-29 03:00", "03-30 02:00"]),
        ("0 */2 * * *", BERLIN, ["03-29 00:00", "03-29 03:00", "03-29 04:00"]),
    ],
)
def test_a_fixed_time_that_is_skipped_runs_once_when_the_gap_is_over(line: str, zone: str, shown: list[str]) -> None:
    forward = CHANGES[zone][0]
    moments = local(around(line, zone, forward, 36), zone)
    at = moments.index(shown[1])
    assert moments[at - 1 : at + 2] == shown


@pytest.mark.parametrize(
    ("line", "zone", "times"),
    [
        ("30 2 * * *", BERLIN, 1),
        ("30 1 * * *", NEW_YORK, 1),
        ("45 1 * * *", LORD_HOWE, 1),
        ("*/15 2 * * *", BERLIN, 4),
        ("0 */2 * * *", BERLIN, 12),
    ],
)
def test_a_fixed_time_that_comes_twice_runs_the_first_time(line: str, zone: str, times: int) -> None:
    back = CHANGES[zone][1]
    day = back.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0)
    moments = between(line, zone, day.astimezone(UTC) - timedelta(seconds=1), day.replace(hour=23).astimezone(UTC))
    assert len(moments) == times
    assert not any(moment.astimezone(ZoneInfo(zone)).fold for moment in moments)
    # Asked in between, it does not name one that has passed.
    for minutes in range(0, 120, 5):
        moment = back + timedelta(minutes=minutes)
        assert Cron(line, zone).after(moment) > moment
        assert Cron(line, zone).after(moment) in between(line, zone, moment - HOUR, moment + 48 * HOUR)


@pytest.mark.parametrize(
    ("zone", "line"),
    [
        ("America/Santiago", "0 0 * * *"),
        ("Africa/Cairo", "0 0 * * *"),
        ("Asia/Beirut", "*/10 * * * 0"),
        ("UTC", "@daily"),
    ],
)
def test_a_year_of_moments_only_grows_and_leaves_no_day_out(zone: str, line: str) -> None:
    moments = between(line, zone, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert moments == sorted(set(moments))
    days = {moment.astimezone(ZoneInfo(zone)).date() for moment in moments}
    assert len(days) >= (365 if line != "*/10 * * * 0" else 52)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("@hourly", "2026-05-06T08:00"),
        ("@daily", "2026-05-07T00:00"),
        ("@midnight", "2026-05-07T00:00"),
        ("@Weekly", "2026-05-10T00:00"),
        ("@monthly", "2026-06-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
        ("  5  4 * *   sun ", "2026-05-10T04:05"),
        ("0 12 1 Jan-Mar,dec *", "2026-12-01T12:00"),
        ("0 0 * * 7", "2026-05-10T00:00"),
        ("10-20/5 9 * * MON-FRI", "2026-05-06T09:10"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 13 * FRI", "2026-05-08T00:00"),
    ],
)
def test_lines_that_cron_knows(line: str, first: str) -> None:
    cron = Cron(line)
    assert cron.after(datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)).isoformat()[:16] == first
    assert cron.line == " ".join(line.split())


def test_the_moment_itself_is_not_after_itself() -> None:
    noon = datetime(2026, 5, 6, 12, tzinfo=UTC)
    assert Cron("0 12 * * *").following(noon, 2) == [noon + 24 * HOUR, noon + 48 * HOUR]
    assert Cron("0 12 * * *").after(noon - timedelta(microseconds=1)) == noon


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 0 * * * *", "6 fields"),
        ("60 * * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day of the month"),
        ("0 0 * 13 *", "'13' is no month"),
        ("0 0 * * 8", "'8' is no day of the week"),
        ("0 0 * * FRI-MON", "'FRI-MON' is no day of the week"),
        ("*/0 * * * *", "is no minute"),
        ("0 0 L * *", "'L' is no day of the month"),
        ("0 0 * * 5L/2", "is no day of the week"),
        ("٣ * * * *", "is no minute"),
        ("0 0 * * \x00", "is no day of the week"),
        ("@reboot", "no name for a line"),
        ("0 0 30 2 *", "no date that ever comes"),
        ("0 0 31 4,6,9,11 *", "no date that ever comes"),
        ("0 0 1 1 *" + ",1" * 200, "at most 254"),
    ],
)
def test_lines_that_are_none_are_refused_with_the_field_that_is_wrong(line: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        Cron(line)


@pytest.mark.parametrize(
    "name", ["", "Europe", "/etc/passwd", "../zoneinfo/UTC", "x\x00", "Mars/Olympus", "\ud800", "A" * 999]
)
def test_time_zones_that_nobody_knows_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="No time zone is named"):
        Cron("@daily", name)


@pytest.mark.parametrize("name", ["europe/berlin", "Europe/Berlim"])
def test_the_nearest_time_zone_is_named(name: str) -> None:
    with pytest.raises(InvalidInput, match="did you mean Europe/Berlin"):
        Cron("@daily", name)


def test_time_zones_are_known_where_the_machine_has_none() -> None:
    ZoneInfo.clear_cache()
    reset_tzpath(())
    try:
        assert Cron("0 12 * * *", BERLIN).after(datetime(2026, 7, 1, tzinfo=UTC)).hour == 10
    finally:
        reset_tzpath()
        ZoneInfo.clear_cache()


@pytest.mark.parametrize(
    ("line", "zone", "moved"),
    [
        ("30 2 * * *", BERLIN, ["03-29 02:30 skipped 03:00", "10-25 02:30 twice 02:30"]),
        ("*/30 2 * * *", NEW_YORK, ["03-08 02:00 skipped 03:00", "03-08 02:30 skipped 03:00"]),
        ("15 2 * * *", LORD_HOWE, ["10-04 02:15 skipped 02:30"]),
        ("45 1 * * *", LORD_HOWE, ["04-05 01:45 twice 01:45"]),
        ("30 2 1 * *", BERLIN, []),
        ("30 4 * * *", BERLIN, []),
        ("30 * * * *", BERLIN, []),
        ("30 2 * * *", "UTC", []),
    ],
)
def test_times_that_a_clock_skips_or_shows_twice_are_known_before(line: str, zone: str, moved: list[str]) -> None:
    cron = Cron(line, zone)
    found = cron.moved(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    told = [
        f"{each.wall:%m-%d %H:%M} {'skipped' if each.skipped else 'twice'} {local([each.at], zone)[0][6:]}"
        for each in found
    ]
    assert told == moved
    assert all(cron.after(each.at - timedelta(seconds=1)) == each.at for each in found)
