"""What backups of SQLite are good for: read through, restored to a throw-away file, compared and asked."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import psutil
import pytest
from rich.filesize import decimal

from hhh.core.errors import ArtifactDamaged, Cancelled, Lacking
from hhh.core.run import Unattended
from hhh.engines.proving import Place
from hhh.engines.restoring import Built, RestoreSource
from hhh.engines.sqlite.proving import SqliteProver
from hhh.engines.sqlite.restore import SqliteRestorer
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.restore import Difference
from hhh.schemas.verification import Asserted
from support.filesystems import SmallFilesystem
from support.proving import changing
from support.sqlite_data import make_corrupt, make_odd_names_sqlite_database, make_sqlite_database
from support.sqlite_source import SqliteSource

RICH = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent, content BLOB);
    CREATE TABLE log (what TEXT);
    CREATE INDEX by_parent ON child (parent);
    CREATE VIEW whole AS
        SELECT name, count(*) AS children FROM parent JOIN child ON parent.id = child.parent GROUP BY 1;
    CREATE TRIGGER logged AFTER INSERT ON child BEGIN INSERT INTO log VALUES ('insert'); END;
    CREATE VIRTUAL TABLE words USING fts5 (body);
    INSERT INTO words VALUES ('one two'), ('three');
    INSERT INTO parent VALUES (1, 'one'), (2, 'two');
    INSERT INTO child VALUES (1, 1, x'00'), (2, 1, zeroblob(100000)), (3, 2, NULL);
"""


class Proving:
    """A source, and what a prover makes of its backup."""

    def __init__(self, folder: Path) -> None:
        self.source = SqliteSource(folder)
        self.workplace = self.source.workplace
        self.prover = SqliteProver(assertion_seconds=2)
        self.dump = self.workplace.scratch / "dump"

    def back_up(self, *changes: str) -> RestoreSource:
        """A backup, in whose dump the changes are made that its facts know nothing of."""
        result = self.source.take()
        if changes:
            with changing(self.source.copy) as connection:
                for change in changes:
                    connection.execute(change)
        self.dump.write_bytes(self.source.copy.read_bytes())
        assert isinstance(result.facts, SqliteFacts)
        return RestoreSource(result.facts, result.versions, self.dump.stat().st_size, {}, self.dump)

    @contextlib.contextmanager
    def restored(self, *changes: str) -> Iterator[tuple[RestoreSource, Built, Place]]:
        """The backup, restored to a throw-away file."""
        source = self.back_up(*changes)
        with self.prover.throw_away(source, None, self.workplace, Unattended()) as place:
            yield source, SqliteRestorer().build(source, place.destination, self.workplace, Unattended()), place
        assert list(self.workplace.scratch.iterdir()) == []

    def read_through(self, run: Unattended | None = None) -> str:
        """The dump, in pieces."""
        content = self.dump.read_bytes()
        pieces = (content[at : at + 65536] for at in range(0, len(content), 65536))
        return self.prover.read_through(pieces, len(content), self.workplace, run or Unattended())

    def compare(self, *changes: str) -> tuple[str, dict[str, Difference]]:
        """The definitions, with those changes in what was restored."""
        with self.restored(*changes) as (source, built, place):
            said, found = self.prover.compare_schemas(source, built, place, self.workplace, Unattended())
        return said, {each.name: each for each in found}

    def ask(self, *assertions: str) -> list[Asserted]:
        """Of what was restored, which stays as it was."""
        with self.restored() as (_, built, place):
            before = Path(place.destination.name).parent
            content = {file.name: file.read_bytes() for file in before.iterdir()}
            answers = list(self.prover.ask(assertions, built, place, self.workplace, Unattended()))
            assert {file.name: file.read_bytes() for file in before.iterdir()} == content
        return answers


@pytest.fixture
def proving(tmp_path: Path) -> Proving:
    """Of a database of all kinds of objects."""
    proving = Proving(tmp_path)
    with changing(proving.source.path) as connection:
        connection.executescript(RICH)
    return proving


def make_with_parts_of_an_application(path: Path) -> None:
    """A database that needs a collation, a function and a module that only its application has."""

    class Module:
        def Create(self, *_: object) -> tuple[str, "Module"]:  # noqa: N802  apsw's
            return "CREATE TABLE x (a)", self

        Connect = Create

        def Disconnect(self) -> None:  # noqa: N802
            pass

        Destroy = Disconnect

        def BestIndex(self, *_: object) -> None:  # noqa: N802
            return None

    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.create_collation("house", lambda one, other: (one > other) - (one < other))
        connection.create_scalar_function("twice", lambda *values: values[0], 1, deterministic=True)
        connection.create_module("odd_module", Module())  # type: ignore[arg-type]
        connection.execute("CREATE TABLE sorted (name TEXT COLLATE house); CREATE INDEX by_name ON sorted (name)")
        connection.execute("CREATE TABLE doubled (value); CREATE INDEX by_double ON doubled (twice(value))")
        connection.execute("INSERT INTO sorted VALUES ('a'), ('b'); INSERT INTO doubled VALUES (1), (2)")
        connection.execute("CREATE VIRTUAL TABLE elsewhere USING odd_module ()")


