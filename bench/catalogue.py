"""The catalogue with a million backups: what the service needs to answer, on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import sqlite3
import statistics
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import sql

from bench.contenders import WarmService, warm_service
from bench.postgres import own_server
from bench.report import Goal, Line, Part
from bench.rounds import Span, ratio
from hhh import migrations
from hhh.core.database import Database
from support.postgres_server import PostgresServer
from support.waiting import wait_until

_LIMIT_MILLISECONDS = 10.0
_FIRST = datetime(2020, 1, 1, tzinfo=UTC)
_SECONDS_APART = 120
_TARGETS = 40
_FAILED_EACH = 12
_COLUMNS = (
    *("id", "target", "backup_file", "status", "created_at", "finished_at", "backup_size", "raw_size", "sha256"),
    *("error", "manifest", "pinned"),
)
_STATS = "GET /stats"
#: What has to be fast, then what else a console asks.
_REQUIRED = {
    _STATS: "/api/v1/backups/stats",
    "GET /logs?limit=50&offset=0": "/api/v1/backups/logs?limit=50&offset=0",
    "GET /logs?limit=50&offset=10000": "/api/v1/backups/logs?limit=50&offset=10000",
}
_FURTHER = {
    "GET /backups?limit=50": "/api/v1/backups?limit=50",
    "GET /backups?target=…&status=failed": "/api/v1/backups?target=target-7&status=failed&limit=50",
    "GET /backups?created_before=…": "/api/v1/backups?created_before=2021-06-01T00:00:00Z&limit=50",
}


def measure(folder: Path, *, rows: int, requests: int, major: int) -> Part:
    """Fills both databases and asks."""
    folder.mkdir()
    found = {f"SQLite: {name}": times for name, times in _on_sqlite(folder, rows, requests).items()}
    found |= {f"PostgreSQL: {name}": times for name, times in _on_postgres(folder, rows, requests, major).items()}
    return _part(f"{rows:,} rows in backup_log, {requests} requests of each", found)


def _on_sqlite(folder: Path, rows: int, requests: int) -> dict[str, list[float]]:
    path = folder / "catalogue.db"
    _migrate(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for pragma in ("synchronous = OFF", "cache_size = -500000"):
            connection.execute(f"PRAGMA {pragma}")
        marks = ", ".join("?" for _ in _COLUMNS)
        connection.executemany(
            f"INSERT INTO backup_log ({', '.join(_COLUMNS)}) VALUES ({marks})",
            (tuple(map(_for_sqlite, row)) for row in _backups(rows)),
        )
        connection.execute(TOTALS)
        connection.commit()
    return _ask(folder / "sqlite", f"sqlite:///{path}", requests)


def _on_postgres(folder: Path, rows: int, requests: int, major: int) -> dict[str, list[float]]:
    with own_server(major) as server:
        url = server.url(server.create_database("catalogue"))
        _migrate(url)
        _copy(server, rows)
        return _ask(folder / "postgres", url, requests)


def _copy(server: PostgresServer, rows: int) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    with server.connect("catalogue") as connection, connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY backup_log ({}) FROM STDIN").format(columns)) as copy:
            for row in _backups(rows):
                copy.write_row(row)
        cursor.execute(TOTALS)
    # As autovacuum does behind so many new rows.
    server.execute("VACUUM (ANALYZE) backup_log", database="catalogue")
    server.execute("CHECKPOINT")


def _migrate(url: str) -> None:
    with contextlib.closing(Database(url)) as database:
        migrations.upgrade(database)


TOTALS = """
UPDATE backup_totals SET (total, successful, failed, stored_bytes) = (
    SELECT count(*), count(CASE WHEN status = 'SUCCESS' THEN 1 END), count(CASE WHEN status <> 'SUCCESS' THEN 1 END),
           sum(backup_size)
      FROM backup_log WHERE finished_at IS NOT NULL)
