"""Copies of SQLite files that are being written to, were left by a crash, or may not be written to."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from hhh.core.errors import SourceUnreadable, TargetBusy
from hhh.engines.sqlite.child import snapshot as snapshots
from hhh.engines.sqlite.child.protocol import Failed
from hhh.engines.sqlite.engine import SqliteEngine
from hhh.schemas.facts import SqliteFacts
from support.engine_rigs import children, read_to_end
from support.filesystems import SmallFilesystem
from support.sqlite_data import (
    JournalMode,
    check_invariant,
    count_sqlite_rows,
    make_sqlite_database,
    sqlite_writer,
)
from support.sqlite_source import JOURNAL_MODES, SqliteSource, is_waiting, rows_by_table
from support.waiting import wait_until


@pytest.fixture
def source(tmp_path: Path) -> SqliteSource:
    return SqliteSource(tmp_path)


# ------------------------------------------------------------------------------------- writers, locks, WAL


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_every_copy_beside_a_writing_process_is_of_one_moment(source: SqliteSource, journal_mode: JournalMode) -> None:
    source.engine = SqliteEngine()
    with sqlite_writer(source.path, journal_mode=journal_mode) as writer:
        for _ in range(4):
            before = writer.wait_for_commits(3)
            source.take()
            assert before <= check_invariant(source.copy) <= writer.commits + 1
        writer.wait_for_commits(1)
        commits = writer.stop()
    assert check_invariant(source.path) == commits


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_every_copy_beside_a_writer_in_this_very_process_is_of_one_moment(
    source: SqliteSource, journal_mode: JournalMode
) -> None:
    source.engine = SqliteEngine()
    with source.connected() as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute("CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER, padding BLOB)")
        connection.execute("INSERT INTO pair VALUES (1, 0, zeroblob(30000)), (2, 0, zeroblob(30000))")
    with writing_pairs(source) as written:
        for _ in range(4):
            before = written()
            wait_until(partial(is_beyond, written, before + 3), what="more commits")
            source.take()
            with contextlib.closing(sqlite3.connect(source.copy)) as copy:
                ((one,), (other,)) = copy.execute("SELECT n FROM pair").fetchall()
            assert one == other > before
    with source.connected() as connection:
        assert connection.execute("SELECT DISTINCT n FROM pair").fetchall() == [(written(),)]


def is_beyond(count: Callable[[], int], goal: int) -> bool:
    return count() > goal


@contextlib.contextmanager
def writing_pairs(source: SqliteSource) -> Iterator[Callable[[], int]]:
    """A thread that writes the same number to two rows, in one transaction each; gives the last number committed."""
    committed = [0]
    stop = threading.Event()

    def write() -> None:
        with source.connected() as connection:
            connection.execute("PRAGMA synchronous = off")
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE pair SET n = n + 1, padding = randomblob(30000) WHERE id = 1")
                connection.execute("UPDATE pair SET n = n + 1, padding = randomblob(30000) WHERE id = 2")
                connection.execute("COMMIT")
                committed[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: committed[0]
    finally:
        stop.set()
        thread.join()
    assert committed[0]


def can_write(path: Path) -> bool:
    """Whether another process gets the write lock at once."""
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    ended = subprocess.run([sys.executable, "-I", "-c", program, path], capture_output=True, check=False)
    assert ended.returncode == 0 or b"locked" in ended.stderr
    return ended.returncode == 0


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_dump_takes_no_lock_from_this_process(source: SqliteSource, journal_mode: JournalMode) -> None:
    make_sqlite_database(source.path, journal_mode=journal_mode)
    with source.connected() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO changed VALUES (1)")
        source.inspect()
        assert rows_by_table(source.facts())["changed"] == 0
        assert not can_write(source.path)
        connection.execute("COMMIT")
    assert can_write(source.path)


def test_writers_go_on_while_nobody_reads_the_stream(source: SqliteSource) -> None:
    make_sqlite_database(source.path, megabytes=4, journal_mode="delete")
    with source.dumping() as dump, source.connected() as connection:
        connection.execute("INSERT INTO changed VALUES (1)")
        copy = read_to_end(dump)
        assert rows_by_table(SqliteFacts.model_validate(dump.finish().facts))["changed"] == 0
    assert len(copy) == dump.expected_size


def test_what_stands_in_the_wal_is_copied_and_stays_there(source: SqliteSource) -> None:
    make_sqlite_database(source.path)
    with source.connected() as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO changed VALUES (1)")
        main_file = source.path.read_bytes()
        assert rows_by_table(source.facts())["changed"] == 1
        assert source.path.read_bytes() == main_file
    assert count_sqlite_rows(source.copy)["changed"] == 1


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_what_a_crashed_writer_left_is_recovered(source: SqliteSource, journal_mode: JournalMode) -> None:
    with sqlite_writer(source.path, journal_mode=journal_mode) as writer:
        writer.wait_for_commits(3)
        writer.kill()
        commits = writer.commits
    source.take()
    assert commits <= check_invariant(source.copy) <= commits + 1


def test_a_crash_that_left_a_wal_is_copied_without_writing_to_the_file(source: SqliteSource) -> None:
    with sqlite_writer(source.path) as writer:
        writer.wait_for_commits(3)
        writer.kill()
    before = source.path.read_bytes(), Path(f"{source.path}-wal").read_bytes()
    source.take()
    assert (source.path.read_bytes(), Path(f"{source.path}-wal").read_bytes()) == before


def test_a_wal_database_at_rest_is_left_as_it_was_found(source: SqliteSource) -> None:
    make_sqlite_database(source.path)
    before = source.path.read_bytes(), sorted(source.path.parent.iterdir())
    source.inspect()
    with source.dumping() as dump:
        read_to_end(dump)
        dump.finish()
    assert (source.path.read_bytes(), sorted(source.path.parent.iterdir())) == before


def test_a_lock_that_is_held_too_long_is_busy(source: SqliteSource) -> None:
    make_sqlite_database(source.path, journal_mode="delete")
    with source.connected() as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TargetBusy, match="database is locked"):
            source.inspect()
        with pytest.raises(TargetBusy, match="database is locked"):
            source.take()
        connection.execute("COMMIT")
    source.take()


def test_a_lock_that_ends_in_time_is_waited_for(source: SqliteSource) -> None:
    make_sqlite_database(source.path, journal_mode="delete")
    source.engine = SqliteEngine(busy_timeout_seconds=60)
    with source.connected() as connection:
        connection.execute("BEGIN EXCLUSIVE")
        before = children()
        thread = threading.Thread(target=source.take)
        thread.start()
        wait_until(lambda: is_waiting(children() - before), what="the child waits for the lock")
        connection.execute("COMMIT")
    thread.join()
    assert count_sqlite_rows(source.copy)["author"] == 10


# --------------------------------------------------------------------------------------- read-only folders


@pytest.fixture
def read_only(small_filesystem: SmallFilesystem) -> Callable[[], Path]:
    """A file system, and how to make it read-only (which root can't write to either)."""
    folder = small_filesystem(16 << 20)

    def remount() -> Path:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        return folder

    return lambda: folder if not any(folder.iterdir()) else remount()


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_file_at_rest_in_a_read_only_folder_is_copied(
    source: SqliteSource, read_only: Callable[[], Path], journal_mode: JournalMode
) -> None:
    source.path = read_only() / "what #%41 ü.db"
    expected = make_sqlite_database(source.path, journal_mode=journal_mode)
    read_only()
    source.inspect()
    facts = source.facts()
    assert (rows_by_table(facts), facts.journal_mode) == (expected, journal_mode)
    assert count_sqlite_rows(source.copy) == expected


def test_a_wal_that_can_not_be_read_safely_is_an_error_and_never_a_wrong_copy(
    source: SqliteSource, read_only: Callable[[], Path]
) -> None:
    source.path = read_only() / "database"
    with sqlite_writer(source.path) as writer:
        writer.kill()
    Path(f"{source.path}-shm").unlink()
    assert Path(f"{source.path}-wal").stat().st_size
    read_only()
    with pytest.raises(SourceUnreadable, match="write access to its folder"):
        source.take()


def test_a_change_during_an_unprotected_copy_is_noticed(source: SqliteSource, monkeypatch: pytest.MonkeyPatch) -> None:
    make_sqlite_database(source.path)
    begin = snapshots._begin

    def begin_without_shm(path: str, busy_timeout: int, *, immutable: bool) -> apsw.Connection:
        if not immutable:
            raise apsw.CantOpenError("as in a folder that is read-only for us alone")
        return begin(path, busy_timeout, immutable=immutable)

    monkeypatch.setattr(snapshots, "_begin", begin_without_shm)
    snapshots.Snapshot(str(source.path), 0).close()
    snapshot = snapshots.Snapshot(str(source.path), 0)
    with sqlite_writer(source.path) as writer:
        writer.stop()
    with pytest.raises(Failed, match="was changed while it was read"):
        snapshot.close()
