"""PostgreSQL: ours against the dump alone, the runbook's command, a pipe in a shell, restic and borg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.contenders import Command, Composition, Contender, ServerClock, Trigger, archivers, cli, warm_service
from bench.databases import fill_postgres
from bench.report import Goal, Part, line_of
from bench.rounds import Series, Span, interleaved, ratio
from support.postgres_installs import find_installs
from support.postgres_server import PostgresServer, make_data_dir, start_server

#: The runbook's own.
DUMP_FLAGS = ["--no-owner", "--no-privileges", "--clean", "--if-exists", "--format=custom"]
_DATABASE = "shop"
_PASSWORD = "benchmark"
#: Of a machine of some size; the rest is as `initdb` leaves it.
_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}

_FLOOR = "pg_dump -Z0, thrown away"
_RUNBOOK = "the runbook's pg_dump"
_SHELL = "pg_dump -Z0 | zstd -1"
_OURS = "ours: encrypted, with facts"
_OURS_PRINTED = "ours: encrypted, with full fingerprints"
_OURS_BARE = "ours: encrypted, without facts"
_OURS_PARTS = "ours: the same parts, with facts"
_OURS_OPEN = "ours: with facts, not encrypted"
_OURS_CLI = "ours: the same by the command line"


def default_major() -> int:
    """The newest that the machine itself has, else the package's 16."""
    installed = find_installs()
    own = [major for major, folder in installed.items() if folder.is_relative_to("/usr")]
    return max(own, default=16)


@contextlib.contextmanager
def own_server(major: int) -> Iterator[PostgresServer]:
    """A server that lives as long as the block."""
    data_dir = make_data_dir(major, _PASSWORD)
    server = start_server(major, data_dir, _PASSWORD, private=True, settings=_SETTINGS)
    try:
        yield server
    finally:
        server.remove()


def measure(folder: Path, *, megabytes: float, major: int, runs: int, recipient: str) -> Part:
    """Makes the database, and runs all ways."""
    with own_server(major) as server:
        database = server.create_database(_DATABASE)
        size = fill_postgres(server, database, megabytes)
        clock = ServerClock(postmaster_of(server))
        targets = {"shop": server.url(database), "fingerprinted": server.url(database)}
        encrypted = {"age_recipients": recipient, "pg_bin_dir": server.bin_dir}
        with (
            warm_service(folder / "encrypted", targets, encrypted) as sealed,
            warm_service(folder / "open", targets, {"pg_bin_dir": server.bin_dir}) as unsealed,
            contextlib.closing(_without_facts(server, recipient, folder, clock)) as bare,
            contextlib.closing(_with_facts(server, recipient, folder, clock)) as parts,
        ):
            sealed.set_policy("fingerprinted", {"fingerprint": "full"})
            ours = [
                Trigger(_OURS, sealed, "shop", clock),
                Trigger(_OURS_PRINTED, sealed, "fingerprinted", clock),
                bare,
                parts,
                Trigger(_OURS_OPEN, unsealed, "shop", clock),
                cli(_OURS_CLI, sealed, "shop", folder=folder, clock=clock),
            ]
            found = interleaved([*_others(server, folder, clock), *ours], runs)
    subject = f"PostgreSQL {major}, a database of {size / 1e6:.0f} MB, {runs} rounds"
    return _part(subject, found)


def postmaster_of(server: PostgresServer) -> int:
    """The process id of a server."""
    return int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])


def _others(server: PostgresServer, folder: Path, clock: ServerClock) -> list[Contender]:
    environment = server.environment(_DATABASE)
    dump = " ".join([f"'{server.bin_dir}/pg_dump'", *DUMP_FLAGS])
    scripts = {
        _FLOOR: f"{dump} -Z0 > /dev/null",
        _RUNBOOK: f"{dump} -f out/backup.sql",
        _SHELL: f"{dump} -Z0 | zstd -q -1 > out/backup.zst",
    }
    commands = [
        Command(name, script, folder=folder, clock=clock, environment=environment) for name, script in scripts.items()
    ]
    return [
        *commands,
        *archivers(f"{dump} -Z0", from_stdin=True, folder=folder, clock=clock, environment=environment),
    ]


def _without_facts(server: PostgresServer, recipient: str, folder: Path, clock: ServerClock) -> Composition:
    request = {
        "kind": "dump",
        "command": [str(server.bin_dir / "pg_dump"), *DUMP_FLAGS, "--compress=0"],
        "environment": server.environment(_DATABASE),
        "recipients": [recipient],
    }
    return Composition(_OURS_BARE, request, folder=folder, clock=clock)


def _with_facts(server: PostgresServer, recipient: str, folder: Path, clock: ServerClock) -> Composition:
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    request = {
        "kind": "engine",
        "url": server.url(_DATABASE),
        "scratch": str(scratch),
        "pg_bin_dir": str(server.bin_dir),
        "recipients": [recipient],
    }
    return Composition(_OURS_PARTS, request, folder=folder / "parts", clock=clock)


def _part(subject: str, found: dict[str, Series]) -> Part:
    floor, runbook, ours, bare = (found[name] for name in (_FLOOR, _RUNBOOK, _OURS, _OURS_BARE))
    parts, printed = found[_OURS_PARTS], found[_OURS_PRINTED]
    stored = [[float(usage.stored) for usage in series.runs] for series in (ours, runbook)]
    peak = [usage.peak_tree / 2**20 for usage in ours.runs]
    goals = [
        Goal("ours, encrypted, with facts, to the floor", ratio(ours.walls, floor.walls), 1.4, "×"),
        Goal("ours, encrypted, without facts, to the floor", ratio(bare.walls, floor.walls), 1.3, "×"),
        Goal("the same parts of ours with facts, to those without", ratio(parts.walls, bare.walls), 1.1, "×"),
        Goal("ours with full fingerprints, to the same without facts", ratio(printed.walls, bare.walls), 2.0, "×"),
        Goal("ours, encrypted, with facts, to the runbook's command", ratio(ours.walls, runbook.walls), 0.4, "×"),
        Goal("what ours stores to the runbook's file", ratio(*stored), 1.0, "×"),
        Goal("peak memory of all our processes", Span.of(peak), 256, "MiB"),
    ]
    return Part("postgres", subject, "the floor", [line_of(each, floor.walls) for each in found.values()], goals)
