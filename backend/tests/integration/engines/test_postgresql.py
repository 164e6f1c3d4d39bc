"""Facts and dumps of real servers of every major."""

import contextlib
import os
import re
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from psycopg import sql

from hhh.core.errors import ToolMissing
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.schemas.facts import PostgresqlFacts
from support.postgres import PostgresServer, PrivatePostgres
from support.postgres_data import count_rows, make_odd_names_database, make_realistic_database
from support.postgres_dumps import dumping, listing, read_to_end, restore, take_dump

pytestmark = pytest.mark.postgres


def facts_of(server: PostgresServer, database: str, scratch: Path) -> PostgresqlFacts:
    _, result = take_dump(server, server.url(database), scratch)
    assert isinstance(result.facts, PostgresqlFacts)
    return result.facts


def test_every_table_is_counted_and_restored_whatever_it_is_called_and_whatever_shadows_the_built_ins(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        expected = make_odd_names_database(connection)
    archive, result = take_dump(postgres, postgres.url(postgres_database), tmp_path)
    assert isinstance(result.facts, PostgresqlFacts)
    assert {(table.schema_name, table.name): table.rows for table in result.facts.tables} == expected

    restored = postgres.create_database()
    restore(postgres, archive, restored)
    with postgres.connect(restored) as connection:
        connection.execute("SET row_security = off; SET search_path = ''")
        assert count_rows(connection, list(expected)) == expected
    postgres.drop_database(restored)


def test_the_database_itself_is_described(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    role = f"reader of {postgres_database}"
    database = sql.Identifier(postgres_database)
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("ALTER DATABASE {} SET work_mem = '5MB'").format(database))
        connection.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET app.secret = 'x y'").format(sql.Identifier(role), database)
        )
        [(identifier,)] = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchall()
        [(version,)] = connection.execute("SHOW server_version").fetchall()
    facts = facts_of(postgres, postgres_database, tmp_path)
    assert facts.server_version == version
    assert facts.system_identifier == identifier
    assert facts.database.name == postgres_database
    assert facts.database.owner == postgres.superuser
    assert (facts.database.encoding, facts.database.locale_provider) == ("UTF8", "libc")
    assert (facts.database.collation, facts.database.character_type) == ("C.UTF-8", "C.UTF-8")
    assert facts.database.settings == [("", "work_mem=5MB"), (role, "app.secret=x y")]
    assert role in facts.roles
    assert postgres.superuser in facts.roles
    assert [(each.name, each.schema_name) for each in facts.extensions] == [("plpgsql", "pg_catalog")]


