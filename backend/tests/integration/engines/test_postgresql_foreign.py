"""Facts of dumps that somebody else made, held against those that the engine takes from the server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql

from hhh.core.errors import Cancelled, InvalidInput, SourceUnreadable, ToolFailed
from hhh.core.run import Progress, Unattended
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.contents import contents, definitions
from hhh.engines.postgresql.foreign import facts_of_dump
from hhh.schemas.facts import PostgresqlFacts, SequenceFacts, TableFacts
from support.postgres import PostgresServer
from support.postgres_data import ODD_SCHEMA, make_odd_names_database
from support.postgres_dumps import dump_by_hand, take_dump

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Source:
    """A database, and the facts that the engine takes from it."""

    server: PostgresServer
    database: str
    facts: PostgresqlFacts

    def facts_of_dump(self, path: Path, *options: str) -> PostgresqlFacts:
        dump_by_hand(self.server, self.database, path, *options)
        return facts_of_dump(path, self.server.bin_dir / "pg_restore", Unattended())


@pytest.fixture(scope="module")
def odd(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Odd names, odd kinds of table, large objects; once per major."""
    database = postgres.create_database()
    with postgres.connect(database) as connection:
        make_odd_names_database(connection)
    _, result = take_dump(postgres, postgres.url(database), tmp_path_factory.mktemp("scratch"))
    assert isinstance(result.facts, PostgresqlFacts)
    yield Source(postgres, database, result.facts)
    postgres.drop_database(database)


def tables(facts: PostgresqlFacts) -> dict[tuple[str, str], int]:
    return {(table.schema_name, table.name): table.rows for table in facts.tables}


def sequences(facts: PostgresqlFacts) -> dict[tuple[str, str], SequenceFacts]:
    return {(sequence.schema_name, sequence.name): sequence for sequence in facts.sequences}


@pytest.mark.parametrize(
    "options", [(), ("--compress=0",), ("--inserts",), ("--column-inserts", "--rows-per-insert=2")], ids=" ".join
)
def test_a_dump_tells_the_same_as_the_server(odd: Source, tmp_path: Path, options: tuple[str, ...]) -> None:
    facts = odd.facts_of_dump(tmp_path / "dump", *options)
    assert tables(facts) == tables(odd.facts)
    assert sequences(facts) == sequences(odd.facts)
    assert facts.large_objects.count == odd.facts.large_objects.count == 2
    assert facts.server_version == odd.facts.server_version
    assert set(facts.roles) <= set(odd.facts.roles)


def test_the_database_itself_is_described(odd: Source, tmp_path: Path) -> None:
    described = odd.facts_of_dump(tmp_path / "dump")
    assert described.database == odd.facts.database.model_copy(update={"settings": [], "collation_version": None})
    assert described.warnings == ["The settings of the database are in the dump and not in these facts"]


@pytest.mark.parametrize(
    "locale",
    [
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
        "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
        "ENCODING LATIN1 LOCALE 'C'",
    ],
)
def test_the_locale_is_told_whoever_provides_it(postgres18: PostgresServer, tmp_path: Path, locale: str) -> None:
    name = "it's TEMPLATE = x ENCODING = 'y'"
    postgres18.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 {locale}')
    (tmp_path / "scratch").mkdir()
    archive, result = take_dump(postgres18, postgres18.url(name), tmp_path / "scratch")
    postgres18.drop_database(name)
    assert isinstance(result.facts, PostgresqlFacts)
    (tmp_path / "dump").write_bytes(archive)
    facts = facts_of_dump(tmp_path / "dump", postgres18.bin_dir / "pg_restore", Unattended())
    expected = result.facts.database
    assert facts.database == expected.model_copy(update={"collation_version": None})


def test_a_dump_of_rows_alone_is_refused(odd: Source, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="rows and no tables"):
        odd.facts_of_dump(tmp_path / "dump", "--data-only")


def test_a_dump_without_rows_has_empty_tables(odd: Source, tmp_path: Path) -> None:
    facts = odd.facts_of_dump(tmp_path / "dump", "--schema-only")
    assert tables(facts) == dict.fromkeys(tables(odd.facts), 0)


