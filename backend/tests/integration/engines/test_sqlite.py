"""Copies of SQLite files of all kinds, and what is said of those that can't be copied."""

import ast
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import psutil
import pytest
from sqlalchemy import make_url

from hhh.core.errors import Cancelled, InvalidInput, ScratchError, SourceUnreadable, ToolFailed
from hhh.core.run import Progress, Unattended
from hhh.engines.base import Workplace
from hhh.engines.sqlite import child as child_program
from hhh.engines.sqlite.engine import SqliteEngine
from hhh.schemas.facts import SqliteFacts
from support.engine_rigs import children
from support.filesystems import SmallFilesystem
from support.sqlite_data import (
    JournalMode,
    count_sqlite_rows,
    make_corrupt,
    make_odd_names_sqlite_database,
    make_sqlite_database,
)
from support.sqlite_source import JOURNAL_MODES, SqliteSource, is_waiting, rows_by_table
from support.waiting import wait_until


@pytest.fixture
def source(tmp_path: Path) -> SqliteSource:
    return SqliteSource(tmp_path)


# ------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("sqlite:////var/lib/app.db", "sqlite:////var/lib/app.db"),
        ("sqlite:////var//lib/./app.db", "sqlite:////var/lib/app.db"),
        ("sqlite:////var/ü #1.db", "sqlite:////var/%C3%BC %231.db"),
        ("sqlite:////var/%C3%BC%20%231.db", "sqlite:////var/%C3%BC %231.db"),
        ("sqlite:////var/100%25.db", "sqlite:////var/100%25.db"),
        ("sqlite:///relative/app.db", f"sqlite:///{Path.cwd()}/relative/app.db"),
    ],
)
def test_a_path_is_read_as_sqlalchemy_reads_it_and_made_absolute(url: str, normal: str) -> None:
    assert SqliteEngine().validate(url) == SqliteEngine().validate(normal) == normal
    assert Path(make_url(normal).database or "") == Path(make_url(url).database or "").absolute()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory",
        "sqlite:///file::memory:",
        "sqlite:////var/app.db?mode=ro",
        "sqlite:////var/app.db\0",
        "sqlite:////var/app.db%00",
        "sqlite:////var/\ud800.db",
        "sqlite:////var/folder/",
        "sqlite://host/app.db",
        "sqlite+pysqlite:////var/app.db",
        "postgresql://host/app",
    ],
)
def test_what_is_no_plain_path_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="SQLite file"):
        SqliteEngine().validate(url)


# ------------------------------------------------------------------------------------------------ facts