# ------------------------------------------------------------------------------------------ read through


def test_a_dump_is_read_to_its_end(proving: Proving) -> None:
    proving.back_up()
    said = proving.read_through()
    assert said.startswith("integrity_check of 9 tables, ")
    assert said.endswith("pages, foreign_key_check")
    assert list(proving.workplace.scratch.iterdir()) == [proving.dump]


@pytest.mark.parametrize("make", [make_sqlite_database, make_odd_names_sqlite_database])
@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_databases_of_every_kind_are_read_through(
    tmp_path: Path, make: Callable[..., dict[str, int]], journal_mode: str
) -> None:
    proving = Proving(tmp_path)
    make(proving.source.path, journal_mode=journal_mode)
    proving.back_up()
    assert "foreign_key_check" in proving.read_through()


def test_an_empty_database_is_read_through(tmp_path: Path) -> None:
    proving = Proving(tmp_path)
    proving.source.path.touch()
    proving.back_up()
    assert proving.read_through().startswith("integrity_check of 0 tables")


def test_damaged_pages_are_found(tmp_path: Path) -> None:
    proving = Proving(tmp_path)
    make_sqlite_database(proving.source.path, megabytes=1)
    proving.back_up()
    make_corrupt(proving.dump)
    with pytest.raises(ArtifactDamaged, match="no sound SQLite database"):
        proving.read_through()
    assert list(proving.workplace.scratch.iterdir()) == [proving.dump]


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_what_is_no_database_is_found(proving: Proving, content: bytes) -> None:
    proving.dump.write_bytes(content)
    with pytest.raises(ArtifactDamaged, match="no sound SQLite database"):
        proving.read_through()


def test_an_index_that_lacks_a_row_is_found(proving: Proving) -> None:
    proving.back_up()
    with changing(proving.dump) as connection:
        [root] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'by_parent'").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'by_parent'")
    with changing(proving.dump) as connection:
        connection.execute("INSERT INTO child VALUES (4, 2, 'new')")
        connection.execute("PRAGMA writable_schema = ON")
        sql = "CREATE INDEX by_parent ON child (parent)"
        connection.execute("INSERT INTO sqlite_schema VALUES ('index', 'by_parent', 'child', ?, ?)", (root, sql))
    with pytest.raises(ArtifactDamaged, match="by_parent"):
        proving.read_through()


def test_rows_that_refer_to_none_are_told_and_no_fault_of_the_backup(proving: Proving) -> None:
    with changing(proving.source.path) as connection:
        connection.execute("INSERT INTO child VALUES (9, 77, NULL), (10, 78, NULL)")
        connection.execute("CREATE TABLE odd (id REFERENCES parent (name))")
    proving.back_up()
    said = proving.read_through()
    assert "2 rows refer to others that the source does not have either" in said
    assert 'foreign key mismatch - "odd" referencing "parent"' in said


def test_what_only_the_application_has_is_named(tmp_path: Path) -> None:
    proving = Proving(tmp_path)
    make_with_parts_of_an_application(proving.source.path)
    proving.back_up()
    with pytest.raises(Lacking) as lacking:
        proving.read_through()
    for name in ("collation house", "function twice", "module odd_module"):
        assert name in str(lacking.value)
    with proving.restored() as (source, built, place), pytest.raises(Lacking, match="collation house"):
        proving.prover.compare_schemas(source, built, place, proving.workplace, Unattended())


def test_scratch_that_is_too_small_is_told_with_both_figures(
    proving: Proving, small_filesystem: SmallFilesystem
) -> None:
    source = proving.back_up()
    small = replace(proving.workplace, scratch=small_filesystem(64 << 10))
    free = os.statvfs(small.scratch).f_bavail * os.statvfs(small.scratch).f_frsize
    pattern = f"{decimal(free)} are free, and {decimal(source.raw_size)} are needed for the database"
    with pytest.raises(Lacking, match=pattern):
        proving.prover.read_through(iter([bytes(1)]), source.raw_size, small, Unattended())
    planned = replace(source, dump=None)
    with pytest.raises(Lacking, match=pattern), proving.prover.throw_away(planned, None, small, Unattended()):
        pass


