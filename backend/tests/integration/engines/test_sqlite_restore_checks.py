"""What is looked at before a SQLite file is restored."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hhh.engines.restoring import RestoreMode
from support.filesystems import SmallFilesystem
from support.sqlite_data import JournalMode, make_sqlite_database
from support.sqlite_restoring import SqliteRestoring
from support.sqlite_source import JOURNAL_MODES

NEW, REPLACE = RestoreMode.NEW, RestoreMode.REPLACE


@pytest.fixture
def restoring(tmp_path: Path) -> SqliteRestoring:
    restoring = SqliteRestoring(tmp_path)
    make_sqlite_database(restoring.source.path)
    return restoring


def unsafe(restoring: SqliteRestoring, mode: RestoreMode) -> dict[str, str]:
    """The messages of what stands against it."""
    return {name: check.message for name, check in restoring.checks(mode).items() if check.status == "unsafe"}


# ---------------------------------------------------------------------------------------------- all is well


def test_nothing_stands_against_a_new_file(restoring: SqliteRestoring) -> None:
    checks = restoring.checks(NEW)
    assert {name: check.status for name, check in checks.items()} == dict.fromkeys(
        ["destination", "permissions", "free_space", "tool"], "ok"
    )
    assert restoring.beside() == []


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_nothing_stands_against_a_live_database_at_rest_and_it_is_not_touched(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_sqlite_database(restoring.live, journal_mode=journal_mode)
    before = restoring.live.read_bytes(), restoring.live.stat().st_mtime_ns
    checks = restoring.checks(REPLACE)
    assert list(checks) == [
        "destination",
        "permissions",
        "tool",
        "free_space",
        "live_integrity",
        "page_size",
        "encoding",
        "writers",
        "readers",
        "owner",
    ]
    assert {check.status for check in checks.values()} == {"ok"}
    assert (restoring.live.read_bytes(), restoring.live.stat().st_mtime_ns) == before
    assert restoring.beside() == ["app.db"]


def test_the_steps_name_what_is_made_and_what_is_kept(restoring: SqliteRestoring) -> None:
    source = restoring.back_up()
    new = "\n".join(restoring.restorer.steps(source, restoring.destination(NEW)))
    assert "app.db.restore_abcd1234" in new
    assert str(restoring.live) in new
    assert "before_" not in new
    assert "app.db.before_abcd1234" in "\n".join(restoring.restorer.steps(source, restoring.destination(REPLACE)))


# ------------------------------------------------------------------------------------------- the destination


def test_single_tables_are_told_to_be_copied_by_hand(restoring: SqliteRestoring) -> None:
    assert "copy their rows" in unsafe(restoring, RestoreMode.TABLES)["mode"]


@pytest.mark.parametrize("ending", ["", "-wal", "-journal"])
def test_a_name_that_is_taken_is_unsafe(restoring: SqliteRestoring, ending: str) -> None:
    restoring.live.with_name(f"app.db{ending}").touch()
    assert f"app.db{ending} exists" in unsafe(restoring, NEW)["destination"]


def test_a_link_to_nothing_is_a_name_that_is_taken(restoring: SqliteRestoring) -> None:
    restoring.live.symlink_to("nowhere")
    assert "exists" in unsafe(restoring, NEW)["destination"]


def test_a_folder_must_be_there(restoring: SqliteRestoring) -> None:
    restoring.live = restoring.live.parent / "missing" / "app.db"
    assert "is no folder" in unsafe(restoring, NEW)["destination"]


def test_a_name_of_which_no_other_can_be_made_is_unsafe(restoring: SqliteRestoring) -> None:
    restoring.live = restoring.live.with_name("ü" * 115)
    assert "too long" in unsafe(restoring, NEW)["destination"]
    restoring.live = restoring.live.with_name("ü" * 113)
    assert unsafe(restoring, NEW) == {}
    restoring.restore(NEW)
    assert restoring.restore_in_place().exists()


def test_what_is_not_there_can_not_be_replaced(restoring: SqliteRestoring) -> None:
    assert "does not exist: restore as a new file" in unsafe(restoring, REPLACE)["destination"]


@pytest.mark.parametrize("content", [b"something else", bytes(range(256)) * 32])
def test_what_is_no_database_can_not_be_replaced(restoring: SqliteRestoring, content: bytes) -> None:
    restoring.live.write_bytes(content)
    message = unsafe(restoring, REPLACE)["destination"]
    assert "file is not a database" in message
    assert "restore as a new file" in message
    assert restoring.live.read_bytes() == content


def test_a_folder_can_not_be_replaced(restoring: SqliteRestoring) -> None:
    restoring.live.mkdir()
    assert "not a regular file" in unsafe(restoring, REPLACE)["destination"]


@pytest.mark.parametrize("mode", [NEW, REPLACE])
def test_who_may_not_write_is_told(
    restoring: SqliteRestoring, small_filesystem: SmallFilesystem, mode: RestoreMode
) -> None:
    folder = small_filesystem(1 << 20)
    restoring.live = folder / "app.db"
    if mode is REPLACE:
        make_sqlite_database(restoring.live, journal_mode="delete")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    assert "may not" in unsafe(restoring, mode)["permissions"]


# --------------------------------------------------------------------------------------------------- space


def test_a_full_disk_is_told_before(restoring: SqliteRestoring, small_filesystem: SmallFilesystem) -> None:
    make_sqlite_database(restoring.source.path.with_name("other.db"), megabytes=2)
    restoring.source.path = restoring.source.path.with_name("other.db")
    restoring.live = small_filesystem(1 << 20) / "app.db"
    source = restoring.back_up()
    assert f"{source.raw_size} bytes are needed" in unsafe(restoring, NEW)["free_space"]
    make_sqlite_database(restoring.live)
    assert "bytes are needed" in unsafe(restoring, REPLACE)["free_space"]


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_what_is_said_to_be_enough_is_enough(
    restoring: SqliteRestoring, small_filesystem: SmallFilesystem, journal_mode: JournalMode
) -> None:
    """And not much more than needed: with half of what is asked for, the restore fails."""
    restoring.source.path = restoring.source.path.with_name("other.db")
    make_sqlite_database(restoring.source.path, megabytes=3)
    template = restoring.live
    make_sqlite_database(template, megabytes=2, journal_mode=journal_mode)
    restoring.live = small_filesystem(64 << 20) / "app.db"
    restoring.live.write_bytes(template.read_bytes())
    needed = int(restoring.checks(REPLACE)["free_space"].message.split()[0])
    # The header of a journal, the index of a WAL and the last page of each file are not counted.
    folder = small_filesystem(restoring.live.stat().st_size + needed + (256 << 10))
    restoring.live = folder / "app.db"
    restoring.live.write_bytes(template.read_bytes())
    assert restoring.checks(REPLACE)["free_space"].status == "ok"
    assert restoring.restore_in_place().exists()


def test_a_dump_that_lies_on_the_file_system_already_needs_no_more_space(restoring: SqliteRestoring) -> None:
    source = restoring.back_up()
    (check,) = (
        each
        for each in restoring.restorer.checks(source, restoring.destination(NEW), restoring.workplace)
        if each.name == "free_space"
    )
    assert check.message.startswith("0 bytes are needed")
    assert restoring.checks(NEW, source)["free_space"].message.startswith(f"{source.raw_size} bytes")


# ---------------------------------------------------------------------------------------------- the database


def test_a_newer_sqlite_is_a_warning(restoring: SqliteRestoring) -> None:
    source = restoring.back_up()
    newer = restoring.checks(NEW, replace(source, versions={"sqlite": "99.1.0"}))["tool"]
    assert (newer.status, "SQLite 99.1.0" in newer.message) == ("warning", True)
    assert restoring.checks(NEW, replace(source, versions={"sqlite": "3.9.2"}))["tool"].status == "ok"
    assert restoring.checks(NEW, replace(source, versions={}))["tool"].status == "unknown"


def test_a_large_live_database_is_checked_when_it_is_kept(restoring: SqliteRestoring) -> None:
    make_sqlite_database(restoring.live, megabytes=0.5)
    restoring.restorer = type(restoring.restorer)(thorough_check_size=1000)
    check = restoring.checks(REPLACE)["live_integrity"]
    assert (check.status, check.acknowledge) == ("unknown", "live_integrity")


# ---------------------------------------------------------------------------------------- who is at work there

BUSY = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchone()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("journal_mode", "statements", "found"),
    [
        ("delete", ["BEGIN IMMEDIATE"], {"writers": "warning", "readers": "warning"}),
        ("delete", ["BEGIN", "SELECT * FROM note"], {"writers": "ok", "readers": "warning"}),
        ("delete", ["SELECT count(*) FROM note"], {"writers": "ok", "readers": "ok"}),
        ("wal", ["BEGIN IMMEDIATE"], {"writers": "warning", "readers": "ok"}),
        ("wal", ["BEGIN", "SELECT * FROM note"], {"writers": "ok", "readers": "ok"}),
    ],
)
def test_who_has_it_locked_is_named(
    restoring: SqliteRestoring, journal_mode: JournalMode, statements: list[str], found: dict[str, str]
) -> None:
    make_sqlite_database(restoring.live, journal_mode=journal_mode)
    arguments: list[str | Path] = [sys.executable, "-I", "-c", BUSY, restoring.live, *statements]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"\n"
        checks = restoring.checks(REPLACE)
        assert {name: checks[name].status for name in found} == found
        for name, status in found.items():
            is_named = f"Process {busy.pid}" in checks[name].message
            assert is_named == (status == "warning" or (journal_mode == "wal" and name == "readers"))
        busy.communicate()


def test_what_is_locked_all_the_time_can_not_be_looked_at(restoring: SqliteRestoring) -> None:
    make_sqlite_database(restoring.live, journal_mode="delete")
    with restoring.application() as connection:
        connection.execute("BEGIN EXCLUSIVE")
        check = restoring.checks(REPLACE)["destination"]
        assert (check.status, "is locked" in check.message) == ("unknown", True)
        connection.execute("COMMIT")
