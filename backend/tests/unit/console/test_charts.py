"""Stacks of backups and bars of figures: where they are drawn, and what is never lost in the drawing."""

import re
from itertools import pairwise

import pytest

from hhh.console.views import charts

FLAT = (0.0, 0.0, 0.0)


def heights(path: str) -> list[float]:
    """Of the rectangles of a path."""
    return [float(each) for each in re.findall(r"v([\d.]+)h", path)]


def tops(path: str) -> list[float]:
    return [float(each) for each in re.findall(r"M[\d.]+ ([\d.]+)h", path)]


def test_each_backup_of_a_day_is_a_part_of_its_own_and_they_fill_the_stack() -> None:
    many, one, none = charts.stack((3, 1, 0), FLAT)

    assert (len(heights(many)), len(heights(one)), none) == (3, 1, "")
    assert tops(many) == [27, 18, 9]
    assert tops(one) == [0]


def test_parts_stay_apart_and_away_from_the_sides_as_their_kind_does() -> None:
    [path] = charts.stack((2,), (5.0,))
    assert heights(path) == [17, 17]
    assert path.startswith("M5 18h14v17h-14z")


def test_more_than_24_a_day_are_drawn_in_proportion() -> None:
    good, bad, none = charts.stack((30, 10, 0), FLAT)

    assert (len(heights(good)), len(heights(bad)), none) == (1, 1, "")
    assert heights(good)[0] + heights(bad)[0] == pytest.approx(charts.STACK_HEIGHT - 2)
    assert heights(good)[0] > 2 * heights(bad)[0]


def test_one_failure_among_a_thousand_is_still_seen() -> None:
    _, bad = charts.stack((1439, 1), (0.0, 0.0))
    assert heights(bad)[0] >= 1
    assert tops(bad) == [0]


def test_bars_stand_on_the_ground_below_a_round_number() -> None:
    drawn = charts.bars([50.0, None, 100.0, 0.0], charts.round_number)

    assert drawn is not None
    assert [drawn.top, drawn.lowest, drawn.highest] == [100, 0, 100]
    assert [*drawn.ticks] == [100, 50, 0]
    assert [each and each.height for each in drawn.bars] == [50, None, 100, 1]
    assert all(each.y + each.height == charts.BARS_HEIGHT for each in drawn.bars if each)


def test_bars_stand_side_by_side_within_the_picture() -> None:
    drawn = charts.bars([1.0] * 30, charts.round_number)
    assert drawn
    places = [(each.x, each.x + each.width) for each in drawn.bars if each]
    assert places == sorted(places)
    assert all(end < begin for (_, end), (begin, _) in pairwise(places))
    assert places[0][0] >= 0
    assert places[-1][1] <= charts.BARS_WIDTH


def test_nothing_but_none_is_no_chart() -> None:
    assert charts.bars([None, None], charts.round_number) is None


@pytest.mark.parametrize(
    ("highest", "expected"), [(0, 1), (1, 1), (1.5, 2), (3, 5), (7, 10), (10, 10), (101, 200), (4.2e12, 5e12)]
)
def test_a_round_number_is_the_next_of_one_two_five(highest: float, expected: float) -> None:
    assert charts.round_number(highest) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("highest", "expected"), [(0.2, 1), (11, 20), (45, 60), (70, 120), (4000, 7200), (90_000, 172_800)]
)
def test_round_seconds_are_read_as_minutes_and_hours(highest: float, expected: float) -> None:
    assert charts.round_seconds(highest) == expected
