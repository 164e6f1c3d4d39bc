"""Rounds of upkeep: one after the other, whatever they raise, until they are stopped."""

import threading
from collections.abc import Iterator

import pytest

from hhh.core.errors import DatabaseUnavailable
from hhh.jobs.periodic import Periodically
from support.waiting import wait_until

NEVER = 3600.0


def test_what_a_round_raises_is_not_the_end() -> None:
    rounds: list[int] = []

    def fail() -> None:
        rounds.append(len(rounds))
        raise (DatabaseUnavailable("away"), ValueError("a mistake of ours"), OSError("full"))[len(rounds) % 3]

    upkeep = Periodically("test", 0.001, fail)
    upkeep.start()
    wait_until(lambda: len(rounds) > 5, what="rounds after errors")
    upkeep.stop()
    ended = len(rounds)
    upkeep.stop()
    assert len(rounds) == ended


def test_a_round_can_be_asked_for_also_while_one_runs() -> None:
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def take_time() -> None:
        begun.release()
        may_end.acquire()

    upkeep = Periodically("test", NEVER, take_time)
    upkeep.start()
    assert begun.acquire(timeout=10)
    upkeep.soon()
    may_end.release(2)
    assert begun.acquire(timeout=10)
    upkeep.stop()


def test_a_start_may_leave_the_first_round_for_later() -> None:
    done = threading.Event()
    upkeep = Periodically("test", NEVER, done.set)
    upkeep.start(at_once=False)
    assert not done.is_set()
    upkeep.soon()
    assert done.wait(timeout=10)
    upkeep.stop()


def test_a_stop_waits_no_longer_than_it_may(release: threading.Event) -> None:
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        release.wait()

    upkeep = Periodically("test", NEVER, hang)
    upkeep.stop()  # before it was begun
    upkeep = Periodically("test", NEVER, hang)
    upkeep.start()
    assert begun.wait(timeout=10)
    upkeep.stop(timeout=0.01)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()
