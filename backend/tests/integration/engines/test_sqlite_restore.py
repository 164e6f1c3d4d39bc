"""SQLite files restored: as new ones, in the place of live ones, and back again."""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hhh.core.errors import Cancelled, EngineError, SourceUnreadable
from hhh.core.run import Progress
from hhh.engines.restoring import RestoreMode
from hhh.engines.sqlite.engine import SqliteEngine
from hhh.engines.sqlite.restore import SqliteRestorer
from hhh.schemas.facts import SqliteFacts
from support.filesystems import SmallFilesystem
from support.sqlite_data import (
    JournalMode,
    check_invariant,
    count_sqlite_rows,
    make_corrupt,
    make_odd_names_sqlite_database,
    make_sqlite_database,
    sqlite_writer,
)
from support.sqlite_restoring import TOKEN, SqliteRestoring, content
from support.sqlite_source import JOURNAL_MODES

NEW = RestoreMode.NEW

RICH = """
PRAGMA user_version = 42; PRAGMA application_id = -1234567;
CREATE TABLE plain (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT COLLATE NOCASE, r REAL, b BLOB, CHECK (id > 0));
INSERT INTO plain (t, r, b) VALUES ('ä', 1e300, x'00ff'), (NULL, -0.0, zeroblob(100000)), ('', 9e-300, NULL);
DELETE FROM plain WHERE id = 3;
CREATE TABLE keyed (key TEXT PRIMARY KEY, content) WITHOUT ROWID; INSERT INTO keyed VALUES ('a', 1), ('b', NULL);
CREATE TABLE typed (x INT NOT NULL, y ANY) STRICT; INSERT INTO typed VALUES (9223372036854775807, 'any');
CREATE TABLE computed (a INTEGER, b AS (a * 2) STORED, c AS (a + 1)); INSERT INTO computed VALUES (20), (-1);
CREATE TABLE parent (id INTEGER PRIMARY KEY, child REFERENCES child DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 2); INSERT INTO child VALUES (2, 1);
CREATE VIRTUAL TABLE words USING fts5 (body); INSERT INTO words VALUES ('one two'), ('three');
CREATE INDEX partial ON plain (t) WHERE r > 0; CREATE UNIQUE INDEX by_expression ON computed (abs(a), c DESC);
CREATE VIEW seen AS SELECT plain.id, keyed.content FROM plain JOIN keyed;
CREATE TRIGGER instead INSTEAD OF INSERT ON seen BEGIN INSERT INTO keyed VALUES (new.id, new.content); END;
CREATE TABLE "empty one" ("a column" DEFAULT 'd');
"""


@pytest.fixture
def restoring(tmp_path: Path) -> SqliteRestoring:
    return SqliteRestoring(tmp_path)


def make_rich(path: Path, *before: str, journal_mode: JournalMode = "delete") -> None:
    """A database of all that SQLite can hold."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (*before, f"PRAGMA journal_mode = {journal_mode}"):
            connection.execute(statement)
        connection.executescript(RICH)


def make_plain(path: Path, *before: str, journal_mode: JournalMode = "delete", kilobytes: int = 100) -> None:
    """A database with a table of that size."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (*before, f"PRAGMA journal_mode = {journal_mode}"):
            connection.execute(statement)
        connection.execute("CREATE TABLE live (x)")
        connection.execute("INSERT INTO live VALUES (randomblob(?))", [kilobytes << 10])


# -------------------------------------------------------------------------------------------- round trips

