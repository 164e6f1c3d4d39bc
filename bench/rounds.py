"""Interleaved rounds, and what is read from them: ratios of medians, never one time alone."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.contenders import Contender
from bench.measure import Usage


@dataclass(frozen=True, slots=True)
class Span:
    """A median with its least and greatest value."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Span:
        """The span of some values."""
        return cls(statistics.median(values), min(values), max(values))


class Series:
    """All counted runs of one contender, one a round."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs: list[Usage] = []

    def span(self, value: Callable[[Usage], float | None]) -> Span | None:
        """The span of one of the measured values; None where it was not measured."""
        values = [each for each in map(value, self.runs) if each is not None]
        return Span.of(values) if values else None

    @property
    def walls(self) -> list[float]:
        """Seconds of each run."""
        return [usage.wall for usage in self.runs]


def ratio(one: Sequence[float], other: Sequence[float]) -> Span:
    """The ratio of two medians, with the least and greatest ratio within one round."""
    rounds = [a / b for a, b in zip(one, other, strict=True)]
    return Span(statistics.median(one) / statistics.median(other), min(rounds), max(rounds))


def interleaved(contenders: Sequence[Contender], runs: int) -> dict[str, Series]:
    """Runs A B C, B C A, C A B …: one round to warm up, which is not counted, then the given number of rounds.

    Each stands at each place in turn: what one leaves to the disk, the next may have to wait for.
    """
    series = {contender.name: Series(contender.name) for contender in contenders}
    for number in range(runs + 1):
        first = number % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            usage = contender.measure()
            counted = "warm-up" if number == 0 else f"round {number} of {runs}"
            print(f"  {counted}: {contender.name}: {usage.wall:.2f} s", file=sys.stderr)
            if number:
                series[contender.name].runs.append(usage)
    return series