def test_owners_grantees_and_the_roles_of_policies_are_named(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    names = [f"{kind} of {postgres_database}" for kind in ("owner", 'gran"tee', "guest", "TO guest")]
    owner, grantee, guest, other = map(sql.Identifier, names)
    with postgres.connect(postgres_database, autocommit=True) as connection:
        for role in (owner, grantee, guest, other):
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute('CREATE TABLE "t TO nobody" (n integer)')
        connection.execute(sql.SQL('ALTER TABLE "t TO nobody" OWNER TO {}').format(owner))
        connection.execute(sql.SQL('GRANT SELECT ON "t TO nobody" TO {}, PUBLIC').format(grantee))
        connection.execute(
            sql.SQL('CREATE POLICY "p TO p" ON "t TO nobody" TO {}, {} USING (n > 0)').format(guest, other)
        )
    dump_by_hand(postgres, postgres_database, tmp_path / "dump")
    with postgres.connect(postgres_database, autocommit=True) as connection:
        for role in (owner, grantee, guest, other):
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
    facts = facts_of_dump(tmp_path / "dump", postgres.bin_dir / "pg_restore", Unattended())
    assert set(facts.roles) == {*names, postgres.superuser}


def test_what_is_in_a_dump_is_told_without_restoring_it(odd: Source, tmp_path: Path) -> None:
    dump_by_hand(odd.server, odd.database, tmp_path / "dump")
    archive = Archive.read(tmp_path / "dump")
    listed = contents(archive)
    assert (f"TABLE {ODD_SCHEMA}.new\nline", odd.server.superuser) in listed
    assert ("MATERIALIZED VIEW public.summed", odd.server.superuser) in listed
    assert not [named for named, _ in listed if named.startswith(("TABLE DATA", "COMMENT", "SEQUENCE SET"))]
    definition = definitions(archive)[ODD_SCHEMA, "new\nline"]
    assert definition.startswith('CREATE TABLE "sche""ma; of\nits own"."new\nline" (')
    assert (ODD_SCHEMA, "none") not in definitions(archive)


def test_plain_sql_is_not_taken(any_postgres: PostgresServer, tmp_path: Path) -> None:
    dump_by_hand(any_postgres, "postgres", tmp_path / "plain.sql", "--format=plain")
    with pytest.raises(InvalidInput) as refused:
        facts_of_dump(tmp_path / "plain.sql", any_postgres.bin_dir / "pg_restore", Unattended())
    assert refused.value.hint == (
        "plain SQL is not taken: psql would run its commands; make a custom-format dump with pg_dump -Fc"
    )


def test_a_dump_that_ends_among_its_rows_is_refused(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    any_postgres.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 5000) n", database=database)
    path = tmp_path / "dump"
    dump_by_hand(any_postgres, database, path, "--compress=0")
    any_postgres.drop_database(database)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises((ToolFailed, SourceUnreadable)):
        facts_of_dump(path, any_postgres.bin_dir / "pg_restore", Unattended())


def test_counting_can_be_cancelled(any_postgres: PostgresServer, tmp_path: Path) -> None:
    class CancelledRun:
        def report(self, progress: Progress) -> None: ...

        def raise_if_cancelled(self) -> None:
            raise Cancelled("by the operator")

    database = any_postgres.create_database()
    any_postgres.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 10) n", database=database)
    dump_by_hand(any_postgres, database, tmp_path / "dump")
    any_postgres.drop_database(database)
    with pytest.raises(Cancelled):
        facts_of_dump(tmp_path / "dump", any_postgres.bin_dir / "pg_restore", CancelledRun())


def test_rows_of_a_partitioned_table_are_those_of_its_partitions(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE whole (n integer) PARTITION BY HASH (n)")
        connection.execute("CREATE TABLE half PARTITION OF whole FOR VALUES WITH (MODULUS 2, REMAINDER 0)")
        connection.execute("CREATE TABLE rest PARTITION OF whole FOR VALUES WITH (MODULUS 2, REMAINDER 1)")
        connection.execute("INSERT INTO whole SELECT generate_series(1, 100)")
        [(half,)] = connection.execute("SELECT count(*) FROM half").fetchall()
    dump_by_hand(postgres, postgres_database, tmp_path / "dump")
    facts = facts_of_dump(tmp_path / "dump", postgres.bin_dir / "pg_restore", Unattended())
    assert facts.tables == [
        TableFacts(schema_name="public", name="half", rows=half),
        TableFacts(schema_name="public", name="rest", rows=100 - half),
    ]