"""


def _backups(rows: int) -> Iterator[tuple[Any, ...]]:
    draw = random.Random(1)
    for number in range(rows):
        created = _FIRST + timedelta(seconds=_SECONDS_APART * number)
        identifier = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        target, file = f"target-{number % _TARGETS}", f"backup_{created:%Y%m%d_%H%M%S}.sql"
        finished = created + timedelta(seconds=30)
        if number % _FAILED_EACH == 0:
            error = "pg_dump failed with status 1: server closed the connection unexpectedly"
            yield identifier, target, file, "FAILED", created, finished, 0, None, None, error, None, False
        else:
            size, sha256 = draw.randrange(1 << 30), f"{draw.getrandbits(256):064x}"
            manifest = json.dumps(_manifest(identifier, target, file, created, size, sha256))
            yield identifier, target, file, "SUCCESS", created, finished, size, size * 3, sha256, None, manifest, False


def _manifest(identifier: str, target: str, file: str, created: datetime, size: int, sha256: str) -> Mapping[str, Any]:
    stored = {"size": size, "sha256": sha256, "raw_size": size * 3, "compression": "zstd", "encryption": "age"}
    key = f"9ad6f6cf-1bde-4e0b-a5c7-7d6c3a1b7f60/{target}/{file}.1"
    return {
        "format": "hhh-backup-manifest",
        "version": 1,
        "installation": "9ad6f6cf-1bde-4e0b-a5c7-7d6c3a1b7f60",
        "backup_id": identifier,
        "target": target,
        "backup_file": file,
        "attempt": 1,
        "engine": "postgresql",
        "created_at": created.isoformat(),
        "finished_at": created.isoformat(),
        "object": {"key": f"{key}.zst.age", **stored},
        "facts": {"key": f"{key}.facts.json.age", **stored},
        "attachments": [{"key": f"{key}.schema.dump.zst.age", "name": "schema.dump", **stored}],
        "recipients": ["age1" + sha256[:58]],
        "versions": {"server": "16.4", "tool": "pg_dump 16.4", "hhh": "0.1.0"},
        "warnings": [],
        "signature": {"algorithm": "ed25519", "public_key": sha256[:44], "value": sha256 + sha256[:24]},
    }


def _for_sqlite(value: object) -> object:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _ask(folder: Path, url: str, requests: int) -> dict[str, list[float]]:
    with warm_service(folder, {}, {"database_url": url}) as service:
        return _server_times(service, {**_REQUIRED, **_FURTHER, **_deep_page(service)}, requests)


def _deep_page(service: WarmService) -> dict[str, str]:
    """A page far down: by a cursor, as the console goes there."""
    page = service.client.get(_FURTHER["GET /backups?created_before=…"]).raise_for_status().json()
    return {"GET /backups?cursor=…": f"/api/v1/backups?limit=50&cursor={page['next_cursor']}"}


def _server_times(service: WarmService, paths: Mapping[str, str], requests: int) -> dict[str, list[float]]:
    """Milliseconds of each request, as the service's own log has them: from its arrival to the end of its answer."""
    for number, (index, path) in itertools.product(range(requests + 1), enumerate(paths.values())):
        answer = service.client.get(path, headers={"X-Request-ID": f"bench-{index}-{number}"})
        answer.raise_for_status()
    # A request is logged when its answer is on the way already.
    wait_until(lambda: len(_logged(service)) == len(paths) * (requests + 1), seconds=10, what="the log's last line")
    logged = _logged(service)
    # The first of each opens a connection and prepares statements.
    return {name: [logged[index, number] for number in range(1, requests + 1)] for index, name in enumerate(paths)}


def _logged(service: WarmService) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for line in service.service.log().splitlines():
        identifier, milliseconds = re.search(r"bench-(\d+)-(\d+)", line), re.search(r"milliseconds=([\d.]+)", line)
        if identifier and milliseconds:
            found[int(identifier[1]), int(identifier[2])] = float(milliseconds[1])
    return found


def _part(subject: str, found: Mapping[str, list[float]]) -> Part:
    lines = []
    for name, times in found.items():
        yardstick = found[f"{name.partition(':')[0]}: {_STATS}"]
        lines.append(Line(name, Span.of([each / 1000 for each in times]), ratio(times, yardstick)))
    goals = [
        Goal(f"{name}, median", Span.of(times), _LIMIT_MILLISECONDS, "ms")
        for name, times in found.items()
        if name.partition(": ")[2] in _REQUIRED
    ]
    slowest = max(statistics.quantiles(times, n=20)[-1] for times in found.values())
    notes = [
        "Server time: milliseconds of the service's own `request` log line, all its layers included.",
        f"95 of 100 answers of the slowest kind took at most {slowest:.1f} ms.",
    ]
    return Part("catalogue", subject, "/stats", lines, goals, notes)
