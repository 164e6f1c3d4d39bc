"""Drawings of numbers: geometry alone. `charts.html.j2` makes SVG of it; words stand beside it, in HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: The size of one stack, and of one bar chart, in its own units.
STACK_WIDTH, STACK_HEIGHT = 24, 36
BARS_WIDTH, BARS_HEIGHT = 300, 100
#: So many parts of a stack are drawn one by one; of more each kind is one part, as high as is its share.
MOST_PARTS = 24
#: Nothing is so rare that it is not seen.
_LEAST_HEIGHT = 2.0
_GAP = 1.0
_BAR_SHARE = 0.7
#: A bar of something is higher than none.
_LEAST_BAR = 1.0
_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18_000, 36_000, 43_200, 86_400)
_DECADE = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, from the ground up."""

    x: float
    y: float
    width: float
    height: float
    value: float


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart."""

    #: One for each value; None where there is none.
    bars: Sequence[Bar | None]
    #: What its top stands for.
    top: float
    lowest: float
    highest: float

    @property
    def ticks(self) -> Sequence[float]:
        """What stands at its side, from the top down, in even distances."""
        return self.top, self.top / 2, 0.0


@lru_cache(maxsize=4096)
def stack(counts: tuple[int, ...], insets: tuple[float, ...]) -> tuple[str, ...]:
    """A stack of parts, one for each that is counted: for each kind, from the ground up, the path of its parts.

    Args:
        counts: of each kind; its path is empty where there is none.
        insets: of each kind, how far its parts stay away from both sides.
    """
    heights = _heights(counts)
    paths, ground = [], float(STACK_HEIGHT)
    for count, height, inset in zip(counts, heights, insets, strict=True):
        parts = count if sum(counts) <= MOST_PARTS else min(count, 1)
        path = ""
        for _ in range(parts):
            ground -= height
            path += _rectangle(inset, ground, STACK_WIDTH - 2 * inset, height - min(_GAP, height / 4))
        paths.append(path)
    return tuple(paths)


def bars(values: Sequence[float | None], top_of: Callable[[float], float]) -> Bars | None:
    """A bar for each value, on even ground; None where there is no value.

    Args:
        values: from left to right; none is negative.
        top_of: the round number, not smaller than the highest value, that its top stands for.
    """
    there = [value for value in values if value is not None]
    if not there:
        return None
    top, step = top_of(max(there)), BARS_WIDTH / len(values)
    drawn = [None if value is None else _bar(number * step, step, value, top) for number, value in enumerate(values)]
    return Bars(drawn, top, min(there), max(there))


def round_number(highest: float) -> float:
    """The next of 1, 2, 5, 10, 20, …"""
    if highest <= 1:
        return 1.0
    power = float(_DECADE ** math.floor(math.log10(highest)))
    return next(power * each for each in (1, 2, 5, _DECADE) if power * each >= highest * (1 - 1e-9))


def round_seconds(highest: float) -> float:
    """The next number of seconds, minutes, hours or days that is read easily."""
    days = _SECONDS[-1]
    return next((float(each) for each in _SECONDS if each >= highest), days * round_number(highest / days))


def _heights(counts: Sequence[int]) -> Sequence[float]:
    """Of one part of each kind."""
    total = sum(counts)
    if total <= MOST_PARTS:
        return [STACK_HEIGHT / max(total, 1)] * len(counts)
    spare = STACK_HEIGHT - _LEAST_HEIGHT * sum(1 for count in counts if count)
    return [_LEAST_HEIGHT + spare * count / total for count in counts]


def _bar(x: float, step: float, value: float, top: float) -> Bar:
    width, height = step * _BAR_SHARE, max(_LEAST_BAR, BARS_HEIGHT * value / top)
    return Bar(
        round(x + (step - width) / 2, 2), round(BARS_HEIGHT - height, 2), round(width, 2), round(height, 2), value
    )


def _rectangle(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:g} {abs(round(y, 2)):g}h{width:g}v{round(height, 2):g}h{-width:g}z"
