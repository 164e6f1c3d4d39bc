"""The pages of the console with 500 targets and 100,000 backups behind them, and what a page weighs without data."""

from __future__ import annotations

import contextlib
import re
import statistics
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import text

from bench.catalogue import TOTALS
from bench.report import Goal, Line, Part
from bench.rounds import Span, ratio
from hhh.console.assets import assets
from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.core.secretbox import SecretBox
from hhh.models import Base, Policy, Schedule, Target
from hhh.services.sealing import target_owner
from support.demo import EMPTY_PAGES, LONG_NAME, PAGES, Demo, furnish
from support.demo_history import Course, backups_of
from support.service import Service
from support.waiting import wait_until

_LIMIT_MILLISECONDS = 100.0
_LIMIT_KILOBYTES = 60.0
_EVERY = timedelta(hours=6)
#: What each page also loads; an icon is no more than a few hundred bytes.
_LOADED = ("console.css", "console.js", "icon.svg")
#: Asks every store and every server, and tells what it finds as it comes: its time is theirs.
_NOT_TIMED = {"settings-health"}
#: Draws a form, and asks the database for no more than who is there.
_YARDSTICK = "store-new"


def measure(folder: Path, *, backups: int, targets: int, requests: int) -> Part:
    """Fills a catalogue and asks for every page; then weighs those of an empty service."""
    for each in (folder, folder / "full", folder / "empty"):
        each.mkdir()
    demo = furnish(folder / "full")
    with _database(demo) as database:
        _fill(database, demo, backups, targets)
    with Service(demo.folder, demo.settings) as service:
        times = _server_times(service, {name: demo.path(name) for name in PAGES if name not in _NOT_TIMED}, requests)
    with Service(folder / "empty") as service:
        weights = _weights(service)
    return _part(f"{targets:,} targets, {backups:,} backups, {requests} requests of each page", times, weights)


@contextlib.contextmanager
def _database(demo: Demo) -> Iterator[Database]:
    with contextlib.closing(Database(f"sqlite:///{demo.folder}/data/hhh.db")) as database:
        yield database


def _fill(database: Database, demo: Demo, backups: int, targets: int) -> None:
    """Each target has as many backups as the others, one each six hours; most are in the month that pages look at."""
    now, each = datetime.now(UTC), backups // targets
    environment = {"HHH_DATA_DIR": str(demo.folder / "data")}
    box = SecretBox(load_settings(environment, dotenv=demo.folder / "none.env").secret)
    for number in range(targets):
        name = f"{number:03}-{LONG_NAME}"[:63] if number % 10 == 0 else f"target-{number:03}"
        until = timedelta(minutes=number % 360)
        course = Course(
            name, 1e9 * (1 + number % 40), _EVERY, since=until + _EVERY * (each - 1), until=until, proven_each=12
        )
        with database.transaction() as session:
            session.add_all(_configured(name, box, now))
            session.add_all(row for rows in backups_of(course, now) for row in rows)
    with database.transaction() as session:
        session.execute(text(TOTALS))


def _configured(name: str, box: SecretBox, now: datetime) -> list[Base]:
    times = {"created_at": now, "updated_at": now}
    url = box.seal(f"postgresql://backup@db.example.com/{name}", owner=target_owner(name))
    retention = {"daily": 7, "weekly": 5, "monthly": 12}
    return [
        Target(id=str(uuid.uuid4()), name=name, engine="postgresql", sealed_url=url, **times),
        Policy(target=name, stores=["default", "offsite"], retries=2, retention=retention, updated_at=now),
        Schedule(
            id=str(uuid.uuid4()),
            target=name,
            cron="0 */6 * * *",
            time_zone="Europe/Berlin",
            jitter_seconds=0,
            # Nothing is to be taken while pages are measured.
            paused=True,
            **times,
        ),
    ]


def _server_times(service: Service, pages: Mapping[str, str], requests: int) -> dict[str, list[float]]:
    """Milliseconds of each request, as the service's own log has them: from its arrival to the end of its answer."""
    with _browser(service) as client:
        for number in range(requests + 1):
            for name, path in pages.items():
                answer = client.get(path, headers={"X-Request-ID": f"bench-{name}-{number}"})
                if answer.is_error and name != "not-found":
                    raise RuntimeError(f"{name} ({path}): {answer.status_code}\n{service.log()[-5000:]}")
    wait_until(lambda: len(_logged(service)) == len(pages) * (requests + 1), seconds=10, what="the log's last line")
    logged = _logged(service)
    # The first of each compiles a template and statements.
    return {name: [logged[name, number] for number in range(1, requests + 1)] for name in pages}


def _logged(service: Service) -> dict[tuple[str, int], float]:
    lines = re.finditer(r"^(?=.*request_id=bench-([\w-]+)-(\d+)\b).*milliseconds=([\d.]+)", service.log(), re.MULTILINE)
    return {(line[1], int(line[2])): float(line[3]) for line in lines}


def _weights(service: Service) -> dict[str, int]:
    """Bytes of each page with all that it loads, uncompressed."""
    loaded = sum(len(assets()[name].content) for name in _LOADED)
    with _browser(service) as client:
        empty = {name: len(client.get(path).content) for name, path in EMPTY_PAGES.items()}
        forms = {name: len(client.get(PAGES[name]).content) for name in PAGES if name.endswith("-new")}
    return {name: size + loaded for name, size in {**empty, **forms}.items()}


@contextlib.contextmanager
def _browser(service: Service) -> Iterator[httpx.Client]:
    with service.signed_in_client() as client:
        client.headers["Accept"] = "text/html"
        yield client


def _part(subject: str, times: Mapping[str, list[float]], weights: Mapping[str, int]) -> Part:
    lines = [
        Line(name, Span.of([each / 1000 for each in found]), ratio(found, times[_YARDSTICK]))
        for name, found in times.items()
    ]
    late = {name: statistics.quantiles(found, n=20)[-1] for name, found in times.items()}
    slowest, latest = max(times, key=lambda name: statistics.median(times[name])), max(late, key=late.__getitem__)
    heaviest = max(weights, key=weights.__getitem__)
    kilobytes = weights[heaviest] / 1000
    goals = [
        Goal(f"the slowest page ({slowest}), median", Span.of(times[slowest]), _LIMIT_MILLISECONDS, "ms"),
        Goal(
            f"the heaviest page without data ({heaviest}), with style and script",
            Span(kilobytes, kilobytes, kilobytes),
            _LIMIT_KILOBYTES,
            "kB",
        ),
    ]
    over = [f"{name} {each:.0f} ms" for name, each in late.items() if each > _LIMIT_MILLISECONDS]
    most = f"95 of 100 answers of each page took at most {late[latest]:.0f} ms ({latest})"
    notes = [
        "Server time: milliseconds of the service's own `request` log line, all its layers included, on SQLite.",
        f"{most}; more than {_LIMIT_MILLISECONDS:g} ms: {', '.join(over) or 'none'}.",
        f"Style and script are {sum(len(assets()[name].content) for name in _LOADED) / 1000:.1f} kB, uncompressed.",
    ]
    return Part("console", subject, _YARDSTICK, lines, goals, notes)