HEADERS: list[Sequence[str]] = [
    ["PRAGMA page_size = 65536"],
    ["PRAGMA page_size = 512"],
    ["PRAGMA auto_vacuum = FULL"],
    ["PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA encoding = 'UTF-16le'"],
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_new_file_is_the_backup_byte_for_byte(
    restoring: SqliteRestoring, journal_mode: JournalMode, header: Sequence[str]
) -> None:
    make_rich(restoring.source.path, *header, journal_mode=journal_mode)
    source = restoring.back_up()
    built = restoring.build(source, NEW)
    assert built.facts == source.facts
    assert (built.errors, built.warnings) == ((), ())
    assert restoring.publish(NEW) is None
    assert restoring.live.read_bytes() == restoring.source.path.read_bytes()
    assert restoring.beside() == ["app.db"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_replaced_database_has_all_of_the_backup_and_what_it_was_is_kept_byte_for_byte(
    restoring: SqliteRestoring, journal_mode: JournalMode, header: Sequence[str]
) -> None:
    make_rich(restoring.source.path, *header, journal_mode=journal_mode)
    make_plain(restoring.live, *header, journal_mode=journal_mode)
    before = restoring.live.read_bytes()
    kept = restoring.restore_in_place()
    assert content(restoring.live) == content(restoring.source.path)
    assert kept.read_bytes() == before
    assert restoring.beside() == ["app.db", kept.name]
    assert kept.name == f"app.db.before_{TOKEN}"


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
@pytest.mark.parametrize("live", JOURNAL_MODES)
def test_a_live_database_keeps_its_journal_mode(
    restoring: SqliteRestoring, live: JournalMode, journal_mode: JournalMode
) -> None:
    make_rich(restoring.source.path, journal_mode=journal_mode)
    make_plain(restoring.live, journal_mode=live)
    with restoring.application() as connection:
        assert connection.execute("SELECT count(*) FROM live").fetchone() == (1,)
        kept = restoring.restore_in_place()
        assert connection.execute("PRAGMA journal_mode").fetchone() == (live,)
        restoring.undo(kept, "undo0001")
        assert connection.execute("PRAGMA journal_mode").fetchone() == (live,)
        connection.execute("INSERT INTO live VALUES (2)")


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
@pytest.mark.parametrize(("live", "backed_up"), [(4096, 65536), (65536, 512), (512, 4096)])
@pytest.mark.parametrize("kilobytes", [1, 3000], ids=["small", "large"])
def test_in_rollback_mode_pages_may_get_another_size(
    restoring: SqliteRestoring, live: int, backed_up: int, kilobytes: int, journal_mode: JournalMode
) -> None:
    make_rich(restoring.source.path, f"PRAGMA page_size = {backed_up}", journal_mode=journal_mode)
    make_plain(restoring.live, f"PRAGMA page_size = {live}", kilobytes=kilobytes)
    before = content(restoring.live)
    with restoring.application() as connection:
        assert connection.execute("SELECT count(*) FROM live").fetchone() == (1,)
        kept = restoring.restore_in_place()
        assert connection.execute("SELECT count(*) FROM keyed").fetchone() == (2,)
        connection.execute("INSERT INTO keyed VALUES ('after', 1)")
        connection.execute("DELETE FROM keyed WHERE key = 'after'")
    assert content(restoring.live) == content(restoring.source.path)
    assert content(kept) == before
    restoring.undo(kept, "undo0001")
    assert content(restoring.live) == before


def test_odd_names_come_back(restoring: SqliteRestoring) -> None:
    expected = make_odd_names_sqlite_database(restoring.source.path)
    restoring.restore(NEW)
    assert count_sqlite_rows(restoring.live) == expected


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_database_without_tables_replaces_one_and_is_replaced(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    restoring.source.path.touch()
    make_plain(restoring.live, journal_mode=journal_mode)
    before = content(restoring.live)
    kept = restoring.restore_in_place()
    assert count_sqlite_rows(restoring.live) == {}
    restoring.undo(kept, "undo0001")
    assert content(restoring.live) == before


def test_a_live_file_of_no_bytes_is_an_empty_database(restoring: SqliteRestoring) -> None:
    make_rich(restoring.source.path)
    restoring.live.touch()
    assert {check.status for check in restoring.checks().values()} == {"ok"}
    kept = restoring.restore_in_place()
    assert content(restoring.live) == content(restoring.source.path)
    assert count_sqlite_rows(kept) == {}


# ---------------------------------------------------------------------------------------------- new files


def test_a_new_file_is_private_until_it_has_its_name_and_then_as_the_umask_says(restoring: SqliteRestoring) -> None:
    make_rich(restoring.source.path)
    restoring.build(restoring.back_up(), NEW)
    built = restoring.live.with_name(f"app.db.restore_{TOKEN}")
    assert stat.S_IMODE(built.stat().st_mode) == 0o600
    other = restoring.live.with_name("other")
    other.touch()
    restoring.publish(NEW)
    assert stat.S_IMODE(restoring.live.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("ending", ["", "-wal", "-journal", "-shm"])
def test_a_name_that_was_taken_meanwhile_is_left_alone(restoring: SqliteRestoring, ending: str) -> None:
    make_rich(restoring.source.path)
    restoring.build(restoring.back_up(), NEW)
    taken = restoring.live.with_name(f"app.db{ending}")
    taken.write_text("somebody else's")
    with pytest.raises(EngineError, match=rf"{taken.name} exists by now.*under another name"):
        restoring.publish(NEW)
    restoring.discard(NEW)
    assert taken.read_text() == "somebody else's"
    assert restoring.beside() == [taken.name]


def test_a_dump_on_another_file_system_is_copied(restoring: SqliteRestoring, small_filesystem: SmallFilesystem) -> None:
    make_sqlite_database(restoring.source.path, megabytes=2)
    source = restoring.back_up()
    away = small_filesystem(8 << 20) / "dump"
    away.write_bytes(restoring.dump.read_bytes())
    restoring.build(replace(source, dump=away), NEW)
    restoring.publish(NEW)
    assert restoring.live.read_bytes() == restoring.source.path.read_bytes()


def test_what_was_done_to_the_built_file_is_published_with_it(restoring: SqliteRestoring) -> None:
    """Whoever migrated it may have left a WAL."""
    make_plain(restoring.source.path, journal_mode="wal")
    built = restoring.build(restoring.back_up(), NEW)
    with sqlite_writer(Path(built.url.removeprefix("sqlite:///"))) as writer:
        writer.wait_for_commits(3)
        writer.kill()
        commits = writer.commits
    restoring.publish(NEW)
    assert restoring.beside() == ["app.db"]
    assert check_invariant(restoring.live) >= commits


# ------------------------------------------------------------------------------------------------- damage


def test_a_damaged_dump_is_found_and_nothing_of_it_stays(restoring: SqliteRestoring) -> None:
    make_sqlite_database(restoring.source.path, megabytes=2)
    make_plain(restoring.live)
    before = restoring.live.read_bytes()
    source = restoring.back_up()
    make_corrupt(restoring.dump)
    with pytest.raises(SourceUnreadable, match="is damaged"):
        restoring.build(source)
    restoring.discard()
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    assert restoring.live.read_bytes() == before


def test_what_was_damaged_since_it_was_built_replaces_nothing(restoring: SqliteRestoring) -> None:
    make_sqlite_database(restoring.source.path, megabytes=2)
    make_plain(restoring.live)
    before = restoring.live.read_bytes()
    restoring.build(restoring.back_up())
    make_corrupt(restoring.live.with_name(f"app.db.restore_{TOKEN}"))
    with pytest.raises(SourceUnreadable, match="is damaged"):
        restoring.publish()
    assert restoring.live.read_bytes() == before


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_damaged_live_database_is_replaced_only_where_that_is_accepted(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_rich(restoring.source.path, journal_mode=journal_mode)
    make_sqlite_database(restoring.live, megabytes=2, journal_mode=journal_mode)
    make_corrupt(restoring.live)
    before = restoring.live.read_bytes()
    check = restoring.checks()["live_integrity"]
    assert (check.status, check.acknowledge) == ("unsafe", "live_integrity")
    with pytest.raises(SourceUnreadable, match=r"app.db is damaged.*accept that by the name live_integrity"):
        restoring.restore()
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    assert restoring.live.read_bytes() == before
    restoring.acknowledged = frozenset({"live_integrity"})
    kept = restoring.restore_in_place()
    assert kept.read_bytes() == before
    assert content(restoring.live) == content(restoring.source.path)
    restoring.acknowledged = frozenset()
    restoring.undo(kept, "undo0001")
    assert restoring.live.read_bytes()[4096:] == before[4096:]  # the first page has the marks of an online backup


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_what_was_damaged_after_its_restore_can_be_undone(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_sqlite_database(restoring.source.path, megabytes=2, journal_mode=journal_mode)
    make_rich(restoring.live, journal_mode=journal_mode)
    before = content(restoring.live)
    kept = restoring.restore_in_place()
    make_corrupt(restoring.live)
    restoring.undo(kept, "undo0001")
    assert content(restoring.live) == before


# ----------------------------------------------------------------------------------------- undo, tidying up


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_an_undo_brings_the_old_one_back_and_can_be_undone(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_rich(restoring.source.path, journal_mode=journal_mode)
    make_plain(restoring.live, journal_mode=journal_mode)
    before = content(restoring.live)
    kept = restoring.restore_in_place()
    kept = restoring.undo(kept, "undo0001")
    assert content(restoring.live) == before
    assert restoring.beside() == ["app.db", "app.db.before_undo0001"]
    kept = restoring.undo(kept, "undo0002")
    assert content(restoring.live) == content(restoring.source.path)
    assert content(kept) == before
    restoring.restorer.remove_kept(restoring.destination(), str(kept), restoring.workplace)
    restoring.restorer.remove_kept(restoring.destination(), str(kept), restoring.workplace)
    assert restoring.beside() == ["app.db"]


def test_an_undo_of_what_is_gone_changes_nothing(restoring: SqliteRestoring) -> None:
    make_plain(restoring.live)
    before = restoring.live.read_bytes()
    with pytest.raises(EngineError, match="is gone"):
        restoring.undo(restoring.live.with_name("app.db.before_abcd1234"), "undo0001")
    assert restoring.live.read_bytes() == before


def test_nothing_but_what_was_kept_is_removed_or_brought_back(restoring: SqliteRestoring) -> None:
    make_plain(restoring.live)
    with pytest.raises(EngineError, match="no name of a database that was kept"):
        restoring.restorer.remove_kept(restoring.destination(), str(restoring.live), restoring.workplace)
    with pytest.raises(EngineError, match="no name of a database that was kept"):
        restoring.undo(restoring.live, "undo0001")
    assert restoring.beside() == ["app.db"]


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_nothing_is_discarded_of_what_was_published(restoring: SqliteRestoring, journal_mode: JournalMode) -> None:
    """As after a service that was killed before it could note its success."""
    make_rich(restoring.source.path, journal_mode=journal_mode)
    make_plain(restoring.live, journal_mode=journal_mode)
    kept = restoring.restore_in_place()
    published = content(restoring.live)
    restoring.discard()
    assert restoring.beside() == ["app.db", kept.name]
    assert content(restoring.live) == published


def test_a_new_file_that_was_published_is_not_discarded(restoring: SqliteRestoring) -> None:
    make_rich(restoring.source.path)
    restoring.restore(NEW)
    restoring.discard(NEW)
    assert content(restoring.live) == content(restoring.source.path)


def test_a_safety_copy_of_a_database_that_was_not_replaced_is_discarded(restoring: SqliteRestoring) -> None:
    make_plain(restoring.live)
    kept = restoring.live.with_name(f"app.db.before_{TOKEN}")
    kept.write_bytes(restoring.live.read_bytes())
    restoring.discard()
    assert restoring.beside() == ["app.db"]


def test_a_safety_copy_of_no_bytes_is_discarded_as_well(
    restoring: SqliteRestoring,
) -> None:
    """A copy has a first page, and with it a schema cookie, that an empty file does not have."""
    make_rich(restoring.source.path)
    restoring.live.touch()
    kept = restoring.restore_in_place()
    restoring.live.write_bytes(b"")
    restoring.discard()
    assert not kept.exists()
    assert restoring.live.stat().st_size == 0


def test_a_safety_copy_is_all_there_is_where_the_database_is_gone(restoring: SqliteRestoring) -> None:
    kept = restoring.live.with_name(f"app.db.before_{TOKEN}")
    make_plain(kept)
    restoring.discard()
    assert restoring.beside() == [kept.name]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(restoring: SqliteRestoring) -> None:
    make_rich(restoring.source.path)
    real = restoring.live.parent / "elsewhere" / "real.db"
    real.parent.mkdir()
    make_plain(real)
    restoring.live.symlink_to(real)
    kept = restoring.restore_in_place()
    assert restoring.live.is_symlink()
    assert kept.parent == real.parent
    assert content(real) == content(restoring.source.path)
    assert restoring.beside() == ["app.db", "elsewhere"]


def test_what_is_kept_has_the_mode_and_the_owner_of_the_live_file(restoring: SqliteRestoring) -> None:
    make_rich(restoring.source.path)
    make_plain(restoring.live)
    restoring.live.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(restoring.live, 12, 34)
    before = restoring.live.stat()
    kept = restoring.restore_in_place().stat()
    assert (kept.st_mode, kept.st_uid, kept.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    after = restoring.live.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)


# --------------------------------------------------------------------------------- what SQLite does not allow


@pytest.mark.parametrize(("header", "name"), [("page_size = 8192", "page_size"), ("encoding = 'UTF-16be'", "encoding")])
def test_what_an_open_wal_database_can_not_become_is_refused(
    restoring: SqliteRestoring, header: str, name: str
) -> None:
    make_rich(restoring.source.path, f"PRAGMA {header}")
    make_plain(restoring.live, journal_mode="wal")
    before = restoring.live.read_bytes()
    check = restoring.checks()[name]
    assert (check.status, check.acknowledge) == ("unsafe", None)
    assert "restore as a new file" in check.message
    with pytest.raises(EngineError, match=f"has another {name}"):
        restoring.restore()
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    assert restoring.live.read_bytes() == before


# ---------------------------------------------------------------------------------------------- full disks


def test_a_disk_that_is_full_while_it_is_built_leaves_nothing(
    restoring: SqliteRestoring, small_filesystem: SmallFilesystem
) -> None:
    make_sqlite_database(restoring.source.path, megabytes=3)
    restoring.live = small_filesystem(1 << 20) / "app.db"
    with pytest.raises(EngineError, match=r"No space left on device.*free some space in its folder"):
        restoring.restore(NEW)
    restoring.discard(NEW)
    assert restoring.beside() == []


@pytest.mark.parametrize("megabytes", [8, 11], ids=["in the safety copy", "in the overwrite"])
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_disk_that_is_full_half_way_leaves_the_live_database_as_it_was(
    restoring: SqliteRestoring, small_filesystem: SmallFilesystem, journal_mode: JournalMode, megabytes: int
) -> None:
    make_sqlite_database(restoring.source.path, megabytes=3, journal_mode=journal_mode)
    restoring.live = small_filesystem(megabytes << 20) / "app.db"
    make_sqlite_database(restoring.live, megabytes=3, journal_mode=journal_mode)
    before = content(restoring.live)
    with restoring.application() as connection:
        connection.execute("SELECT count(*) FROM note").fetchone()
        with pytest.raises(EngineError, match=r"app\.db can't be replaced: .*full.*free some space in its folder"):
            restoring.restore()
        connection.execute("UPDATE author SET name = name")
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    assert content(restoring.live) == before


# -------------------------------------------------------------------------------------------- cancellation


class CancelledOnceThere:
    """A run that is cancelled as soon as a file is there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def report(self, progress: Progress) -> None:
        raise AssertionError("whoever restores reports")

    def raise_if_cancelled(self) -> None:
        if self._file.exists():
            raise Cancelled("The run was cancelled")


def test_a_restore_that_is_cancelled_while_it_is_checked_leaves_nothing(restoring: SqliteRestoring) -> None:
    make_sqlite_database(restoring.source.path, megabytes=3)
    source = restoring.back_up()
    with pytest.raises(Cancelled):
        restoring.build(source, run=CancelledOnceThere(restoring.live.with_name(f"app.db.restore_{TOKEN}")))
    restoring.discard()
    assert restoring.beside() == []


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
@pytest.mark.parametrize("ending", [".part", ""])
def test_a_cancelled_replacement_is_done_or_not_and_says_which(
    restoring: SqliteRestoring, journal_mode: JournalMode, ending: str
) -> None:
    make_sqlite_database(restoring.source.path, megabytes=10, journal_mode=journal_mode)
    make_sqlite_database(restoring.live, megabytes=10, journal_mode=journal_mode)
    before = content(restoring.live)
    restoring.build(restoring.back_up())
    kept = restoring.live.with_name(f"app.db.before_{TOKEN}")
    try:
        done = restoring.publish(run=CancelledOnceThere(Path(f"{kept}{ending}")))
    except Cancelled:
        done = None
    restoring.discard()
    assert restoring.beside() == (["app.db", kept.name] if done else ["app.db"])
    assert content(restoring.live) == (content(restoring.source.path) if done else before)


def test_the_checks_of_a_backup_and_of_its_restore_find_the_same(restoring: SqliteRestoring) -> None:
    """Above the size where a backup is checked quickly, a restore still is thorough."""
    restoring.source.engine = SqliteEngine(thorough_check_size=0)
    make_rich(restoring.source.path)
    source = restoring.back_up()
    built = restoring.build(source, NEW)
    assert isinstance(source.facts, SqliteFacts)
    assert source.facts.integrity_check is None
    assert built.facts == source.facts.model_copy(update={"integrity_check": "ok"})


def test_a_large_new_file_is_left_at_the_check_of_its_backup_and_a_replacement_is_not(
    restoring: SqliteRestoring,
) -> None:
    restoring.restorer = SqliteRestorer(thorough_check_size=0)
    make_rich(restoring.source.path)
    source = restoring.back_up()
    assert isinstance(source.facts, SqliteFacts)
    built = restoring.build(source, NEW)
    assert built.facts == source.facts.model_copy(update={"integrity_check": None, "quick_check": None})
    restoring.discard()
    make_rich(restoring.live)
    built = restoring.build(restoring.back_up())
    assert built.facts == source.facts


def test_a_plan_has_nothing_to_build_from(restoring: SqliteRestoring) -> None:
    make_rich(restoring.source.path)
    with pytest.raises(ValueError, match="only planned"):
        restoring.build(replace(restoring.back_up(), dump=None))
