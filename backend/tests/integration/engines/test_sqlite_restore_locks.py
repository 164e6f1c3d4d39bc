"""Live SQLite files replaced while others read and write them, and while the restoring process is killed."""

import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import psutil
import pytest

from hhh.core.errors import Cancelled, EngineError, TargetBusy, ToolFailed
from hhh.core.run import Progress
from hhh.engines.sqlite.child import overwrite
from hhh.engines.sqlite.child.live import Live
from hhh.engines.sqlite.child.protocol import Failed, Reports
from hhh.engines.sqlite.child.safety import SafetyCopy
from hhh.engines.sqlite.engine import SqliteEngine
from hhh.engines.sqlite.restore import SqliteRestorer
from support.engine_rigs import children
from support.sqlite_data import (
    JournalMode,
    check_invariant,
    count_sqlite_rows,
    make_sqlite_database,
    sqlite_writer,
)
from support.sqlite_restoring import TOKEN, SqliteRestoring, content
from support.sqlite_source import JOURNAL_MODES
from support.waiting import wait_until


@pytest.fixture
def restoring(tmp_path: Path) -> SqliteRestoring:
    return SqliteRestoring(tmp_path)


def numbers(path: Path) -> list[int]:
    """Of the transfers in a writer's database that nobody has open; their sum must be what it always is."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT sum(balance) / count(*), count(*) FROM account").fetchone() == (1000, 300)
        return [number for (number,) in connection.execute("SELECT number FROM transfer ORDER BY number")]


# ------------------------------------------------------------------------------------------------- writers


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_what_a_busy_writer_commits_is_kept_or_comes_after_the_restore(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    restoring.restorer = SqliteRestorer()
    restoring.source.engine = SqliteEngine()
    restoring.source.path = restoring.live
    with sqlite_writer(restoring.live, journal_mode=journal_mode) as writer:
        source = restoring.back_up()
        backed_up = check_invariant(restoring.dump)
        restoring.build(source)
        writer.wait_for_commits(20)
        kept = restoring.publish()
        writer.wait_for_commits(20)
        commits = writer.stop()
    assert kept is not None
    before = check_invariant(kept)
    assert backed_up < before < commits
    assert numbers(restoring.live) == [*range(1, backed_up + 1), *range(before + 1, commits + 1)]


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_several_restores_beside_busy_writers_lose_nothing(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    """One writer, and restores in a row: each keeps all that came since the one before."""
    restoring.restorer = SqliteRestorer()
    make_writers_database(restoring.source.path, journal_mode)
    restoring.live.write_bytes(restoring.source.path.read_bytes())
    begun = check_invariant(restoring.live)
    seen: set[int] = set()
    with sqlite_writer(restoring.live, journal_mode=journal_mode) as writer:
        for number in range(3):
            writer.wait_for_commits(10)
            restoring.build(restoring.back_up(), token=f"again{number:03}")
            kept = restoring.publish(token=f"again{number:03}")
            assert kept is not None
            found = set(numbers(kept))
            assert seen.isdisjoint(found - set(range(1, begun + 1)))
            seen |= found
        commits = writer.stop()
    assert seen | set(numbers(restoring.live)) == set(range(1, commits + 1))


def make_writers_database(path: Path, journal_mode: JournalMode) -> None:
    with sqlite_writer(path, journal_mode=journal_mode) as writer:
        writer.wait_for_commits(5)
        writer.stop()


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_writer_that_holds_its_lock_too_long_is_told_and_nothing_is_changed(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_sqlite_database(restoring.source.path, journal_mode=journal_mode)
    make_sqlite_database(restoring.live, megabytes=0.2, journal_mode=journal_mode)
    restoring.build(restoring.back_up())
    with restoring.application() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO changed VALUES (7)")
        with pytest.raises(TargetBusy, match=r"app\.db is locked.*when its writers and readers have finished"):
            restoring.publish()
        connection.execute("COMMIT")
        before = list(connection.iterdump())
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    with restoring.application() as connection:
        assert list(connection.iterdump()) == before
    assert count_sqlite_rows(restoring.live)["changed"] == 1


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_writer_that_ends_in_time_is_waited_for_and_kept(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    restoring.restorer = SqliteRestorer(busy_timeout_seconds=60)
    make_sqlite_database(restoring.source.path, journal_mode=journal_mode)
    make_sqlite_database(restoring.live, journal_mode=journal_mode)
    restoring.build(restoring.back_up())
    with restoring.application() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO changed VALUES (7)")
        with publishing(restoring) as ended:
            wait_until(lambda: has_open(restoring.live), what="the child to have the database open")
            connection.execute("COMMIT")
        (kept,) = ended
    assert isinstance(kept, Path)
    assert count_sqlite_rows(kept)["changed"] == 1
    assert content(restoring.live) == content(restoring.source.path)


class CancelledOnceOpen:
    """A run that is cancelled as soon as a child has a file open."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def report(self, progress: Progress) -> None:
        raise AssertionError("whoever restores reports")

    def raise_if_cancelled(self) -> None:
        if has_open(self._file):
            raise Cancelled("The run was cancelled")


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_restore_that_is_cancelled_while_it_waits_for_a_lock_changes_nothing(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    restoring.restorer = SqliteRestorer(busy_timeout_seconds=3600)
    make_sqlite_database(restoring.source.path, journal_mode=journal_mode)
    make_sqlite_database(restoring.live, journal_mode=journal_mode)
    before = content(restoring.live)
    restoring.build(restoring.back_up())
    with restoring.application() as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(Cancelled):
            restoring.publish(run=CancelledOnceOpen(restoring.live))
        connection.execute("COMMIT")
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    assert content(restoring.live) == before


@contextlib.contextmanager
def publishing(restoring: SqliteRestoring) -> Iterator[list[Path | EngineError | None]]:
    """Publishes beside the block; what came of it is in the list afterwards."""
    ended: list[Path | EngineError | None] = []

    def publish() -> None:
        try:
            ended.append(restoring.publish())
        except EngineError as error:
            ended.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield ended
    finally:
        thread.join()


def has_open(path: Path) -> bool:
    """Whether a child of this process has the file open."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(Path(file.path) == path for child in children() for file in child.open_files())
    return False


def test_a_writer_that_slips_between_the_safety_copy_and_the_overwrite_is_kept(
    restoring: SqliteRestoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In rollback mode. The other one is in this process, and of the same library."""
    copy = overwrite._copy_under_write_lock
    slipped: list[int] = []

    def copy_and_let_somebody_in(live: Live, safety: SafetyCopy) -> bytes:
        counter = copy(live, safety)
        if len(slipped) < 2:
            slipped.append(len(slipped))
            write_once(restoring.live)
        return counter

    monkeypatch.setattr(overwrite, "_copy_under_write_lock", copy_and_let_somebody_in)
    assert replace_here(restoring) == ["replaced"]
    assert count_sqlite_rows(restoring.live.with_name("kept"))["changed"] == 2
    assert content(restoring.live) == content(restoring.source.path)


def test_a_writer_that_always_comes_between_makes_it_busy(
    restoring: SqliteRestoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = overwrite._copy_under_write_lock

    def copy_and_let_somebody_in(live: Live, safety: SafetyCopy) -> bytes:
        counter = copy(live, safety)
        write_once(restoring.live)
        return counter

    monkeypatch.setattr(overwrite, "_copy_under_write_lock", copy_and_let_somebody_in)
    with pytest.raises(Failed, match="is written to all the time"):
        replace_here(restoring)
    assert restoring.beside() == ["app.db"]
    assert count_sqlite_rows(restoring.live)["changed"] > 1


def test_a_database_that_enters_wal_mode_between_is_not_overwritten_by_what_was_meant_for_another_mode(
    restoring: SqliteRestoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = overwrite._copy_under_write_lock

    def copy_and_change_the_mode(live: Live, safety: SafetyCopy) -> bytes:
        counter = copy(live, safety)
        with contextlib.closing(apsw.Connection(str(restoring.live))) as connection:
            connection.pragma("journal_mode", "wal")
            connection.execute("INSERT INTO changed VALUES (1)")
        return counter

    monkeypatch.setattr(overwrite, "_copy_under_write_lock", copy_and_change_the_mode)
    assert replace_here(restoring) == ["replaced"]
    assert count_sqlite_rows(restoring.live.with_name("kept"))["changed"] == 1
    assert content(restoring.live) == content(restoring.source.path)


def write_once(path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("INSERT INTO changed VALUES (1)")


def replace_here(restoring: SqliteRestoring) -> list[str]:
    """What the child does, in this process, which has nothing else open; answers the events that it reports."""
    make_sqlite_database(restoring.source.path, journal_mode="delete")
    make_sqlite_database(restoring.live, journal_mode="delete")
    restoring.back_up()
    reader, writer = os.pipe()
    request = {
        "source": str(restoring.live),
        "dump": str(restoring.dump),
        "part": str(restoring.live.with_name("part")),
        "kept": str(restoring.live.with_name("kept")),
        "busy_timeout": 1000,
        "thorough_check_size": 0,
        "check_dump": True,
        "accept_damage": False,
    }
    try:
        overwrite.replace(request, Reports(writer))
    finally:
        os.close(writer)
        with open(reader, encoding="utf-8") as lines:  # noqa: PTH123  a descriptor
            events = [line.split('"')[3] for line in lines]
    return events


# ------------------------------------------------------------------------------------------------- readers


def test_a_reader_in_rollback_mode_that_takes_too_long_is_told_and_nothing_is_changed(
    restoring: SqliteRestoring,
) -> None:
    make_sqlite_database(restoring.source.path, journal_mode="delete")
    make_sqlite_database(restoring.live, journal_mode="delete")
    before = restoring.live.read_bytes()
    restoring.build(restoring.back_up())
    with restoring.application() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM note").fetchone()
        with pytest.raises(TargetBusy, match="locked"):
            restoring.publish()
        reader.execute("SELECT count(*) FROM author").fetchone()
        reader.execute("COMMIT")
    restoring.discard()
    assert restoring.beside() == ["app.db"]
    assert restoring.live.read_bytes() == before


def test_a_reader_in_rollback_mode_that_ends_in_time_is_waited_for(restoring: SqliteRestoring) -> None:
    restoring.restorer = SqliteRestorer(busy_timeout_seconds=60)
    make_sqlite_database(restoring.source.path, journal_mode="delete")
    make_sqlite_database(restoring.live, journal_mode="delete")
    restoring.build(restoring.back_up())
    with restoring.application() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM note").fetchone()
        with publishing(restoring) as ended:
            kept = restoring.live.with_name(f"app.db.before_{TOKEN}.part")
            wait_until(kept.exists, what="the safety copy")
            reader.execute("COMMIT")
        assert isinstance(ended[0], Path)
    assert content(restoring.live) == content(restoring.source.path)


def test_a_reader_in_wal_mode_sees_the_old_content_to_its_end_and_then_the_new(restoring: SqliteRestoring) -> None:
    make_sqlite_database(restoring.source.path, megabytes=0.5)
    rows = make_sqlite_database(restoring.live, megabytes=0.2)
    with restoring.application() as reader, restoring.application() as writer:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM note").fetchone() == (rows["note"],)
        restoring.restore_in_place()
        assert reader.execute("SELECT count(*) FROM note").fetchone() == (rows["note"],)
        writer.execute("INSERT INTO changed VALUES (1)")
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM note").fetchone() > (rows["note"],)
        assert reader.execute("SELECT count(*) FROM changed").fetchone() == (1,)


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_an_application_with_statements_prepared_goes_on_with_the_new_content(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_sqlite_database(restoring.source.path, megabytes=0.5, journal_mode=journal_mode)
    with contextlib.closing(sqlite3.connect(restoring.source.path, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE author ADD COLUMN born")
    make_sqlite_database(restoring.live, journal_mode=journal_mode)
    with restoring.application() as connection:
        before = connection.execute("SELECT * FROM author WHERE id = ?", [3]).fetchone()
        restoring.restore_in_place()
        assert connection.execute("SELECT * FROM author WHERE id = ?", [3]).fetchone() == (*before, None)
        connection.execute("UPDATE author SET born = 1 WHERE id = 3")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert count_sqlite_rows(restoring.live)["author"] == 10


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_no_lock_of_this_process_is_lost(restoring: SqliteRestoring, journal_mode: JournalMode) -> None:
    """The service's own database may be the one that is looked at, built beside and swept."""
    make_sqlite_database(restoring.source.path, journal_mode=journal_mode)
    make_sqlite_database(restoring.live, journal_mode=journal_mode)
    source = restoring.back_up()
    with restoring.application() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO changed VALUES (1)")
        checks = restoring.checks(source=source)
        assert checks["writers"].status == "warning"
        assert str(os.getpid()) in checks["writers"].message
        restoring.build(source)
        with pytest.raises(TargetBusy):
            restoring.publish()
        restoring.discard()
        program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        ended = subprocess.run(
            [sys.executable, "-I", "-c", program, restoring.live], capture_output=True, check=False, text=True
        )
        assert "database is locked" in ended.stderr
        connection.execute("COMMIT")
    assert count_sqlite_rows(restoring.live)["changed"] == 1


# ------------------------------------------------------------------------------------------------- SIGKILL


MEGABYTES = 20  # more than the child keeps in memory, so that it writes before it commits


def make_large(path: Path, journal_mode: JournalMode, page_size: int = 4096) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, x)")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i"
        connection.execute(f"INSERT INTO large {numbers}, randomblob(3900) FROM n", [MEGABYTES * 256])


def digest(path: Path) -> bytes:
    """Of all rows; whoever writes after a crash removes what is left of a journal."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("PRAGMA user_version = 0")
        rows = hashlib.sha256()
        for number, x in connection.execute("SELECT id, x FROM large ORDER BY id"):
            rows.update(b"%d " % number + x)
        return rows.digest()


def reaches(file: Path, size: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_size >= size
    return False


@pytest.mark.parametrize(
    ("journal_mode", "page_size"),
    [
        ("wal", 4096),
        ("delete", 4096),
        pytest.param("delete", 1024, marks=pytest.mark.soak),
        pytest.param("delete", 16384, marks=pytest.mark.soak),
    ],
)
def test_a_child_that_is_killed_at_any_moment_leaves_the_old_content_or_the_new(
    restoring: SqliteRestoring, journal_mode: JournalMode, page_size: int
) -> None:
    make_large(restoring.live, journal_mode)
    make_large(restoring.source.path, journal_mode, page_size)
    old, new = digest(restoring.live), digest(restoring.source.path)
    as_it_was = restoring.live.read_bytes()
    source = restoring.back_up()
    outcomes = []
    for moment in moments(restoring.live, journal_mode):
        restoring.live.write_bytes(as_it_was)
        shutil.copyfile(restoring.source.copy, restoring.dump)
        restoring.build(source)
        with publishing(restoring) as ended:
            kill_the_child(moment, ended)
        outcomes += ended
        done = isinstance(ended[0], Path)
        assert done or isinstance(ended[0], ToolFailed)
        restoring.discard()
        assert digest(restoring.live) == (new if done else old)
        assert restoring.beside() == (["app.db", f"app.db.before_{TOKEN}"] if done else ["app.db"])
        if isinstance(ended[0], Path):
            assert digest(ended[0]) == old
            ended[0].unlink()
    assert any(isinstance(outcome, ToolFailed) for outcome in outcomes)


def moments(live: Path, journal_mode: JournalMode) -> Iterator[Callable[[], bool]]:
    """Conditions on which to kill, from the beginning to the end of a replacement."""
    kept = live.with_name(f"app.db.before_{TOKEN}")
    part = live.with_name(f"{kept.name}.part")
    journal = live.with_name(f"app.db-{'wal' if journal_mode == 'wal' else 'journal'}")
    before = live.stat().st_mtime_ns
    yield partial(has_open, live)
    yield partial(reaches, part, random.randint(1, MEGABYTES << 20))
    yield kept.exists
    for _ in range(3):
        yield partial(reaches, journal, random.randint(1, MEGABYTES << 20))
    yield lambda: kept.exists() and live.stat().st_mtime_ns > before
    yield lambda: kept.exists() and not journal.exists()


def kill_the_child(moment: Callable[[], bool], ended: list[Path | EngineError | None]) -> None:
    wait_until(lambda: ended or moment(), seconds=60, what="the moment to kill")
    for child in children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "sqlite/child" in " ".join(child.cmdline()):
                child.kill()


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_service_that_is_killed_while_it_replaces_leaves_the_old_content_or_the_new(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    """The service is a process of its own; whoever comes after it discards."""
    make_large(restoring.source.path, journal_mode)
    make_large(restoring.live, journal_mode)
    old, new = digest(restoring.live), digest(restoring.source.path)
    restoring.build(restoring.back_up())
    program = """
import sys; from pathlib import Path
from hhh.core.run import Unattended; from hhh.engines.base import Workplace
from hhh.engines.restoring import Destination, RestoreMode; from hhh.engines.sqlite.restore import SqliteRestorer
destination = Destination("sqlite:///" + sys.argv[1], sys.argv[1], RestoreMode.REPLACE, sys.argv[2])
SqliteRestorer().publish(destination, Workplace(Path(sys.argv[3])), Unattended())
"""
    arguments: list[str | Path] = [sys.executable, "-c", program]
    arguments += [restoring.live, TOKEN, restoring.workplace.scratch]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    kept = restoring.live.with_name(f"app.db.before_{TOKEN}")
    with subprocess.Popen(arguments, env=environment) as service:
        wait_until(kept.exists, seconds=60, what="the safety copy")
        (child,) = psutil.Process(service.pid).children()
        service.kill()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child's end")
    restoring.discard()
    found = digest(restoring.live)
    assert found in (old, new)
    assert restoring.beside() == (["app.db", kept.name] if found == new else ["app.db"])


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_writer_that_was_killed_is_recovered_from_first(
    restoring: SqliteRestoring, journal_mode: JournalMode
) -> None:
    make_sqlite_database(restoring.source.path, journal_mode=journal_mode)
    with sqlite_writer(restoring.live, journal_mode=journal_mode) as writer:
        writer.wait_for_commits(3)
        writer.kill()
        commits = writer.commits
    kept = restoring.restore_in_place()
    assert commits <= check_invariant(kept) <= commits + 1
    assert content(restoring.live) == content(restoring.source.path)


def test_a_live_file_that_was_replaced_by_another_is_not_touched(
    restoring: SqliteRestoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = overwrite._copy_under_write_lock

    def copy_and_move(live: Live, safety: SafetyCopy) -> bytes:
        counter = copy(live, safety)
        restoring.live.rename(restoring.live.with_name("moved.db"))
        restoring.live.write_text("another one")
        return counter

    monkeypatch.setattr(overwrite, "_copy_under_write_lock", copy_and_move)
    with pytest.raises(Failed, match="was replaced by another file"):
        replace_here(restoring)
    assert restoring.live.read_text() == "another one"
    assert count_sqlite_rows(restoring.live.with_name("moved.db"))["author"] == 10
    assert restoring.beside() == ["app.db", "moved.db"]
