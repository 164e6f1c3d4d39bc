"""How long what is believed, and how often who looks; one set per process, shorter in tests."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from hhh.services.workers import LEASE

#: How often a job is begun in all, when its workers die: what kills one after the other must come to an end.
MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, but for the lease."""

    #: How long a worker is believed without a sign of life.
    lease: timedelta = LEASE
    #: Between two looks of the heartbeat; also how often progress is written at most.
    beat: float = 0.5
    #: For so long an overdue lease is watched before its worker is taken for dead: a living one renews it meanwhile.
    watch: float = 3.0
    #: Between two looks for what dead workers left, and for queued jobs that nobody has.
    tidy: float = 5.0
    #: Before the second attempt at what failed; doubled before each further one.
    first_retry: float = 10.0
    #: Between two attempts at most.
    longest_retry: float = 600.0

    @property
    def renewal(self) -> timedelta:
        """A lease that was given so long ago is renewed."""
        return self.lease / 4

    def retry_after(self, attempt: int) -> timedelta:
        """How long to wait after that attempt; jittered, so that what failed together does not come back together."""
        longest = min(self.first_retry * 2 ** min(attempt - 1, 30), self.longest_retry)
        return timedelta(seconds=longest * random.uniform(0.5, 1))  # noqa: S311  no secret
