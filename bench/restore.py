"""Restores: ours, checked and compared, against pg_restore of the runbook's dump and against unpacking the object."""

from __future__ import annotations

from pathlib import Path

import pyrage

from bench.contenders import Command, Contender, Restore, ServerClock, WarmService, warm_service
from bench.databases import fill_postgres, fill_sqlite
from bench.postgres import DUMP_FLAGS, own_server, postmaster_of
from bench.report import Goal, Part, line_of
from bench.rounds import Series, Span, interleaved, ratio
from support.postgres_server import PostgresServer

_TARGET = "shop"
_RESTORED = "restored"

_ONE_JOB = "pg_restore of the runbook's dump, one job"
_TWO_JOBS = "pg_restore of the runbook's dump, two jobs"
_UNPACK = "zstd -d of the object"
_DECRYPT = "age -d | zstd -d of the object"
_OURS = "ours: encrypted, compared"
_OURS_OPEN = "ours: not encrypted, compared"


def measure_postgres(folder: Path, *, megabytes: float, major: int, runs: int) -> Part:
    """Makes a database, backs it up, and restores it into a new one in all ways."""
    folder.mkdir()
    with own_server(major) as server:
        database = server.create_database("shop")
        size = fill_postgres(server, database, megabytes)
        targets = {_TARGET: server.url(database)}
        tools = {"pg_bin_dir": server.bin_dir}
        clock = ServerClock(postmaster_of(server))
        with (
            warm_service(folder / "encrypted", targets, {**tools, **encryption(folder)}) as sealed,
            warm_service(folder / "open", targets, tools) as unsealed,
        ):
            ours: list[Contender] = [
                Restore(name, service, _TARGET, _RESTORED, clock, remove=lambda: server.drop_database(_RESTORED))
                for name, service in ((_OURS, sealed), (_OURS_OPEN, unsealed))
            ]
            found = interleaved([*_pg_restores(server, database, folder, clock), *ours], runs)
    yardstick = found[_ONE_JOB].walls
    goals = [
        Goal("ours, to pg_restore of the runbook's dump, one job", ratio(found[_OURS].walls, yardstick), 0.6, "×"),
        Goal("peak memory of all our processes", _peak(found[_OURS]), 256, "MiB"),
    ]
    subject = f"PostgreSQL {major}, a database of {size / 1e6:.0f} MB, {runs} rounds"
    lines = [line_of(each, yardstick) for each in found.values()]
    return Part("restore-postgres", subject, "one job", lines, goals)


def measure_sqlite(folder: Path, *, megabytes: float, runs: int) -> Part:
    """Makes a database, backs it up, and restores it into a new file in all ways."""
    folder.mkdir()
    source, restored = folder / "shop.db", folder / "restored.db"
    size = fill_sqlite(source, megabytes)
    targets = {_TARGET: f"sqlite:///{source}"}
    encrypted = encryption(folder)
    clock = ServerClock()
    with (
        warm_service(folder / "encrypted", targets, encrypted) as sealed,
        warm_service(folder / "open", targets) as unsealed,
    ):
        ours = [
            Restore(name, service, _TARGET, str(restored), clock, remove=restored.unlink)
            for name, service in ((_OURS, sealed), (_OURS_OPEN, unsealed))
        ]
        identity = encrypted["age_identity_file"]
        scripts = {
            _UNPACK: f"zstd -q -d -o out/restored.db '{_object(unsealed)}'",
            _DECRYPT: f"age -d -i '{identity}' '{_object(sealed)}' | zstd -q -d -o out/restored.db",
        }
        unpacking = [Command(name, script, folder=folder, clock=clock) for name, script in scripts.items()]
        found = interleaved([*unpacking, *ours], runs)
    yardstick = found[_UNPACK].walls
    goals = [
        Goal("ours, not encrypted, to zstd -d of the object", ratio(found[_OURS_OPEN].walls, yardstick), 1.5, "×"),
        Goal("ours, encrypted, to age -d | zstd -d", ratio(found[_OURS].walls, found[_DECRYPT].walls), 1.5, "×"),
        Goal("peak memory of all our processes", _peak(found[_OURS]), 256, "MiB"),
    ]
    subject = f"SQLite, a database of {size / 1e6:.0f} MB, {runs} rounds"
    return Part("restore-sqlite", subject, "zstd -d", [line_of(each, yardstick) for each in found.values()], goals)


def _pg_restores(server: PostgresServer, database: str, folder: Path, clock: ServerClock) -> list[Contender]:
    dump = folder / "runbook.dump"
    tools, environment = server.bin_dir, server.environment(database)
    make = f"test -e '{dump}' || '{tools}/pg_dump' {' '.join(DUMP_FLAGS)} -f '{dump}'"
    anew = f"'{tools}/dropdb' --if-exists {_RESTORED}; '{tools}/createdb' {_RESTORED}"
    restore = f"'{tools}/pg_restore' --no-owner --no-privileges -d {_RESTORED}"
    return [
        Command(
            name,
            f"{restore} -j {jobs} '{dump}'",
            folder=folder,
            clock=clock,
            environment=environment,
            preparation=f"{make}; {anew}",
            cleaning=f"'{tools}/dropdb' {_RESTORED}",
        )
        for name, jobs in ((_ONE_JOB, 1), (_TWO_JOBS, 2))
    ]


def encryption(folder: Path) -> dict[str, object]:
    """Settings of a service that encrypts and that can open what it has encrypted."""
    identity = pyrage.x25519.Identity.generate()
    file = folder / "identity.txt"
    file.write_text(f"{identity}\n")
    file.chmod(0o600)
    return {"age_recipients": str(identity.to_public()), "age_identity_file": file}


def _object(service: WarmService) -> Path:
    """The object of the target's backup, which is taken if there is none."""
    service.backup(_TARGET)
    (found,) = (path for path in service.store.rglob("*.sql.*.zst*") if "schema" not in path.name)
    return found


def _peak(series: Series) -> Span:
    return Span.of([usage.peak_tree / 2**20 for usage in series.runs])
