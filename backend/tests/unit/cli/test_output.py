"""How commands write what people read."""

import pytest

from hhh.cli.output import duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (245.4, "4 min 5 s"),
        (7_800, "2 h 10 min"),
        (172_799, "47 h 59 min"),
        (273_600, "3 days 4 h"),
    ],
)
def test_a_time_is_told_in_two_units_at_most(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told