def test_what_the_services_environment_says_of_the_connection_counts_for_pg_dump_too(
    any_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = any_postgres.create_database()
    monkeypatch.setenv("PGUSER", any_postgres.superuser)
    monkeypatch.setenv("PGPORT", str(any_postgres.port))
    url = f"postgresql://{any_postgres.host}/{database}?password={quote(any_postgres.password, safe='')}"
    archive, _ = take_dump(any_postgres, url, tmp_path)
    assert archive.startswith(b"PGDMP")
    any_postgres.drop_database(database)


def test_a_database_with_icu_says_so(postgres: PostgresServer, tmp_path: Path) -> None:
    name = f"icu_{os.getpid()}"
    try:
        postgres.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LOCALE 'C.UTF-8'"
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")
    facts = facts_of(postgres, name, tmp_path)
    assert (facts.database.locale_provider, facts.database.icu_locale) == ("icu", "de-AT")
    assert facts.database.collation_version
    postgres.drop_database(name)


def test_owners_grantees_and_roles_of_policies_are_named(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    ways = ["owner", "grantee", "column grantee", "policy", "default grantee", "mapped"]
    roles = {way: f"{way} {postgres_database}" for way in ways}
    names = {way: sql.Identifier(role) for way, role in roles.items()}
    with postgres.connect(postgres_database) as connection:
        for name in names.values():
            connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        connection.execute("CREATE TABLE t (a int); CREATE SCHEMA s; CREATE FOREIGN DATA WRAPPER w")
        connection.execute("CREATE SERVER far FOREIGN DATA WRAPPER w")
        for statement, way in (
            ("ALTER SCHEMA s OWNER TO {}", "owner"),
            ("GRANT SELECT ON t TO {}", "grantee"),
            ("GRANT SELECT (a) ON t TO {}", "column grantee"),
            ("CREATE POLICY p ON t TO {}", "policy"),
            ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {}", "default grantee"),
            ("CREATE USER MAPPING FOR {} SERVER far OPTIONS (password 'hunter2')", "mapped"),
        ):
            connection.execute(sql.SQL(statement).format(names[way]))
    facts = facts_of(postgres, postgres_database, tmp_path)
    assert set(roles.values()) <= set(facts.roles)
    assert "hunter2" not in facts.model_dump_json()


def test_sequences_are_read_with_what_the_next_value_depends_on(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE SEQUENCE fresh START 5; CREATE SEQUENCE used INCREMENT -3; CREATE SEQUENCE put_back")
        connection.execute("SELECT nextval('used'), nextval('used'), setval('put_back', 77, false)")
        for number in range(450):  # more than one query takes
            connection.execute(f'CREATE SEQUENCE "many {number}" START {number + 1}')
    facts = facts_of(postgres, postgres_database, tmp_path)
    found = {each.name: (each.last_value, each.is_called, each.increment) for each in facts.sequences}
    assert found.pop("fresh") == (5, False, 1)
    assert found.pop("used") == (-4, True, -3)
    assert found.pop("put_back") == (77, False, 1)
    assert found == {f"many {number}": (number + 1, False, 1) for number in range(450)}


def test_large_objects_are_measured_without_being_read(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute("SELECT lo_from_bytea(0, repeat('x', 5000)::bytea), lo_from_bytea(0, '')")
        connection.execute("SELECT lo_put(lo_from_bytea(0, ''), 100000, 'sparse')")
    facts = facts_of(postgres, postgres_database, tmp_path)
    assert (facts.large_objects.count, facts.large_objects.total_bytes) == (3, 5000 + 100006)


def test_an_empty_database_has_a_dump_and_facts(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    archive, result = take_dump(postgres, postgres.url(postgres_database), tmp_path)
    assert archive.startswith(b"PGDMP")
    assert isinstance(result.facts, PostgresqlFacts)
    assert (result.facts.tables, result.facts.sequences, result.facts.large_objects.count) == ([], [], 0)
    assert result.warnings == ()


def test_the_versions_of_server_and_tool_are_those_of_the_server(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    _, result = take_dump(postgres, postgres.url(postgres_database), tmp_path)
    assert re.fullmatch(rf"{postgres.major}\.\d+", result.versions["server"])
    assert result.versions["tool"] == f"pg_dump {result.versions['server']}"


def test_the_schema_attachment_holds_what_the_runbooks_flags_leave_out(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE t (a int); GRANT SELECT ON t TO pg_monitor; INSERT INTO t VALUES (1)")
        connection.execute(sql.SQL("ALTER DATABASE {} SET work_mem = '5MB'").format(sql.Identifier(postgres_database)))
    _, result = take_dump(postgres, postgres.url(postgres_database), tmp_path)
    [attachment] = result.attachments
    assert attachment.suffix == "schema.dump"
    assert attachment.path.parent == tmp_path
    text = listing(postgres, attachment.path)
    for part in ("OWNER TO", "GRANT SELECT ON TABLE public.t TO pg_monitor", "CREATE TABLE public.t"):
        assert part in text
    assert "COPY public.t" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["schema.dump"]


@pytest.mark.parametrize("name", ['od"d; drop --', "a=b", "spaß /@?%41 host=nowhere", "postgresql://x/y", "UPPER"])
def test_a_database_of_any_name_is_dumped(any_postgres: PostgresServer, tmp_path: Path, name: str) -> None:
    made = any_postgres.create_database(name)
    try:
        assert facts_of(any_postgres, made, tmp_path).database.name == name
    finally:
        any_postgres.drop_database(made)


def test_a_dump_goes_over_a_unix_socket_too(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    url = (
        f"postgresql://{postgres.superuser}:{quote(postgres.password, safe='')}@:{postgres.port}/{postgres_database}"
        f"?host={quote(str(postgres.socket_dir), safe='')}"
    )
    archive, _ = take_dump(postgres, PostgresqlEngine().validate(url), tmp_path)
    assert archive.startswith(b"PGDMP")


@pytest.mark.parametrize("password", ["back\\slash:colon", "\\", ":", "'quote\" and space ", "é 表"])
def test_a_password_of_any_characters_lets_pg_dump_in(
    any_postgres: PostgresServer, tmp_path: Path, password: str
) -> None:
    role, database = f"role_{os.getpid()}", any_postgres.create_database()
    any_postgres.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
    )
    try:
        archive, _ = take_dump(any_postgres, any_postgres.url(database, user=role, password=password), tmp_path)
        assert archive.startswith(b"PGDMP")
    finally:
        any_postgres.drop_database(database)
        any_postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_the_expected_size_is_near_the_dumps(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    with any_postgres.connect(database) as connection:
        make_realistic_database(connection, megabytes=8)
    with dumping(any_postgres, any_postgres.url(database), tmp_path) as dump:
        expected = dump.expected_size
        size = len(read_to_end(dump))
        dump.finish()
    assert expected is not None
    assert 0.7 * size < expected < 1.5 * size
    any_postgres.drop_database(database)


def told_to(program: psutil.Process) -> list[str]:
    """Its arguments and variables; nothing of one that has ended, as the dump of the schema soon has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [*program.cmdline(), *program.environ().values()]
    return []


def test_no_secret_is_in_the_arguments_of_a_running_pg_dump(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    with any_postgres.connect(database) as connection:
        make_realistic_database(connection, megabytes=8)
    with dumping(any_postgres, any_postgres.url(database), tmp_path) as dump:
        dumps = [child for child in psutil.Process().children() if child.name() == "pg_dump"]
        told = [text for dump_of_ours in dumps for text in told_to(dump_of_ours)]
        assert "--no-owner" in told
        assert not any(any_postgres.password in text for text in told)
        assert (tmp_path / "pgpass").stat().st_mode & 0o777 == 0o600
        read_to_end(dump)
        dump.finish()
    any_postgres.drop_database(database)


def test_a_look_at_a_target_tells_its_version_and_size(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    info = PostgresqlEngine().inspect(postgres.url(postgres_database), Workplace(tmp_path, postgres.bin_dir))
    assert re.fullmatch(rf"PostgreSQL {postgres.major}\.\d+, database {postgres_database}", info.description)
    assert info.size is not None
    assert info.size > 1_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_look_at_a_target_without_its_pg_dump_is_an_error(
    any_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=f"PostgreSQL {any_postgres.major}, and no pg_dump"):
        PostgresqlEngine(installs=tmp_path).inspect(any_postgres.url(), Workplace(tmp_path))


def test_an_older_pg_dump_is_refused_and_a_newer_one_used_with_a_warning(
    postgres16: PostgresServer, postgres18: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = PostgresqlEngine(installs=tmp_path)
    with pytest.raises(ToolMissing, match=r"The server is PostgreSQL 18, and no pg_dump 18 was found .only 16"):
        engine.inspect(postgres18.url(), Workplace(tmp_path, postgres16.bin_dir))
    with dumping(postgres18, postgres16.url(), tmp_path, engine=engine) as dump:
        read_to_end(dump)
        [warning] = dump.finish().warnings
    assert "may not restore into a server of the same version" in warning


def test_a_standby_is_dumped_without_its_unlogged_tables(private_postgres: PrivatePostgres, tmp_path: Path) -> None:
    server = private_postgres(16, settings={"hot_standby": "on"})
    server.execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 3) n")
    server.execute("CREATE UNLOGGED TABLE fleeting (id int GENERATED ALWAYS AS IDENTITY)")
    server.stop(signal.SIGINT)
    (server.data_dir / "standby.signal").touch()
    shutil.chown(server.data_dir / "standby.signal", server.data_dir.owner())
    server.start()
    archive, result = take_dump(server, server.url(), tmp_path)
    assert archive.startswith(b"PGDMP")
    assert isinstance(result.facts, PostgresqlFacts)
    assert [(table.name, table.rows) for table in result.facts.tables] == [("kept", 3)]
    [noted] = result.facts.warnings
    assert "unlogged" in noted
    assert "public.fleeting" in noted
    [warning] = result.warnings
    assert "fleeting" not in warning  # in clear in the manifest


def test_the_indexes_of_many_tables_do_not_fill_the_servers_table_of_locks(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    server = private_postgres(settings={"max_locks_per_transaction": "10", "max_connections": "20"})
    with server.connect(autocommit=True) as connection:
        for number in range(120):  # each in a transaction of its own: making them takes locks, too
            indexes = "; ".join(f"CREATE INDEX ON t{number} ((a + {index}))" for index in range(9))
            connection.execute(f"CREATE TABLE t{number} (a integer); {indexes}")
    assert len(facts_of(server, "postgres", tmp_path).tables) == 120