def test_the_facts_tell_what_the_file_is(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.executescript(
            """
            PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA encoding = 'UTF-16be';
            PRAGMA user_version = -7; PRAGMA application_id = 1234567;
            CREATE TABLE a (x UNIQUE); CREATE INDEX i ON a (x); CREATE VIEW v AS SELECT * FROM a;
            CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END;
            """
        )
    facts = source.facts()
    assert facts == SqliteFacts(
        sqlite_version=apsw.sqlite_lib_version(),
        page_size=8192,
        page_count=source.copy.stat().st_size // 8192,
        journal_mode="delete",
        encoding="UTF-16be",
        user_version=-7,
        application_id=1234567,
        auto_vacuum=2,
        integrity_check="ok",
        quick_check="ok",
        tables=facts.tables,
        objects=[("index", "i"), ("index", "sqlite_autoindex_a_1"), ("trigger", "t"), ("view", "v")],
        definitions=[
            ("index", "i", "a", "CREATE INDEX i ON a (x)"),
            ("index", "sqlite_autoindex_a_1", "a", ""),
            ("table", "a", "a", "CREATE TABLE a (x UNIQUE)"),
            ("trigger", "t", "a", "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END"),
            ("view", "v", "v", "CREATE VIEW v AS SELECT * FROM a"),
        ],
    )
    assert rows_by_table(facts) == {"a": 0}


@pytest.mark.parametrize("page_size", [512, 65536])
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_copy_has_the_pages_the_journal_mode_and_the_rows_of_its_source(
    source: SqliteSource, journal_mode: JournalMode, page_size: int
) -> None:
    with source.connected() as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("CREATE TABLE first (x)")
    expected = make_sqlite_database(source.path, megabytes=2, journal_mode=journal_mode) | {"first": 0}
    facts = source.facts()
    assert (facts.page_size, facts.journal_mode) == (page_size, journal_mode)
    assert rows_by_table(facts) == expected == count_sqlite_rows(source.copy)
    with contextlib.closing(sqlite3.connect(source.copy)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (journal_mode,)


def test_an_empty_file_is_an_empty_database(source: SqliteSource) -> None:
    source.path.touch()
    assert source.inspect() == "SQLite, 0 tables"
    facts = source.facts()
    assert (facts.tables, facts.objects, facts.page_count) == ([], [], 1)
    assert count_sqlite_rows(source.copy) == {}


def test_odd_names_are_counted_and_copied(source: SqliteSource) -> None:
    expected = make_odd_names_sqlite_database(source.path)
    assert rows_by_table(source.facts()) == expected == count_sqlite_rows(source.copy)
    assert source.inspect() == f"SQLite, {len(expected)} tables"


def test_virtual_tables_are_counted_where_their_module_is_here(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.executescript(
            """
            CREATE VIRTUAL TABLE words USING fts5 (body); INSERT INTO words VALUES ('one'), ('two');
            CREATE VIRTUAL TABLE boxes USING rtree (id, low, high); INSERT INTO boxes VALUES (1, 2, 3);
            PRAGMA writable_schema = on;
            INSERT INTO sqlite_schema VALUES
                ('table', 'foreign', 'foreign', 0, 'CREATE VIRTUAL TABLE "foreign" USING of_another_program (x)');
            """
        )
    result = source.take()
    rows = rows_by_table(SqliteFacts.model_validate(result.facts))
    assert (rows["words"], rows["boxes"], rows["words_content"]) == (2, 1, 2)
    assert "foreign" not in rows
    (warning,) = result.warnings
    assert "1 tables were not counted" in warning
    assert "foreign" not in warning  # in clear in the manifest


def test_functions_and_collations_of_an_application_are_a_warning_and_no_failure(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.create_collation("ours", lambda a, b: (a > b) - (a < b))
        connection.create_function("f", 1, lambda x: x, deterministic=True)
        connection.executescript(
            """
            CREATE TABLE plain (x); INSERT INTO plain VALUES (1);
            CREATE TABLE sorted (x TEXT COLLATE ours); CREATE INDEX by_x ON sorted (x);
            INSERT INTO sorted VALUES ('b'), ('a');
            CREATE TABLE computed (x); CREATE INDEX by_f ON computed (f(x)); INSERT INTO computed VALUES (1);
            """
        )
    result = source.take()
    assert rows_by_table(SqliteFacts.model_validate(result.facts)) == {"plain": 1, "sorted": 2, "computed": 1}
    (warning,) = result.warnings
    assert "2 of them not at all" in warning


def test_no_code_of_the_database_runs(source: SqliteSource, tmp_path: Path) -> None:
    with source.connected() as connection:
        connection.executescript(
            """
            CREATE TABLE plain (x);
            CREATE VIEW endless AS
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS body FROM n;
            CREATE VIRTUAL TABLE trap USING fts5 (body, content = 'endless');
            """
        )
    assert "trap" not in rows_by_table(source.facts())


# --------------------------------------------------------------------------------------------- bad sources


def test_a_missing_file_is_named(source: SqliteSource) -> None:
    for attempt in (source.inspect, source.take):
        with pytest.raises(SourceUnreadable, match=r"source\.db can't be opened: No such file.*check the path"):
            attempt()
    assert not source.path.exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "named pipe"])
def test_what_is_no_file_is_said_to_be_none(source: SqliteSource, make: Callable[[Path], None]) -> None:
    make(source.path)
    with pytest.raises(SourceUnreadable, match="not a regular file"):
        source.take()


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_a_named_pipe_beside_a_database_keeps_nobody_waiting(source: SqliteSource, suffix: str) -> None:
    make_sqlite_database(source.path, journal_mode="wal" if suffix != "-journal" else "delete")
    beside = Path(f"{source.path}{suffix}")
    beside.unlink(missing_ok=True)
    os.mkfifo(beside)
    with pytest.raises(SourceUnreadable, match=f"{beside.name} can't be opened: it is not a regular file"):
        source.take()


def test_a_file_that_may_not_be_read_is_said_to_be_so(source: SqliteSource) -> None:
    make_sqlite_database(source.path)
    source.path.chmod(0)
    if os.access(source.path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(SourceUnreadable, match=r"Permission denied.*give this user read access"):
        source.take()


@pytest.mark.parametrize("content", [b"xx", b"\0" * 4096, bytes(range(256)) * 32, b"SQLite format 4\0" + bytes(4080)])
def test_garbage_is_no_database(source: SqliteSource, content: bytes) -> None:
    source.path.write_bytes(content)
    for attempt in (source.inspect, source.take):
        with pytest.raises(SourceUnreadable, match="file is not a database"):
            attempt()


def test_a_truncated_file_is_damaged(source: SqliteSource) -> None:
    make_sqlite_database(source.path, megabytes=1)
    os.truncate(source.path, 300_000)
    with pytest.raises(SourceUnreadable, match="is damaged: database disk image is malformed"):
        source.take()


def test_a_damaged_page_is_found_and_told_in_the_words_of_sqlite(source: SqliteSource) -> None:
    make_sqlite_database(source.path, megabytes=4)
    make_corrupt(source.path)
    with pytest.raises(SourceUnreadable, match=r"source\.db is damaged: Tree \d+ page \d+.*earlier backup"):
        source.take()


def test_a_large_database_is_checked_quickly_and_the_facts_say_so(source: SqliteSource) -> None:
    expected = make_odd_names_sqlite_database(source.path)
    source.engine = SqliteEngine(thorough_check_size=0)
    result = source.take()
    facts = SqliteFacts.model_validate(result.facts)
    assert (facts.integrity_check, facts.quick_check) == (None, "ok")
    assert rows_by_table(facts).items() >= expected.items()
    assert result.warnings == ()


@pytest.mark.parametrize("thorough_check_size", [0, 1 << 30])
def test_an_index_that_lost_an_entry_is_found(source: SqliteSource, thorough_check_size: int) -> None:
    source.engine = SqliteEngine(thorough_check_size=thorough_check_size)
    make_sqlite_database(source.path)
    with source.connected() as connection:
        ((sql,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'note_author'").fetchall()
        connection.execute("PRAGMA writable_schema = on")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'note_author'", [sql + " WHERE id < 0"])
    with source.connected() as connection:
        connection.execute("INSERT INTO note VALUES (999999, 1, 'not in the index', '')")
        connection.execute("PRAGMA writable_schema = on")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'note_author'", [sql])
    with pytest.raises(SourceUnreadable, match=r"is damaged: .*index note_author"):
        source.take()


# ------------------------------------------------------------------------------------------------ bytes


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_what_is_sent_is_the_source_byte_for_byte(
    source: SqliteSource, page_size: int, journal_mode: JournalMode
) -> None:
    with source.connected() as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("CREATE TABLE first (x)")
    make_sqlite_database(source.path, megabytes=20, journal_mode=journal_mode)
    source.take()
    assert source.copy.read_bytes() == source.path.read_bytes()


def test_a_first_page_that_stands_in_the_wal_is_sent_first(source: SqliteSource) -> None:
    """Its schema names a table that the file itself does not know yet."""
    make_sqlite_database(source.path, megabytes=20)
    with source.connected() as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE late AS SELECT * FROM note LIMIT 7")
        before = source.path.read_bytes()
        source.take()
        assert source.path.read_bytes() == before
    assert count_sqlite_rows(source.copy)["late"] == 7


# --------------------------------------------------------------------------------------- scratch and faults


def test_scratch_that_can_not_be_written_is_told_with_the_setting(source: SqliteSource) -> None:
    make_sqlite_database(source.path)
    source.workplace.scratch.rmdir()
    source.workplace.scratch.write_text("no folder")
    with (
        pytest.raises(ScratchError, match="HHH_SCRATCH_DIR"),
        source.engine.dump(f"sqlite:///{source.path}", source.workplace, Unattended()),
    ):
        pass


def test_full_scratch_is_told_with_the_setting_and_the_next_dump_works(
    source: SqliteSource, small_filesystem: SmallFilesystem
) -> None:
    make_sqlite_database(source.path, megabytes=3)
    roomy, source.workplace = source.workplace, Workplace(small_filesystem(1 << 20))
    with pytest.raises(ScratchError, match=r"database or disk is full.*HHH_SCRATCH_DIR"):
        source.take()
    assert beside(source) == []
    source.workplace = roomy
    source.take()


def test_a_dump_that_is_left_half_way_ends_there(source: SqliteSource) -> None:
    make_sqlite_database(source.path, megabytes=40)
    before = children()
    with source.dumping() as dump:
        dump.stdout.read(1)
    assert children() <= before
    assert beside(source) == []


class CancelledWhileWaiting:
    def __init__(self, source: SqliteSource) -> None:
        self._source = source
        self._before = children()

    def report(self, progress: Progress) -> None:
        raise AssertionError("nothing can be copied")

    def raise_if_cancelled(self) -> None:
        if is_waiting(children() - self._before):
            raise Cancelled("The run was cancelled")


def test_a_run_that_is_cancelled_while_it_waits_for_a_lock_ends_there(source: SqliteSource) -> None:
    make_sqlite_database(source.path, journal_mode="delete")
    source.engine = SqliteEngine(busy_timeout_seconds=3600)
    with source.connected() as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Cancelled), source.dumping(CancelledWhileWaiting(source)):
            pass


def test_a_copier_that_is_killed_while_it_waits_is_a_failed_tool(source: SqliteSource) -> None:
    class Killer(CancelledWhileWaiting):
        def raise_if_cancelled(self) -> None:
            for process in children() - self._before:
                process.kill()

    make_sqlite_database(source.path, journal_mode="delete")
    source.engine = SqliteEngine(busy_timeout_seconds=3600)
    with source.connected() as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ToolFailed, match="The SQLite copier was ended by SIGKILL"), source.dumping(Killer(source)):
            pass


def test_the_child_ends_with_its_parent(source: SqliteSource) -> None:
    """The parent is a process of its own, killed in the middle of a dump."""
    make_sqlite_database(source.path, megabytes=8)
    program = """
import sys; from pathlib import Path
from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.sqlite.engine import SqliteEngine
with SqliteEngine().dump(sys.argv[1], Workplace(Path(sys.argv[2])), Unattended()) as dump:
    print(dump.stdout.read(1) and "begun", flush=True)
    sys.stdin.read()
"""
    arguments: list[str | Path] = [sys.executable, "-c", program, f"sqlite:///{source.path}", source.workplace.scratch]
    pipe = subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child's end")


def test_a_child_whose_parent_is_gone_while_it_copies_leaves_nothing_beside_the_source(source: SqliteSource) -> None:
    make_sqlite_database(source.path, megabytes=20)
    request = {
        "operation": "dump",
        "source": str(source.path),
        "copy": str(source.workplace.scratch / "copy.db"),
        "busy_timeout": 0,
        "thorough_check_size": 0,
        "fingerprint": "off",
    }
    reader, reports = full_pipe()
    arguments: list[str | Path] = [sys.executable, "-I", Path(child_program.__file__).parent, str(reports)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[reports]
    ) as child:
        os.close(reports)
        assert child.stdin
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        wait_until(lambda: beside(source) != [], what="the child to begin")
        child.stdin.close()
        os.close(reader)
        assert child.wait(timeout=30) == 1
        assert child.stderr
        assert child.stderr.read() == b""
    assert beside(source) == []


def full_pipe() -> tuple[int, int]:
    """A pipe that makes whoever writes to it wait."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")
    os.set_blocking(writer, True)
    return reader, writer


def beside(source: SqliteSource) -> list[str]:
    """What SQLite keeps beside a database that is open."""
    return [file.name for file in source.path.parent.glob(f"{source.path.name}-*")]


def test_the_program_needs_nothing_else_of_ours() -> None:
    imported = """
import runpy, sys
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
finally:
    print([name for name in sys.modules if name.startswith(("hhh.", "pydantic", "sqlalchemy", "pathlib"))])
"""
    arguments: list[str | Path] = [sys.executable, "-I", "-c", imported, Path(child_program.__file__).parent]
    ended = subprocess.run(arguments, capture_output=True, check=False, text=True)
    assert "invalid literal for int()" in ended.stderr  # it was told no descriptor for its reports
    modules = set(ast.literal_eval(ended.stdout)) - {"hhh.engines", "hhh.engines.sqlite", child_program.__name__}
    assert f"{child_program.__name__}.protocol" in modules
    assert {name.rpartition(".")[0] for name in modules} == {child_program.__name__}
