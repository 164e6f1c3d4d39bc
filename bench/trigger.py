"""A small trigger: how long an operator waits for the backup of a small SQLite database, and what of it is ours."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.contenders import Composition, ServerClock, WarmService, warm_service
from bench.databases import fill_sqlite
from bench.measure import now
from bench.report import Goal, Line, Part
from bench.rounds import Span, ratio

_MEGABYTES = 0.1
_LIMIT_MILLISECONDS = 150.0

_APP = "POST /trigger of the own database"
_SMALL = "POST /trigger of a small database"
_DIRECT = "the same without HTTP, jobs and catalogue"
_ME = "GET /me, an answer without work"


def measure(folder: Path, *, requests: int, recipient: str) -> Part:
    """Triggers again and again, in turn."""
    folder.mkdir()
    source = folder / "small.db"
    size = fill_sqlite(source, _MEGABYTES)
    url = f"sqlite:///{source}"
    request = {"kind": "engine", "url": url, "recipients": [recipient], "scratch": str(folder)}
    with (
        warm_service(folder / "service", {"small": url}, {"age_recipients": recipient}) as service,
        contextlib.closing(Composition(_DIRECT, request, folder=folder, clock=ServerClock())) as direct,
    ):
        found = _in_turn(
            {
                _APP: functools.partial(service.trigger, "app"),
                _SMALL: functools.partial(service.trigger, "small"),
                _DIRECT: direct.work,
                _ME: functools.partial(_ask_who, service),
            },
            requests,
        )
        shutil.rmtree(service.store)
    return _part(f"SQLite, a database of {size / 1000:.0f} kB, {requests} of each in turn", found)


def _ask_who(service: WarmService) -> None:
    service.client.get("/api/v1/auth/me").raise_for_status()


def _in_turn(calls: dict[str, Callable[[], object]], times: int) -> dict[str, list[float]]:
    walls: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(times + 3):
        for name, call in calls.items():
            begun = now()
            call()
            if number >= 3:  # noqa: PLR2004  three to warm up
                walls[name].append(now() - begun)
    return walls


def _part(subject: str, found: dict[str, list[float]]) -> Part:
    direct = found[_DIRECT]
    lines = [Line(name, Span.of(walls), ratio(walls, direct)) for name, walls in found.items()]
    goals = [Goal(f"{name}, median", _milliseconds(found[name]), _LIMIT_MILLISECONDS, "ms") for name in (_APP, _SMALL)]
    notes = [
        "HTTP on loopback, from the request to the last byte of the answer; the backup is stored, durable, by then."
    ]
    return Part("trigger", subject, "(without jobs)", lines, goals, notes)


def _milliseconds(walls: Sequence[float]) -> Span:
    return Span.of([each * 1000 for each in walls])
