"""Ten thousand targets on hourly schedules, an engine that does nothing, two workers, one PostgreSQL.

The hour is compressed: every schedule has one run, and these are due at even distances within a few minutes. The
ticker, the queue and the workers are as they are; only the times in ``next_run_at`` are moved nearer to each other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import cpu_of_tree
from bench.nothing import COUNT_FILE
from bench.postgres import postmaster_of
from bench.report import Goal, Line, Part
from bench.rounds import Span, ratio
from hhh import migrations
from hhh.core.config import Settings, load_settings
from hhh.core.database import Database
from hhh.core.secretbox import SecretBox
from hhh.models import Schedule, Target
from hhh.services.sealing import target_owner
from support.many_machines import WorkerProcess
from support.postgres_server import PostgresServer, make_data_dir, start_server

_REPOSITORY = Path(__file__).parent.parent
_WORKERS = 2
_LIMIT_SECONDS = 5.0
#: As `initdb` leaves it: what is committed is on the disk.
_DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}
#: Before the first run is due, and after the last one for all to end.
_LEAD, _PATIENCE = timedelta(seconds=10), 600.0
_POLL_SECONDS = 1.0

_QUEUED, _STARTED, _ENDED = "due → queued", "due → begun by a worker", "due → stored and recorded"


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of all jobs together."""

    worker_cpu: float
    server_cpu: float
    statements: int
    transactions: int
    #: Seconds from the first run that was due to the end of the last.
    wall: float


def measure(folder: Path, *, schedules: int, minutes: float, major: int) -> Part:
    """Has each schedule's run due once within so many minutes."""
    folder.mkdir()
    server = start_server(major, make_data_dir(major, "benchmark"), "benchmark", private=True, settings=_DURABLE)
    try:
        environment = _environment(folder, server)
        with contextlib.closing(Database(environment["HHH_DATABASE_URL"])) as database:
            migrations.upgrade(database)
            _set_up(database, load_settings(environment, dotenv=folder / "none.env"), schedules)
        return _part(*_measured(folder, server, environment, schedules, minutes), schedules, minutes, major)
    finally:
        server.remove()


def _environment(folder: Path, server: PostgresServer) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(_REPOSITORY),
        "HHH_DATA_DIR": str(folder / "data"),
        "HHH_SCRATCH_DIR": str(folder),
        "HHH_SECRET_KEY": "of a benchmark that nobody needs to guess",
        "HHH_DATABASE_URL": server.url(server.create_database("own")),
        "HHH_JOBS_DATABASE_URL": server.url(server.create_database("jobs")),
    }


def _set_up(database: Database, settings: Settings, schedules: int) -> None:
    """As the services would, but in one transaction."""
    now = datetime.now(UTC)
    # Their own next instant is an hour away, less what this takes: none comes in between.
    line = f"{(now - timedelta(minutes=1)).minute} * * * *"
    box = SecretBox(settings.secret)
    with database.transaction() as session:
        for number in range(schedules):
            name = f"target-{number:05}"
            url = box.seal("sqlite:////nothing.db", owner=target_owner(name))
            times = {"created_at": now, "updated_at": now}
            session.add(Target(id=str(uuid.uuid4()), name=name, engine="sqlite", sealed_url=url, **times))
            session.add(
                Schedule(
                    id=str(uuid.uuid4()),
                    target=name,
                    cron=line,
                    time_zone="UTC",
                    jitter_seconds=0,
                    paused=False,
                    **times,
                )
            )


def _measured(
    folder: Path, server: PostgresServer, environment: Mapping[str, str], schedules: int, minutes: float
) -> tuple[Sequence[tuple[float, float, float]], _Cost]:
    postmaster = postmaster_of(server)
    with _workers(folder, environment) as workers:
        first = _make_due(server, schedules, minutes)
        time.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds() - 1))
        cpu, served, done = [cpu_of_tree(each.pid) for each in workers], cpu_of_tree(postmaster), _transactions(server)
        _wait_for_the_end(server, schedules, minutes)
        wall = (datetime.now(UTC) - first).total_seconds()
        worker_cpu = sum(cpu_of_tree(each.pid) for each in workers) - sum(cpu)
        server_cpu, transactions = cpu_of_tree(postmaster) - served, _transactions(server) - done
    statements = sum(int(file.read_text()) for file in folder.glob("count-*"))
    return _delays(server), _Cost(worker_cpu, server_cpu, statements, transactions, wall)