def test_reading_can_be_cancelled_while_the_child_works(proving: Proving) -> None:
    class Cancelling(Unattended):
        def raise_if_cancelled(self) -> None:
            if any(child.name().startswith("python") for child in psutil.Process().children()):
                raise Cancelled("ended by the test")

    proving.back_up()
    with pytest.raises(Cancelled):
        proving.read_through(Cancelling())
    assert list(proving.workplace.scratch.iterdir()) == [proving.dump]


# ------------------------------------------------------------------------------------------ the comparison


def test_a_place_is_private_and_described(proving: Proving) -> None:
    with proving.restored() as (_, built, place):
        folder = Path(place.destination.name).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert place.description.startswith("SQLite 3.")
        assert built.errors == ()


def test_what_was_restored_is_the_same(proving: Proving) -> None:
    said, found = proving.compare()
    assert found == {}
    assert said.startswith("12 definitions, integrity_check of 9 tables")


@pytest.mark.parametrize(
    ("change", "name", "expected", "found"),
    [
        (
            "ALTER TABLE parent RENAME COLUMN name TO title",
            "definition of table parent",
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, title TEXT NOT NULL)",
        ),
        ("DROP TABLE log", "definition of table log", "CREATE TABLE log (what TEXT)", "none"),
        ("CREATE TABLE more (x)", "definition of table more", "none", "CREATE TABLE more (x)"),
    ],
)
def test_another_definition_is_found_with_both_texts(
    proving: Proving, change: str, name: str, expected: str, found: str
) -> None:
    _, differences = proving.compare(change)
    assert differences[name] == Difference(name=name, expected=expected, found=found)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "definition of table child",
            [
                "PRAGMA writable_schema = ON",
                "UPDATE sqlite_schema SET sql = replace(sql, 'content BLOB', 'content TEXT') WHERE name = 'child'",
            ],
        ),
        (
            "definition of trigger logged",
            [
                "DROP TRIGGER logged",
                "CREATE TRIGGER logged AFTER INSERT ON child BEGIN INSERT INTO log VALUES ('other'); END",
            ],
        ),
        ("definition of index by_parent", ["DROP INDEX by_parent", "CREATE INDEX by_parent ON child (parent DESC)"]),
        ("definition of view whole", ["DROP VIEW whole", "CREATE VIEW whole AS SELECT 1 AS name, 2 AS children"]),
    ],
)
def test_each_kind_of_object_is_compared(proving: Proving, name: str, changes: list[str]) -> None:
    _, differences = proving.compare(*changes)
    assert list(differences) == [name]


def test_a_backup_without_definitions_is_told(proving: Proving) -> None:
    with proving.restored() as (source, built, place):
        assert isinstance(source.facts, SqliteFacts)
        older = replace(source, facts=source.facts.model_copy(update={"definitions": None}))
        said, found = proving.prover.compare_schemas(older, built, place, proving.workplace, Unattended())
    assert "kept no definitions" in said
    assert not found


def test_definitions_in_any_encoding_are_compared(tmp_path: Path) -> None:
    proving = Proving(tmp_path)
    with changing(proving.source.path) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE täble (x DEFAULT 'ö')")
    facts = proving.source.facts()
    assert facts.definitions == [("table", "täble", "täble", "CREATE TABLE täble (x DEFAULT 'ö')")]


def test_a_definition_that_is_no_text_fails_no_backup(tmp_path: Path) -> None:
    proving = Proving(tmp_path)
    with contextlib.closing(apsw.Connection(str(proving.source.path))) as connection:
        connection.execute("CREATE TABLE odd (x DEFAULT 'AAAA')")
    proving.source.path.write_bytes(proving.source.path.read_bytes().replace(b"AAAA", b"\xff\xfe\xfd\xfc"))
    facts = proving.source.facts()
    assert facts.definitions is not None
    assert facts.definitions[0][3] == r"CREATE TABLE odd (x DEFAULT '\xff\xfe\xfd\xfc')"


# ------------------------------------------------------------------------------------------ the assertions

TRUE = [
    "SELECT count(*) = 2 FROM parent",
    "SELECT 1",
    "  SELECT sum(children) = 3 FROM whole; -- of a view\n",
    "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 100) SELECT max(x) = 100 FROM r",
    "SELECT count(*) = 1 FROM words WHERE words MATCH 'two'",
    "SELECT user_version = 0 FROM pragma_user_version",
    "SELECT count(*) = 3 FROM pragma_table_info('child')",
    "SELECT json_extract('{\"a\": 1}', '$.a')",
    "SELECT count(*) = 0 FROM pragma_foreign_key_check",
    "VALUES (1)",
]


