"""How fast a run is said to be, and how long it will take."""

from hhh.core.run import Progress
from hhh.jobs.pace import Pace


class Watch:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def described(pace: Pace, raw_bytes: int, expected: int | None = 1000, stage: str = "stream") -> tuple[object, ...]:
    told = pace.described(Progress(stage, raw_bytes, raw_bytes // 2, expected))
    return told["bytes_per_second"], told["percent"], told["seconds_left"]


def test_a_steady_run_has_a_rate_a_percentage_and_an_end() -> None:
    watch = Watch()
    pace = Pace(watch)
    assert described(pace, 0) == (None, 0, None)
    for raw_bytes, seconds_left in ((100, 9), (200, 8), (300, 7)):
        watch.now += 1
        assert described(pace, raw_bytes) == (100, raw_bytes / 10, seconds_left)


def test_a_rate_follows_a_change_slowly() -> None:
    watch = Watch()
    pace = Pace(watch)
    described(pace, 0)
    watch.now += 1
    described(pace, 100)
    watch.now += 1
    rate, _, _ = described(pace, 100)
    assert isinstance(rate, int)
    assert 50 < rate < 100
    watch.now += 60
    assert described(pace, 100) == (0, 10, None)


def test_each_stage_has_a_rate_of_its_own() -> None:
    watch = Watch()
    pace = Pace(watch)
    described(pace, 900)
    watch.now += 1
    assert described(pace, 0, stage="restore") == (None, 0, None)


def test_what_is_not_known_is_not_guessed() -> None:
    watch = Watch()
    pace = Pace(watch)
    described(pace, 0, None)
    watch.now += 2
    assert described(pace, 100, None) == (50, None, None)


def test_more_than_was_expected_is_not_more_than_all() -> None:
    watch = Watch()
    pace = Pace(watch)
    described(pace, 0)
    watch.now += 1
    assert described(pace, 1500) == (1500, 100, None)


def test_a_mapping_keeps_what_was_reported() -> None:
    told = Pace().described(Progress("finalise", 10, 5, 20))
    assert {name: told[name] for name in ("stage", "raw_bytes", "stored_bytes", "expected_bytes")} == {
        "stage": "finalise",
        "raw_bytes": 10,
        "stored_bytes": 5,
        "expected_bytes": 20,
    }
