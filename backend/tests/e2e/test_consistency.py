"""What is written during a backup: a restored copy is of one moment."""

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from support.backing_up import LOGS, assert_stored, assert_totals_add_up, backup, register, trigger, triggering
from support.held_dumps import HeldDumps
from support.postgres import PostgresServer
from support.postgres_dumps import restore
from support.service import Service, ServiceFactory
from support.sqlite_data import JournalMode, check_invariant, count_sqlite_rows, make_sqlite_database, sqlite_writer


def restored(service: Service, stored: dict[str, object], into: Path) -> Path:
    """The dump of a backup in the service's own local store, by zstd alone."""
    object_file = service.data_dir / "backups" / str(stored["key"])
    with object_file.open("rb") as source, into.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(source, target)
    return into


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_sqlite_file_that_another_process_writes_to(
    service: Service, tmp_path: Path, journal_mode: JournalMode
) -> None:
    with service.signed_in_client() as client:
        with sqlite_writer(tmp_path / "shop.db", journal_mode=journal_mode) as writer:
            register(client, "shop", f"sqlite:///{tmp_path / 'shop.db'}")
            for number in range(3):
                before = writer.wait_for_commits(20)
                answer = assert_stored(trigger(client, "shop"))
                after = writer.wait_for_commits()
                (copy,) = backup(client, answer["backup_id"])["copies"]
                transfers = check_invariant(restored(service, copy, tmp_path / f"restored-{number}.db"))
                assert before <= transfers <= after
            commits = writer.stop()
        assert check_invariant(tmp_path / "shop.db") == commits


def test_the_own_sqlite_database_while_the_service_writes_to_it(service: Service, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "other.db", megabytes=0.02)
    with service.signed_in_client() as client:
        names = [register(client, f"t{number}", f"sqlite:///{tmp_path / 'other.db'}") for number in range(8)]
        with ThreadPoolExecutor(8) as crowd:
            busy = [crowd.submit(trigger, client, name) for name in names * 3]
            taken = [assert_stored(trigger(client)) for _ in range(4)]
            assert {answer.result().status_code for answer in busy} <= {200, 409}
        stats = assert_totals_add_up(client)
        assert stats["failed_backups"] == 0
        for answer in taken:
            (copy,) = backup(client, answer["backup_id"])["copies"]
            path = restored(service, copy, tmp_path / f"{answer['backup_file']}.db")
            _check_own_database(path)
        assert len(client.get(LOGS, params={"limit": 200}).json()) == stats["total_backups"]
    service.terminate()
    rows = count_sqlite_rows(service.data_dir / "hhh.db")  # none of its own commits was lost
    assert rows["backup_log"] == rows["jobs"] == stats["total_backups"]


@pytest.fixture
def accounts(any_postgres: PostgresServer) -> Iterator[str]:
    """The name of a database with a table `account` that always holds 3,000 in all, and one of 8 MB before it."""
    name = any_postgres.create_database()
    any_postgres.execute(
        "CREATE TABLE a_bulk AS SELECT n, md5(n::text) || repeat('x', 100) AS t FROM generate_series(1, 50000) AS n",
        database=name,
    )
    any_postgres.execute("CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)", database=name)
    any_postgres.execute("INSERT INTO account SELECT n, 1000 FROM generate_series(1, 3) AS n", database=name)
    yield name
    any_postgres.drop_database(name)


@pytest.mark.postgres
def test_a_postgresql_database_that_is_changed_during_the_dump(
    service_factory: ServiceFactory, any_postgres: PostgresServer, accounts: str, tmp_path: Path
) -> None:
    dumps = HeldDumps(tmp_path, any_postgres)
    service = service_factory(pg_bin_dir=dumps.bin_dir)
    with service.signed_in_client() as client:
        register(client, "accounts", any_postgres.url(accounts))
        with triggering(client, "accounts") as answer:
            dumps.wait_until_held()
            dumps.the_held_one(service.pid)  # a dump that waits for a lock behind the TRUNCATE would be begun anew
            any_postgres.execute("UPDATE account SET balance = balance + 7 - id * 3.5", database=accounts)
            any_postgres.execute("INSERT INTO account VALUES (4, 5)", database=accounts)
            any_postgres.execute("DELETE FROM account WHERE id = 1", database=accounts)
            with ThreadPoolExecutor(1) as thread:
                # Waits for the dump's lock, and comes after it: the dump keeps the rows.
                truncating = thread.submit(
                    any_postgres.execute,
                    "BEGIN; TRUNCATE account; INSERT INTO account VALUES (9, 9); COMMIT",
                    database=accounts,
                )
                dumps.let_go()
                truncating.result(timeout=60)
            stored = assert_stored(answer.result())
        (copy,) = backup(client, stored["backup_id"])["copies"]
        archive = restored(service, copy, tmp_path / "accounts.dump").read_bytes()
    target = any_postgres.create_database()
    try:
        restore(any_postgres, archive, target)
        with any_postgres.connect(target) as connection:
            assert connection.execute("SELECT id, balance FROM account ORDER BY id").fetchall() == [
                (1, 1000),
                (2, 1000),
                (3, 1000),
            ]
    finally:
        any_postgres.drop_database(target)
    with any_postgres.connect(accounts) as connection:
        assert connection.execute("SELECT id FROM account").fetchall() == [(9,)]


def _check_own_database(path: Path) -> None:
    """Totals change in the transaction that finishes a backup: a copy of one moment agrees with itself."""
    count_sqlite_rows(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        finished = "SELECT count(*), total(backup_size) FROM backup_log WHERE finished_at IS NOT NULL"
        totals = "SELECT total, stored_bytes FROM backup_totals"
        assert connection.execute(finished).fetchone() == connection.execute(totals).fetchone()
