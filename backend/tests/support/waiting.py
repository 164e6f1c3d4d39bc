"""Waiting on a condition, with a deadline: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_SHORTEST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


class WaitedTooLongError(AssertionError):
    """The condition did not come true before the deadline."""


def wait_until(condition: Callable[[], Value], *, seconds: float = 10, what: str = "the condition") -> Value:
    """Ask `condition` again and again until it answers something true; return that answer.

    Pauses grow from 2 to 50 ms, so that a quick condition is seen at once and a slow one costs little.
    Raises WaitedTooLongError, naming `what`, after `seconds`; an exception of `condition` itself passes through.
    """
    deadline = time.monotonic() + seconds
    pause = _SHORTEST_PAUSE
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise WaitedTooLongError(f"waited {seconds:g} s for {what}; last answer: {answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return answer
