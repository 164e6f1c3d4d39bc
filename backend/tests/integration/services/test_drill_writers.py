"""Drills of databases that are written to while they are backed up: none of them is an alarm."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.core.errors import EngineError
from hhh.engines.base import EngineKind
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.sqlite.url import path_in
from support.busy_writers import ASSERTIONS, BusyPostgresql, BusySqlite, BusyWriter
from support.drilling import Drilling, Taken, status_of
from support.engine_rigs import RIGS

DRILLS = 2
MANY_DRILLS = 100
#: A table that is dropped before pg_dump has locked it makes a backup fail, which is then taken again.
TRIES = 20


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def drilling(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drilling]:
    (tmp_path / "scratch").mkdir(mode=0o700)
    with RIGS[EngineKind(request.param)](request, tmp_path / "scratch") as rig:
        if rig.kind is EngineKind.POSTGRESQL:
            rig.engine = PostgresqlEngine(dump_lock_timeout=0.3)  # the writer's DDL is in the way all the time
        yield Drilling(tmp_path, rig)


def writer_of(drilling: Drilling) -> BusyWriter:
    if drilling.rig.kind is EngineKind.SQLITE:
        return BusySqlite(path_in(drilling.rig.url))
    return BusyPostgresql(drilling.rig.url)


def take(drilling: Drilling, writer: BusyWriter) -> Taken:
    error: EngineError | None = None
    for _ in range(TRIES):
        with writer.writing():
            try:
                return drilling.take(fingerprint="full")
            except EngineError as failed:
                error = failed
    raise AssertionError("no backup could be taken") from error


def drill(drilling: Drilling, times: int) -> None:
    writer = writer_of(drilling)
    for _ in range(times):
        result = drilling.drill_of(take(drilling, writer), assertions=ASSERTIONS)
        assert status_of(result) == "success", result


def test_drills_of_a_database_that_is_written_to_give_no_alarm(drilling: Drilling) -> None:
    drill(drilling, DRILLS)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_hundred_drills_of_a_database_that_is_written_to_give_no_alarm(drilling: Drilling) -> None:
    drill(drilling, MANY_DRILLS)