@contextlib.contextmanager
def _workers(folder: Path, environment: Mapping[str, str]) -> Iterator[list[WorkerProcess]]:
    command = [sys.executable, "-m", "bench.nothing"]
    with contextlib.ExitStack() as running:
        workers = []
        for number in range(_WORKERS):
            counting = {**environment, COUNT_FILE: str(folder / f"count-{number}")}
            workers.append(WorkerProcess(f"worker-{number}", folder, counting, command))
            running.callback(workers[-1].close)
        yield workers
        for worker in workers:
            worker.send(signal.SIGTERM)
        for worker in workers:
            worker.wait()


def _make_due(server: PostgresServer, schedules: int, minutes: float) -> datetime:
    first = datetime.now(UTC).replace(microsecond=0) + _LEAD
    server.execute("CREATE TABLE due AS SELECT id, row_number() OVER () - 1 AS number FROM schedules", database="own")
    with server.connect("own") as connection:
        connection.execute("ALTER TABLE due ADD at timestamptz")
        step = timedelta(minutes=minutes) / schedules
        connection.execute("UPDATE due SET at = %s::timestamptz + number * %s::interval", [first, step])
        connection.execute(
            "UPDATE schedules SET planned_at = at, next_run_at = at FROM due WHERE due.id = schedules.id"
        )
    return first


def _wait_for_the_end(server: PostgresServer, schedules: int, minutes: float) -> None:
    until = time.monotonic() + minutes * 60 + _PATIENCE
    with server.connect("own", autocommit=True) as connection:
        while time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
            [(ended,)] = connection.execute("SELECT total FROM backup_totals").fetchall()
            if ended >= schedules:
                return


def _transactions(server: PostgresServer) -> int:
    with server.connect("own") as connection:
        [(count,)] = connection.execute(
            "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname IN ('own', 'jobs')"
        ).fetchall()
    return int(count)


def _delays(server: PostgresServer) -> Sequence[tuple[float, float, float]]:
    """Seconds from when each run was due to when its job was queued, begun, ended; only those that succeeded."""
    with server.connect("own") as connection:
        failed = connection.execute("SELECT error FROM jobs WHERE state <> 'success' LIMIT 1").fetchone()
        if failed is not None:
            raise RuntimeError(f"a backup of nothing failed: {failed[0]}")
        return connection.execute(
            "SELECT extract(epoch FROM created_at - at)::float8, extract(epoch FROM started_at - at)::float8,"
            " extract(epoch FROM finished_at - at)::float8 FROM jobs JOIN due ON due.id = jobs.schedule_id"
            " WHERE state = 'success' AND kind = 'backup'"
        ).fetchall()


def _part(
    delays: Sequence[tuple[float, float, float]], cost: _Cost, schedules: int, minutes: float, major: int
) -> Part:
    queued, started, ended = ([*column] for column in zip(*delays, strict=True))
    jobs = len(delays)
    lines = [
        Line(_QUEUED, Span.of(queued), ratio(queued, queued)),
        Line(_STARTED, Span.of(started), ratio(started, queued)),
        Line(
            _ENDED,
            Span.of(ended),
            ratio(ended, queued),
            cpu=_each(cost.worker_cpu / jobs),
            server_cpu=_each(cost.server_cpu / jobs),
        ),
    ]
    goals = [
        Goal("runs that were missed", _each(schedules - jobs), 0, "runs"),
        Goal("from due to begun by a worker", Span.of(started), _LIMIT_SECONDS, "s"),
    ]
    rate = schedules / minutes / 60
    compressed = (
        f"An hour compressed to {minutes:g} minutes: {schedules:,} hourly schedules of as many targets, each due once; "
        f"{rate:.1f} a second, where an hour has {schedules / 3600:.1f}. All had ended {cost.wall:.0f} s after the "
        "first was due."
    )
    each = (
        f"Of one job: {cost.worker_cpu / jobs * 1000:.1f} ms of CPU in the workers and "
        f"{cost.server_cpu / jobs * 1000:.1f} ms in the server, {cost.statements / jobs:.1f} statements to the own "
        f"database, {cost.transactions / jobs:.1f} transactions in both databases. What the workers do beside is in "
        "it: ticks, heartbeats, looks for queued jobs."
    )
    work = "The engine gives a kilobyte; compression, facts, signature, manifest and three files in a folder are work."
    notes = [compressed, f"95 of 100 were begun within {statistics.quantiles(started, n=20)[-1]:.2f} s.", each, work]
    subject = f"{schedules:,} hourly schedules, an engine that does nothing, {_WORKERS} workers, PostgreSQL {major}"
    return Part("schedules", subject, _QUEUED, lines, goals, notes)


def _each(value: float) -> Span:
    return Span(value, value, value)
