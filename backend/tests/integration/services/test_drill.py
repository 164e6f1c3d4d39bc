"""Drills: backups are restored into a throw-away place and compared; each fault is found, and nothing else is told."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.core.errors import Cancelled, LeaseLost, ScratchError, StorageError
from hhh.engines.base import EngineKind
from hhh.schemas.facts import ExtensionFacts, PostgresqlFacts, TableFacts
from support.drilling import Drilling, status_of, told
from support.engine_rigs import RIGS
from support.filesystems import SmallFilesystem
from support.postgres import PostgresServer
from support.postgres_rich import make_rich_database
from support.proving import Watched

ROWS = 30


def make_drilling(kind: EngineKind, request: pytest.FixtureRequest, folder: Path) -> Iterator[Drilling]:
    scratch = folder / "scratch"
    scratch.mkdir(mode=0o700)
    with RIGS[kind](request, scratch) as rig:
        yield Drilling(folder, rig)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def drilling(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drilling]:
    """Of a database with one table, on each engine in turn."""
    for drilling in make_drilling(EngineKind(request.param), request, tmp_path):
        drilling.rig.fill(ROWS)
        yield drilling


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("postgresql-thrown-away", marks=[pytest.mark.postgres, pytest.mark.soak]),
    ]
)
def compared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drilling]:
    """The same, restored on the server that is there unless it is `make soak`: what is found out is the same."""
    kind, _, is_thrown_away = request.param.partition("-")
    for drilling in make_drilling(EngineKind(kind), request, tmp_path):
        drilling.rig.fill(ROWS)
        if kind == "postgresql" and not is_thrown_away:
            drilling.server_url = drilling.rig.url
        yield drilling


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drilling]:
    """Of a SQLite file."""
    yield from make_drilling(EngineKind.SQLITE, request, tmp_path)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drilling]:
    """Of a PostgreSQL database."""
    yield from make_drilling(EngineKind.POSTGRESQL, request, tmp_path)


def name_of(drilling: Drilling) -> str:
    return "thing" if drilling.rig.kind is EngineKind.SQLITE else "public.thing"


# --------------------------------------------------------------------------------------------------- good


def test_a_good_backup_is_proven_and_measured(drilling: Drilling) -> None:
    result = drilling.drill_of(drilling.take(fingerprint="full"), assertions=[f"SELECT count(*) = {ROWS} FROM thing"])
    assert (status_of(result), result.reached) == ("success", "proven"), result
    assert result.compared[:2] == [f"1 table, {ROWS} rows", "the content of 1 table"]
    assert [(table.name, table.rows) for table in result.tables] == [("thing", ROWS)]
    assert [(each.holds, each.sql) for each in result.assertions] == [(True, f"SELECT count(*) = {ROWS} FROM thing")]
    assert result.place is not None
    assert result.isolation != []
    assert result.restore_seconds is not None
    assert result.raw_bytes is not None
    assert result.restore_bytes_per_second == pytest.approx(result.raw_bytes / result.restore_seconds)
    assert {check.status for check in result.checks} <= {"ok", "acknowledged", "unknown"}


def test_odd_names_are_no_differences(drilling: Drilling) -> None:
    drilling.rig.fill_with_odd_names()
    result = drilling.drill_of(drilling.take(fingerprint="full"))
    assert status_of(result) == "success", result


@pytest.mark.postgres
def test_objects_of_every_kind_are_no_differences(server: Drilling, any_postgres: PostgresServer) -> None:
    with any_postgres.connect(server.rig.url.rpartition("/")[2].partition("?")[0]) as connection:
        make_rich_database(connection)
    result = server.drill_of(server.take(fingerprint="full"))
    assert (result.differences, result.errors) == ([], []), result


@pytest.mark.postgres
def test_rows_that_a_restored_enum_puts_into_other_partitions_are_no_differences(server: Drilling) -> None:
    server.server_url = server.rig.url
    server.execute(
        "CREATE TYPE kind AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')",
        "CREATE TABLE whole (kind kind, n integer) PARTITION BY RANGE (n)",
        'CREATE TABLE "Spread" PARTITION OF whole FOR VALUES FROM (0) TO (50) PARTITION BY HASH (kind, n)',
        *(
            f'CREATE TABLE part_{remainder} PARTITION OF "Spread" FOR VALUES WITH (MODULUS 3, REMAINDER {remainder})'
            for remainder in range(2)
        ),
        'CREATE TABLE deep PARTITION OF "Spread" FOR VALUES WITH (MODULUS 3, REMAINDER 2) PARTITION BY HASH (kind)',
        "CREATE TABLE deepest PARTITION OF deep FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "CREATE TABLE rest PARTITION OF whole DEFAULT",
        "INSERT INTO whole SELECT kind, n FROM unnest(enum_range(NULL::kind)) kind, generate_series(0, 59) n",
    )
    taken = server.take(fingerprint="full")
    roots = {table.name: table.root for table in taken.facts.tables}
    spread = ("public", "Spread")
    assert roots == {"deepest": spread, "part_0": spread, "part_1": spread, "rest": None}
    result = server.drill_of(taken)
    assert (status_of(result), result.differences) == ("success", []), result
    assert {table.name: table.rows for table in result.tables} == {"rest": 100, "Spread": 500}
    server.execute("UPDATE whole SET kind = 'b' WHERE kind = 'a' AND n = 7")
    assert [*told(server.drill_of(server.take(), taken))] == ["content of public.Spread"]


# ------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        ("DELETE FROM thing WHERE id = 7", str(ROWS), str(ROWS - 1)),
        ("INSERT INTO thing VALUES (1000, 'more')", str(ROWS), str(ROWS + 1)),
    ],
)
def test_a_row_more_or_less_is_told_with_both_figures(
    compared: Drilling, change: str, expected: str, found: str
) -> None:
    facts = compared.take()
    compared.execute(change)
    result = compared.drill_of(compared.take(), facts)
    assert (status_of(result), result.reached) == ("failed", "readable")
    assert told(result) == {f"rows of {name_of(compared)}": (expected, found)}


def test_a_row_that_was_changed_is_found_by_its_fingerprint(compared: Drilling) -> None:
    facts = compared.take(fingerprint="full")
    compared.execute("UPDATE thing SET content = 'other' WHERE id = 7")
    result = compared.drill_of(compared.take(fingerprint="full"), facts)
    assert status_of(result) == "failed"
    assert list(told(result)) == [f"content of {name_of(compared)}"]


def test_without_fingerprints_none_is_taken_of_what_was_restored(compared: Drilling) -> None:
    result = compared.drill_of(compared.take())
    assert [table.fingerprint for table in result.tables] == [None]


def test_a_table_that_is_missing_is_told(compared: Drilling) -> None:
    facts = compared.take()
    compared.execute("DROP TABLE thing")
    result = compared.drill_of(compared.take(), facts)
    assert told(result)[f"rows of {name_of(compared)}"] == (str(ROWS), "the table is missing")


def test_an_index_that_is_missing_is_told(compared: Drilling) -> None:
    compared.execute("CREATE INDEX by_content ON thing (content)")
    facts = compared.take()
    compared.execute("DROP INDEX by_content")
    result = compared.drill_of(compared.take(), facts)
    assert status_of(result) == "failed"
    assert len(result.differences) == 1
    assert "by_content" in result.differences[0].name


#: What is there, how it is changed, and what is told of it.
CHANGES = [
    ("CREATE TABLE typed (x varchar(7))", "ALTER TABLE typed ALTER COLUMN x TYPE varchar(8)", "public.typed"),
    (
        "CREATE FUNCTION told() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION told() RETURNS integer LANGUAGE sql AS 'SELECT 2'",
        "told()",
    ),
    ("CREATE SEQUENCE numbers; SELECT setval('numbers', 700)", "SELECT setval('numbers', 699)", "public.numbers"),
    (
        "CREATE SEQUENCE down INCREMENT -1 START -1; SELECT setval('down', -700)",
        "SELECT setval('down', -699)",
        "public.down",
    ),
    ("CREATE VIEW seen AS SELECT 1 AS one", "CREATE OR REPLACE VIEW seen AS SELECT 2 AS one", "public.seen"),
    (
        "CREATE TABLE checked (id integer CHECK (id < 7))",
        "ALTER TABLE checked DROP CONSTRAINT checked_id_check",
        "chec",
    ),
    (
        "CREATE TABLE shot (); CREATE TRIGGER shooting AFTER INSERT ON shot EXECUTE FUNCTION tsvector_update_trigger()",
        "DROP TRIGGER shooting ON shot",
        "shooting",
    ),
    ("SELECT lo_from_bytea(7, 'one')", "SELECT lo_unlink(7)", "large objects"),
]


@pytest.mark.postgres
def test_each_kind_of_fault_of_postgresql_is_told_by_its_name(server: Drilling) -> None:
    server.server_url = server.rig.url
    for before, _, _ in CHANGES:
        server.execute(before)
    facts = server.take()
    for _, change, _ in CHANGES:
        server.execute(change)
    result = server.drill_of(server.take(), facts)
    assert status_of(result) == "failed"
    for _, _, name in CHANGES:
        assert any(name in each for each in told(result)), (name, result.differences)
    assert len(result.differences) == len(CHANGES) + 1, result.differences  # the bytes of large objects


@pytest.mark.parametrize(
    ("before", "changes", "name"),
    [
        (
            "SELECT 1",
            [
                "PRAGMA writable_schema = ON",
                "UPDATE sqlite_schema SET sql = replace(sql, 'BLOB', 'TEXT') WHERE name = 'thing'",
            ],
            "definition of table thing",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON thing BEGIN SELECT 1; END",
            ["DROP TRIGGER t", "CREATE TRIGGER t AFTER INSERT ON thing BEGIN SELECT 2; END"],
            "definition of trigger t",
        ),
        ("PRAGMA user_version = 3", ["PRAGMA user_version = 4"], "user_version"),
    ],
)
def test_each_kind_of_fault_of_sqlite_is_told_by_its_name(
    file: Drilling, before: str, changes: list[str], name: str
) -> None:
    file.rig.fill(1)
    file.execute(before)
    facts = file.take()
    file.execute(*changes)
    result = file.drill_of(file.take(), facts)
    assert list(told(result)) == [name]


def test_an_assertion_that_does_not_hold_is_told(compared: Drilling) -> None:
    good, bad = "SELECT max(id) > 7 FROM thing", "SELECT count(*) = 7 FROM thing"
    result = compared.drill_of(compared.take(), assertions=[good, bad])
    assert (status_of(result), result.reached) == ("failed", "readable")
    assert [(each.sql, each.holds) for each in result.assertions] == [(good, True), (bad, False)]


def test_a_dump_that_is_none_is_told(compared: Drilling) -> None:
    taken = compared.take()
    taken.content = taken.content[: len(taken.content) // 2]
    result = compared.drill_of(taken)
    assert status_of(result) == "failed", result
    assert result.errors != []


def test_a_flipped_byte_is_the_copys_fault(compared: Drilling) -> None:
    backup = compared.store(compared.take())
    [stored] = [path for path in compared.stores() if path.name.endswith(".zst") and "schema" not in path.name]
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)
    with pytest.raises(StorageError, match="damaged"):
        compared.drill(backup)


# --------------------------------------------------------------------------------- what this machine lacks


@pytest.mark.postgres
def test_without_programs_of_that_major_it_is_inconclusive_and_the_package_is_named(server: Drilling) -> None:
    taken = server.take().with_facts(server_version="14.3")
    result = server.drill_of(taken)
    assert status_of(result) == "inconclusive", result
    assert "postgresql-14" in result.lacking[0]
    assert result.reached == "readable"


@pytest.mark.postgres
def test_an_extension_that_is_not_here_is_named(server: Drilling) -> None:
    extension = ExtensionFacts(name="nowhere", version="1.0", schema_name="public")
    result = server.drill_of(server.take().with_facts(extensions=[extension]))
    assert (status_of(result), result.reached) == ("inconclusive", "readable"), result
    assert "nowhere" in result.lacking[0]


@pytest.mark.postgres
def test_a_locale_that_is_not_here_is_named(server: Drilling) -> None:
    taken = server.take()
    assert isinstance(taken.facts, PostgresqlFacts)
    there = taken.facts.database.model_copy(update={"collation": "xx_YY.UTF-8", "locale_provider": "libc"})
    result = server.drill_of(taken.with_facts(database=there))
    assert (status_of(result), result.reached) == ("inconclusive", "readable"), result
    assert "xx_YY.UTF-8" in result.lacking[0]


@pytest.mark.postgres
def test_a_dictionary_file_that_is_not_here_is_named_and_what_follows_from_it_is_no_alarm(server: Drilling) -> None:
    server.execute(
        "CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple, stopwords = 'english')",
        "CREATE TEXT SEARCH CONFIGURATION search (COPY = simple)",
        "ALTER TEXT SEARCH CONFIGURATION search ALTER MAPPING FOR word WITH plain",
        "SET allow_system_table_mods = on",
        "UPDATE pg_ts_dict SET dictinitoption = 'stopwords = ''klingon''' WHERE dictname = 'plain'",
    )
    result = server.drill_of(server.take())
    assert (status_of(result), result.reached) == ("inconclusive", "readable"), result
    assert "klingon.stop" in result.lacking[0]
    assert any("klingon.stop" in warning for warning in result.warnings)


@pytest.mark.postgres
def test_rows_that_name_a_role_that_nothing_else_knows_are_no_alarm(server: Drilling) -> None:
    server.execute(
        "CREATE ROLE hhh_drilled",
        "CREATE TABLE naming AS SELECT 'hhh_drilled'::regrole AS a",
        "CREATE TABLE granting AS SELECT 'hhh_drilled=r/hhh_drilled'::aclitem AS a",
    )
    try:
        result = server.drill_of(server.take())
    finally:
        server.execute("DROP ROLE hhh_drilled")
    assert (status_of(result), result.reached, result.differences) == ("inconclusive", "readable", []), result
    assert "role hhh_drilled" in result.lacking[0]
    for table in ("naming", "granting"):
        assert any(table in warning for warning in result.warnings), result.warnings


@pytest.mark.postgres
def test_what_only_a_superuser_may_make_is_made_where_the_operator_accepts_that(server: Drilling) -> None:
    server.rig.fill(ROWS)
    server.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    taken = server.take()
    result = server.drill_of(taken)
    assert (status_of(result), result.reached) == ("inconclusive", "readable"), result
    assert "--drill-acknowledge superuser_objects" in result.lacking[0]
    result = server.drill_of(taken, drill_acknowledge=["superuser_objects"])
    assert (status_of(result), result.differences) == ("success", []), result


def test_what_only_the_application_has_makes_it_inconclusive(file: Drilling) -> None:
    file.rig.fill(1)
    file.execute("CREATE TABLE sorted (name TEXT COLLATE NOCASE)", "CREATE INDEX by_name ON sorted (name)")
    file.execute(
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'HOUSE') WHERE name = 'sorted'",
    )
    result = file.drill_of(file.take())
    assert status_of(result) == "inconclusive", result
    assert "collation HOUSE" in result.lacking[0]


def test_scratch_that_is_too_small_is_told_with_both_figures(
    drilling: Drilling, small_filesystem: SmallFilesystem
) -> None:
    backup = drilling.store(drilling.take())
    drilling.scratch_dir = small_filesystem(16 << 10)
    with pytest.raises(ScratchError) as scratch:
        drilling.drill(backup)
    assert "are free, and" in str(scratch.value)
    purpose = "for the database" if drilling.rig.kind is EngineKind.SQLITE else "to restore the dump of"
    assert f" are needed {purpose}" in str(scratch.value)


@pytest.mark.postgres
def test_a_disk_that_holds_the_dump_but_no_server_leaves_it_readable(
    server: Drilling, small_filesystem: SmallFilesystem
) -> None:
    server.rig.fill(ROWS)
    backup = server.store(server.take())
    server.scratch_dir = small_filesystem(1 << 20)
    result = server.drill(backup)
    assert (status_of(result), result.reached) == ("inconclusive", "readable"), result
    assert re.search(r"MB are free, and about \d+\.\d MB are needed", result.lacking[0])


# ------------------------------------------------------------------------------------------- hostile dumps


#: What a function does while its table is restored, and what the server says to that.
TRAPS = {
    "COPY (SELECT 1) TO PROGRAM 'touch {marker}'": "permission denied to COPY to or from an external program",
    "COPY (SELECT 1) TO '{marker}'": "permission denied to COPY to a file",
    "PERFORM pg_read_file('/etc/passwd')": "permission denied for function pg_read_file",
    "PERFORM lo_export(1, '{marker}')": "permission denied for function lo_export",
    "SET ROLE hhh_drill": 'permission denied to set role "hhh_drill"',
}


@pytest.mark.postgres
def test_a_dump_that_runs_programs_or_reaches_files_or_the_network_is_refused_by_the_server(
    server: Drilling, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    marker = tmp_path / "marker"
    for number, body in enumerate(TRAPS):
        trap = f"CREATE OR REPLACE FUNCTION trap{number}() RETURNS boolean LANGUAGE plpgsql AS"
        server.execute(
            f"{trap} $$ BEGIN RETURN true; END $$",
            f"CREATE TABLE bait{number} (id integer CHECK (trap{number}()))",
            f"INSERT INTO bait{number} VALUES (1)",
            f"{trap} $$ BEGIN {body.format(marker=marker)}; RETURN true; END $$",
        )
    result = server.drill_of(server.take())
    assert status_of(result) == "failed", result
    for refusal in TRAPS.values():
        assert any(refusal in error for error in result.errors), (refusal, result.errors)
    assert not marker.exists()


# ------------------------------------------------------------------------------------------- interruptions


def test_a_drill_that_is_ended_at_any_stage_leaves_nothing(drilling: Drilling) -> None:
    backup = drilling.store(drilling.take())
    for stage, error in (
        ("checks", Cancelled),
        ("download", KeyboardInterrupt),
        ("restore", Cancelled),
        ("compare", LeaseLost),
    ):
        with pytest.raises(error):
            drilling.drill(backup, Watched(stage, error))


def test_tables_that_were_restored_are_told(compared: Drilling) -> None:
    result = compared.drill_of(compared.take())
    schema = "" if compared.rig.kind is EngineKind.SQLITE else "public"
    assert result.tables == [TableFacts(schema_name=schema, name="thing", rows=ROWS)]
