"""Restores of PostgreSQL databases below the API, whose process is killed on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.core.database import Database
from hhh.jobs.worker import working
from support.backing_up import scratch_leftovers
from support.local_services import services_with_a_target
from support.postgres import PostgresServer
from support.restoring import ADDRESS, WHO, RestoreBench
from support.restoring_process import RECORDING
from support.shops import PostgresqlShop, postgresql_shop

__all__ = ["postgresql_shop"]

pytestmark = pytest.mark.postgres


@pytest.fixture
def bench(
    tmp_path: Path, sqlite_database: Database, any_postgres: PostgresServer, postgresql_shop: PostgresqlShop
) -> Iterator[RestoreBench]:
    """Services that know the shop."""
    services = services_with_a_target(tmp_path, sqlite_database, pg_bin_dir=any_postgres.bin_dir)
    services.targets.add("shop", postgresql_shop.url)
    with working(services) as worker:
        yield RestoreBench(services, worker)


@pytest.mark.parametrize(("stage", "times"), [("restore", 1), ("compare", 1), ("swap", 2), (RECORDING, 1)])
def test_after_a_killed_restore_the_next_worker_finds_out_and_clears_up(
    bench: RestoreBench, postgresql_shop: PostgresqlShop, tmp_path: Path, stage: str, times: int
) -> None:
    then, names, backup_id = postgresql_shop.rows(), postgresql_shop.names(), bench.backup("shop")
    postgresql_shop.change()
    changed = postgresql_shop.rows()
    asked = bench.ask(backup_id, mode="replace", confirm="shop")
    bench.die(asked, stage, times=times)
    bench.clear_up()
    found, happened = bench.get(asked), stage == RECORDING
    assert postgresql_shop.rows() == (then if happened else changed)
    assert found.status == ("success" if happened else "failed")
    assert postgresql_shop.names() == names | ({str(found.kept)} if happened else set())
    assert scratch_leftovers(tmp_path / "scratch") == []
    if happened:
        assert bench.undo(asked).status == "success"
        assert postgresql_shop.rows() == changed
    else:
        assert bench.replace(backup_id, target="shop").status == "success"
        assert postgresql_shop.rows() == then


@pytest.mark.parametrize("stage", ["compare", RECORDING])
def test_after_a_killed_restore_into_a_new_database_it_is_there_or_not(
    bench: RestoreBench, postgresql_shop: PostgresqlShop, stage: str
) -> None:
    names, rows = postgresql_shop.names(), postgresql_shop.rows()
    asked = bench.ask(bench.backup("shop"), destination=postgresql_shop.elsewhere)
    bench.die(asked, stage)
    bench.clear_up()
    happened = stage == RECORDING
    assert bench.get(asked).status == ("success" if happened else "failed")
    assert postgresql_shop.names() == names | ({postgresql_shop.elsewhere} if happened else set())
    assert not happened or postgresql_shop.rows(postgresql_shop.elsewhere) == rows


def test_a_killed_undo_that_happened_is_found_out(bench: RestoreBench, postgresql_shop: PostgresqlShop) -> None:
    backup_id = bench.backup("shop")
    postgresql_shop.change()
    changed = postgresql_shop.rows()
    done = bench.replace(backup_id, target="shop")
    undo = bench.worker.create(bench.services.restores.undo(done.id, requested_by=WHO, address=ADDRESS))
    bench.die(undo, RECORDING)
    bench.clear_up()
    assert (bench.get(undo).status, postgresql_shop.rows()) == ("success", changed)
    assert bench.get(done.id).undone_at is not None
    assert bench.get(undo).kept in postgresql_shop.names()