def test_what_is_true_holds(proving: Proving) -> None:
    answers = proving.ask(*TRUE)
    assert [(each.sql, each.holds, each.found) for each in answers] == [(sql, True, "1") for sql in TRUE]
    assert all(each.seconds > 0 for each in answers)


NOT_TRUE = {
    "SELECT count(*) = 3 FROM parent": "0",
    "SELECT NULL": "NULL",
    "SELECT '1'": "1",
    "SELECT 2": "2",
    "SELECT 1 WHERE false": "no row",
    "SELECT 1 FROM parent": "more than one row",
    "SELECT 1, 1": "2 columns",
    "SELECT 1; SELECT 1": "it is more than one statement",
    "SELECT 1 WHERE false; SELECT 1": "it is more than one statement",
    "-- nothing": "no row",
    "SELECT ?": "bindings",
    "SELECT absent FROM parent": "no such column: absent",
    "SELECT 1 FROM nowhere": "no such table: nowhere",
    "SELEC 1": "syntax error",
}


def test_what_is_not_true_holds_not_and_says_why(proving: Proving) -> None:
    for answer in proving.ask(*NOT_TRUE):
        assert not answer.holds, answer
        assert NOT_TRUE[answer.sql] in answer.found


FORBIDDEN = [
    "INSERT INTO parent VALUES (3, 'three')",
    "INSERT INTO parent VALUES (3, 'three') RETURNING 1",
    "DELETE FROM child RETURNING 1",
    "UPDATE parent SET name = 'x'",
    "CREATE TABLE mine (x)",
    "CREATE TEMP TABLE mine (x)",
    "DROP TABLE parent",
    "PRAGMA user_version = 7",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "PRAGMA Journal_Mode = delete",
    "PRAGMA wal_checkpoint",
    "SELECT * FROM pragma_optimize",
    "ATTACH '/etc/passwd' AS other",
    "VACUUM INTO 'elsewhere.db'",
    "BEGIN IMMEDIATE",
    "SAVEPOINT mine",
    "REINDEX",
    "ANALYZE",
    "SELECT load_extension('/lib/libc.so.6')",
    "SELECT LOAD_EXTENSION('/lib/libc.so.6', 'main')",
    "SELECT fts3_tokenizer('simple')",
]


def test_an_assertion_may_do_nothing_but_read(proving: Proving) -> None:
    for answer in proving.ask(*FORBIDDEN):
        assert not answer.holds, answer
        assert answer.found.startswith(("not authorized", "authorization denied")), answer


@pytest.mark.parametrize("function", ["readfile('/etc/passwd')", "writefile('/tmp/x', 'x')", "edit('x')"])
def test_functions_that_reach_files_are_not_there(proving: Proving, function: str) -> None:
    with pytest.raises(Lacking, match="function"):
        proving.ask(f"SELECT {function}")


def test_an_assertion_that_needs_what_only_the_application_has_is_inconclusive(proving: Proving) -> None:
    with pytest.raises(Lacking, match="collation house"):
        proving.ask("SELECT 'a' = 'b' COLLATE house")


LOOPING = "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r"


def test_an_assertion_that_loops_is_ended_and_the_next_is_asked(proving: Proving) -> None:
    looped, other = proving.ask(LOOPING, "SELECT 1")
    assert (looped.holds, looped.found) == (False, "it took more than 2 seconds")
    assert other.holds


def test_an_assertion_that_sqlite_does_not_interrupt_is_ended_from_outside(proving: Proving) -> None:
    proving.prover = SqliteProver(assertion_seconds=0.1)
    [answer] = proving.ask("SELECT instr(hex(zeroblob(10000000)), hex(zeroblob(5000000)) || '1')")
    assert (answer.holds, answer.found) == (False, "it took more than 0.1 seconds")


def test_an_assertion_can_not_take_all_memory(proving: Proving) -> None:
    [answer] = proving.ask("SELECT length(zeroblob(900000000) || 'x') > 0")
    assert (answer.holds, answer.found) == (False, "out of memory")


@pytest.mark.soak
def test_an_assertion_may_sort_more_than_its_memory(proving: Proving) -> None:
    rows = "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 30000)"
    proving.prover = SqliteProver(assertion_seconds=60)
    [answer] = proving.ask(f"{rows} SELECT count(*) = 30000 FROM (SELECT randomblob(10000) AS b FROM r ORDER BY b)")
    assert answer.holds, answer


def test_asking_can_be_cancelled(proving: Proving) -> None:
    class Cancelling(Unattended):
        def raise_if_cancelled(self) -> None:
            raise Cancelled("ended by the test")

    with proving.restored() as (_, built, place), pytest.raises(Cancelled):
        proving.prover.ask([LOOPING], built, place, proving.workplace, Cancelling())
