"""How long is waited before what failed is tried again."""

from itertools import pairwise

from hhh.jobs.timing import Timing


def test_the_wait_doubles_up_to_a_limit_and_is_jittered() -> None:
    timing = Timing(first_retry=10, longest_retry=60)
    waits = {attempt: [timing.retry_after(attempt).total_seconds() for _ in range(200)] for attempt in range(1, 6)}
    for longest, found in zip((10, 20, 40, 60, 60), waits.values(), strict=True):
        assert longest / 2 <= min(found) < max(found) <= longest
        assert len(set(found)) > 100
    assert all(max(later) > max(earlier) * 0.9 for earlier, later in pairwise(waits.values()))


def test_a_thousandth_attempt_waits_no_longer() -> None:
    assert Timing(longest_retry=60).retry_after(1000).total_seconds() <= 60
