"""Drills: a backup is restored into a throw-away server and compared, against pg_restore into a server that runs."""

from __future__ import annotations

from pathlib import Path

from bench.contenders import Command, Contender, ServerClock, WarmService, warm_service
from bench.databases import fill_postgres
from bench.measure import Usage
from bench.postgres import DUMP_FLAGS, own_server, postmaster_of
from bench.report import Goal, Part, line_of
from bench.restore import encryption
from bench.rounds import interleaved, ratio
from support.postgres_server import PostgresServer

_TARGET = "shop"
_RESTORED = "restored"

_PG_RESTORE = "pg_restore -j2 of an uncompressed dump"
_OURS = "a drill: encrypted, compared"
_OURS_OPEN = "a drill: not encrypted, compared"


class Drill(Contender):
    """Ours: a verification by a running service, until it says that the backup is proven."""

    def __init__(self, name: str, service: WarmService, target: str, clock: ServerClock) -> None:
        super().__init__(name, clock)
        self._service = service
        self._target = target

    def prepare(self) -> None:
        self._service.backup(self._target)

    def run(self) -> Usage:
        return self._service.measured(lambda: self._service.prove(self._target))

    def clean(self) -> None:
        """Nothing: it has thrown away what it made."""


def measure(folder: Path, *, megabytes: float, major: int, runs: int) -> Part:
    """Makes a database, backs it up, and proves the backup; beside it, restores the plain dump."""
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
            ours = [Drill(name, service, _TARGET, clock) for name, service in ((_OURS, sealed), (_OURS_OPEN, unsealed))]
            found = interleaved([_pg_restore(server, database, folder, clock), *ours], runs)
    yardstick = found[_PG_RESTORE].walls
    goals = [
        Goal(f"{name}, to {_PG_RESTORE}", ratio(found[name].walls, yardstick), 1.6, "×") for name in (_OURS, _OURS_OPEN)
    ]
    subject = f"PostgreSQL {major}, a database of {size / 1e6:.0f} MB, {runs} rounds"
    lines = [line_of(each, yardstick) for each in found.values()]
    return Part("drill", subject, "pg_restore", lines, goals)


def _pg_restore(server: PostgresServer, database: str, folder: Path, clock: ServerClock) -> Contender:
    dump = folder / "plain.dump"
    tools = server.bin_dir
    make = f"test -e '{dump}' || '{tools}/pg_dump' {' '.join(DUMP_FLAGS)} -Z0 -f '{dump}'"
    anew = f"'{tools}/dropdb' --if-exists {_RESTORED}; '{tools}/createdb' {_RESTORED}"
    return Command(
        _PG_RESTORE,
        f"'{tools}/pg_restore' --no-owner --no-privileges -d {_RESTORED} -j 2 '{dump}'",
        folder=folder,
        clock=clock,
        environment=server.environment(database),
        preparation=f"{make}; {anew}",
        cleaning=f"'{tools}/dropdb' {_RESTORED}",
    )
