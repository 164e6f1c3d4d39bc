"""Spans of time and sizes are typed with their units, alike in all commands."""

import pytest

from hhh.cli.amounts import bytes_of, days_of, hours_of, seconds_of
from hhh.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90s", 90), ("90m", 5400), ("1.5h", 5400), ("30d", 2_592_000), ("2w", 1_209_600), ("0", 0), ("none", None)],
)
def test_a_span_has_a_unit(typed: str, seconds: int | None) -> None:
    assert seconds_of(typed, "--time-limit") == seconds


@pytest.mark.parametrize("typed", ["90", "-1m", "1h30m", "5 m", "5M", "", "soon"])
def test_what_could_be_seconds_or_days_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput, match="--max-age is no duration"):
        seconds_of(typed, "--max-age")


@pytest.mark.parametrize(("typed", "days"), [("7d", 7), ("2w", 14), ("48h", 2), ("none", None)])
def test_days_are_whole_ones(typed: str, days: int | None) -> None:
    assert days_of(typed, "--proven-within") == days


@pytest.mark.parametrize(("typed", "hours"), [("26h", 26), ("2d", 48), ("120m", 2), ("none", None)])
def test_hours_are_whole_ones(typed: str, hours: int | None) -> None:
    assert hours_of(typed, "--backed-up-within") == hours


@pytest.mark.parametrize("typed", ["1.5d", "36h", "0"])
def test_what_is_no_number_of_days_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput, match="--proven-within is no number of whole days"):
        days_of(typed, "--proven-within")


@pytest.mark.parametrize("typed", ["90m", "0.5h", "0"])
def test_what_is_no_number_of_hours_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput, match="--backed-up-within is no number of whole hours"):
        hours_of(typed, "--backed-up-within")


@pytest.mark.parametrize(
    ("typed", "count"),
    [("500", 500), ("500B", 500), ("50GB", 50 * 10**9), ("50 gb", 50 * 10**9), ("1.5TiB", 3 * 2**39), ("none", None)],
)
def test_a_size_is_of_thousands_or_of_1024(typed: str, count: int | None) -> None:
    assert bytes_of(typed, "--max-total-size") == count


@pytest.mark.parametrize("typed", ["", "GB", "-1GB", "1PB", "iB", "5i"])
def test_what_is_no_size_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput, match="--max-total-size is no size"):
        bytes_of(typed, "--max-total-size")
