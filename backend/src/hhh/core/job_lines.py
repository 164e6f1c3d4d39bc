"""What is logged while a job runs, kept for whoever looks at what came of it.

The log writes what the level of the process lets through, and where it is read nobody knows; these lines stand beside
what the job made. `hhh.core.logging` hands them over with their secrets masked.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import structlog

#: One line: ``timestamp``, ``level``, ``event``, and what else it tells.
Line = dict[str, Any]

#: How many lines of a job are kept: the first ones tell how it began, the last ones how it ended.
FIRST, LAST = 50, 149
#: How many characters of a line are kept, its names included.
LONGEST = 1000
#: What stands for the lines between the first and the last ones; its ``count`` says how many they were.
LEFT_OUT = "lines_left_out"

#: Members by which a line names its job, for those that other threads wrote.
_NAMES = ("job_id", "backup_id", "restore_id", "verification_id")
#: No text is cut below it, as long as there is another one.
_SHORT = 60


class JobLines:
    """The lines of one attempt at one job. Thread-safe.

    Args:
        job_id: of the job; lines need not repeat it.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._first: list[Line] = []
        self._last: deque[Line] = deque(maxlen=LAST)
        self._left_out = 0
        self._lock = threading.Lock()

    def add(self, event: Mapping[str, Any]) -> None:
        """Keeps a line, whose secrets are masked already."""
        told = {name: _plain(value) for name, value in event.items() if name != "logger" and value != self.job_id}
        line = _shortened({name: value for name, value in told.items() if value is not None})
        with self._lock:
            if len(self._first) < FIRST:
                self._first.append(line)
                return
            self._left_out += len(self._last) == LAST
            self._last.append(line)

    def take(self) -> Sequence[Line]:
        """The lines so far; they are not given again."""
        with self._lock:
            taken = [*self._first, *_left_out(self._left_out), *self._last]
            self._first, self._left_out = [], 0
            self._last.clear()
        return taken


#: Of the attempt that this thread, or the one that started it, is on.
_current: ContextVar[JobLines | None] = ContextVar("job_lines", default=None)
#: By job, those that are kept now; the newest last: an attempt that hangs may be beside the next one.
_kept: dict[str, list[JobLines]] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def kept_lines(job_id: str) -> Iterator[JobLines]:
    """Keeps what is logged in the block, and by any thread that names the job; each line names the job from then on."""
    lines = JobLines(job_id)
    with _lock:
        _kept.setdefault(job_id, []).append(lines)
    token = _current.set(lines)
    try:
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            yield lines
    finally:
        _current.reset(token)
        with _lock:
            _kept[job_id].remove(lines)
            if not _kept[job_id]:
                del _kept[job_id]


def kept_now(job_id: str) -> Sequence[JobLines]:
    """What is kept of a job's attempts in this process now."""
    with _lock:
        return tuple(_kept.get(job_id, ()))


def lines_for(event: Mapping[str, Any]) -> JobLines | None:
    """Where a line is to be kept: with the attempt it is written in, or else with that of the job which it names."""
    if (current := _current.get()) is not None:
        return current
    if not _kept:
        return None
    with _lock:
        named = (_kept.get(event[name]) for name in _NAMES if isinstance(event.get(name), str))
        return next((attempts[-1] for attempts in named if attempts), None)


def bounded(lines: Sequence[Line]) -> list[Line]:
    """The lines of all attempts, as many as are kept."""
    if len(lines) <= FIRST + LAST:
        return [*lines]
    between = lines[FIRST:-LAST]
    count = sum(int(line.get("count", 1)) if line.get("event") == LEFT_OUT else 1 for line in between)
    return [*lines[:FIRST], *_left_out(count), *lines[-LAST:]]


def _left_out(count: int) -> Sequence[Line]:
    return [{"level": "info", "event": LEFT_OUT, "count": count}] if count else []


def _plain(value: object) -> object:
    """A value as it can be stored anywhere."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    # Tools repeat what they were given: half a surrogate pair, or a NUL, which PostgreSQL does not take.
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _shortened(line: Line) -> Line:
    """The line without the middle of its longest texts, until it is short enough; at last without whole members."""
    while (excess := sum(len(name) + len(str(value)) for name, value in line.items()) - LONGEST) > 0:
        longest = max(line, key=lambda name: len(str(line[name])))
        text = str(line[longest])
        if len(text) > _SHORT:
            line[longest] = _without_middle(text, max(_SHORT, len(text) - excess))
        else:
            line.popitem()
    return line


def _without_middle(text: str, length: int) -> str:
    ends = length - 1
    return f"{text[: ends // 2]}…{text[len(text) - (ends - ends // 2) :]}"
