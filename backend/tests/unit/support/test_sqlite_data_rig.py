import shutil
import sqlite3
from pathlib import Path

import apsw
import pytest

from support.postgres_data import ODD_NAMES
from support.sqlite_data import (
    JournalMode,
    check_invariant,
    count_sqlite_rows,
    make_corrupt,
    make_odd_names_sqlite_database,
    make_sqlite_database,
    sqlite_writer,
)
from support.waiting import wait_until

JOURNAL_MODES: list[JournalMode] = ["wal", "delete"]


@pytest.mark.parametrize("megabytes", [1, 8])
def test_a_database_has_about_the_size_and_the_rows_it_says(tmp_path: Path, megabytes: float) -> None:
    path = tmp_path / "database"
    assert make_sqlite_database(path, megabytes=megabytes) == count_sqlite_rows(path)
    assert 0.8 <= path.stat().st_size / (megabytes * 1024 * 1024) <= 1.3


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_odd_names_and_the_journal_mode_stay(tmp_path: Path, journal_mode: JournalMode) -> None:
    path = tmp_path / "database"
    rows = make_odd_names_sqlite_database(path, journal_mode=journal_mode)
    assert count_sqlite_rows(path) == rows
    assert set(ODD_NAMES) < set(rows)
    assert path.read_bytes()[18:20] == (b"\2\2" if journal_mode == "wal" else b"\1\1")


def test_a_corrupt_database_fails_its_integrity_check(tmp_path: Path) -> None:
    path = tmp_path / "database"
    make_sqlite_database(path)
    make_corrupt(path)
    with pytest.raises((AssertionError, sqlite3.DatabaseError)):
        count_sqlite_rows(path)


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_the_invariant_holds_when_the_writer_was_stopped(tmp_path: Path, journal_mode: JournalMode) -> None:
    path = tmp_path / "database"
    with sqlite_writer(path, journal_mode=journal_mode) as writer:
        writer.wait_for_commits(5)
        commits = writer.stop()
    assert check_invariant(path) == commits >= 6


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_the_invariant_holds_when_the_writer_was_killed(tmp_path: Path, journal_mode: JournalMode) -> None:
    path = tmp_path / "database"
    with sqlite_writer(path, journal_mode=journal_mode) as writer:
        writer.wait_for_commits(5)
        writer.kill()
    assert check_invariant(path) >= writer.commits


def test_a_second_writer_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "database"
    with sqlite_writer(path) as writer:
        first = writer.stop()
    with sqlite_writer(path) as writer:
        assert writer.stop() > first


def test_the_invariant_is_broken_by_a_copy_of_two_moments(tmp_path: Path) -> None:
    path, torn = tmp_path / "database", tmp_path / "torn"
    with sqlite_writer(path, journal_mode="delete") as writer:
        writer.stop()
    shutil.copy(path, torn)
    with sqlite_writer(path, journal_mode="delete") as writer:
        writer.wait_for_commits(50)
        writer.stop()
    half = torn.stat().st_size // 2 // 4096 * 4096
    with torn.open("r+b") as old, path.open("rb") as new:
        old.write(new.read(half))
    with pytest.raises((AssertionError, sqlite3.DatabaseError)):
        check_invariant(torn)


def test_a_backup_beside_the_writer_keeps_the_invariant(tmp_path: Path) -> None:
    path, copy = tmp_path / "database", tmp_path / "copy"
    with sqlite_writer(path) as writer:
        source, sink = apsw.Connection(str(path)), apsw.Connection(str(copy))
        with sink.backup("main", source, "main") as backup:
            backup.step()
        source.close()
        sink.close()
        copied = check_invariant(copy)
        assert copied >= 1
        wait_until(lambda: writer.commits >= copied, what="the copy's commits are told")
