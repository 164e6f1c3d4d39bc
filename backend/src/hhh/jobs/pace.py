"""How fast a run is, and how long it will take."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from hhh.core.run import Progress

#: Seconds over which the rate is smoothed: a hiccup must not make hours of minutes.
_SMOOTHING = 5.0


class Pace:
    """Of one run; asked again and again, with its newest progress."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last: tuple[float, Progress] | None = None
        self._rate: float | None = None

    def described(self, progress: Progress) -> dict[str, Any]:
        """As a mapping, with ``bytes_per_second``, ``percent`` and ``seconds_left``, which are None where unknown."""
        self._observe(progress)
        rate = round(self._rate) if self._rate is not None else None
        return {
            **dataclasses.asdict(progress),
            "bytes_per_second": rate,
            "percent": _percent(progress),
            "seconds_left": _seconds_left(progress, rate),
        }

    def _observe(self, progress: Progress) -> None:
        now = self._monotonic()
        if self._last is None or self._last[1].stage != progress.stage:
            # Each stage counts by itself, and begins with what it has done at once.
            self._last, self._rate = (now, progress), None
            return
        before, seen = self._last
        elapsed = now - before
        if elapsed <= 0:
            return
        rate = max(0.0, (progress.raw_bytes - seen.raw_bytes) / elapsed)
        weight = 1 - math.exp(-elapsed / _SMOOTHING)
        self._rate = rate if self._rate is None else self._rate + weight * (rate - self._rate)
        self._last = (now, progress)


def _percent(progress: Progress) -> float | None:
    if not progress.expected_bytes:
        return None
    # What is expected is an estimate: all is only there when it has ended.
    return min(100.0, round(100 * progress.raw_bytes / progress.expected_bytes, 1))


def _seconds_left(progress: Progress, rate: int | None) -> int | None:
    if not rate or not progress.expected_bytes or progress.raw_bytes > progress.expected_bytes:
        return None
    return math.ceil((progress.expected_bytes - progress.raw_bytes) / rate)
