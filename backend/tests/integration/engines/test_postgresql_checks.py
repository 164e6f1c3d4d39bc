"""What is found out before a PostgreSQL database is restored, each check as it holds and as it does not."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from hhh.core.errors import InvalidInput
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import url_of
from hhh.engines.postgresql.checks import checks
from hhh.engines.restoring import SCHEMA_DUMP, Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import ExtensionFacts, PostgresqlFacts
from hhh.schemas.restore import Check
from support.postgres import PostgresServer, PostgresServers, PrivatePostgres
from support.postgres_dumps import take_dump
from support.stored_backups import FACTS

pytestmark = pytest.mark.postgres

OWNER = "owner_of_checks"
READER = f'reader "{secrets.token_hex(4)}"'
BACKUP = f"""
    CREATE ROLE {OWNER} LOGIN CREATEDB PASSWORD 'word';
    CREATE ROLE "{READER.replace('"', '""')}";
"""
CONTENT = f"""
    CREATE TABLE orders (id int PRIMARY KEY, note text);
    INSERT INTO orders VALUES (1, 'one');
    CREATE VIEW paid AS SELECT * FROM orders;
    CREATE TABLE "Odd name" (id int);
    ALTER TABLE orders OWNER TO {OWNER};
    GRANT SELECT ON orders TO "{READER.replace('"', '""')}";
"""
SUPERUSERS_CONTENT = """
    CREATE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER told ON ddl_command_end EXECUTE FUNCTION told();
"""


@dataclass(frozen=True)
class Case:
    """A backup, and where it is to go."""

    server: PostgresServer
    source: RestoreSource
    destination: Destination
    workplace: Workplace

    @property
    def facts(self) -> PostgresqlFacts:
        assert isinstance(self.source.facts, PostgresqlFacts)
        return self.source.facts

    def all(self) -> dict[str, Check]:
        made = checks(self.source, self.destination, self.workplace, installs=self.workplace.scratch)
        assert len({check.name for check in made}) == len(made)
        return {check.name: check for check in made}

    def __call__(self, name: str) -> Check:
        return self.all()[name]

    def to(self, **changes: Any) -> "Case":
        return replace(self, destination=replace(self.destination, **changes))

    def as_role(self, role: str, password: str = "word") -> "Case":
        return self.to(url=url_of(self.destination.url, self.destination.name, role, password))

    def of(self, **changes: Any) -> "Case":
        """With other facts."""
        return replace(self, source=replace(self.source, facts=self.facts.model_copy(update=changes)))

    def of_database(self, **changes: Any) -> "Case":
        return self.of(database=self.facts.database.model_copy(update=changes))

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        self.server.execute(sql.SQL(statement).format(live=sql.Identifier(self.destination.name)), database=database)


@dataclass(frozen=True)
class Backup:
    server: PostgresServer
    database: str
    source: RestoreSource


@pytest.fixture(scope="module")
def backup(postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    """A real backup, and the database that it is of."""
    server = postgres_servers.shared(16)
    server.execute(BACKUP)
    database = server.create_database()
    server.execute(sql.SQL("ALTER DATABASE {} OWNER TO " + OWNER).format(sql.Identifier(database)))
    server.execute(CONTENT, database=database)
    scratch = tmp_path_factory.mktemp("backup")
    dump, result = take_dump(server, server.url(database), scratch)
    attachments = {each.suffix: each.path for each in result.attachments}
    yield Backup(server, database, RestoreSource(result.facts, result.versions, len(dump), attachments))
    server.drop_database(database)
    server.execute(sql.SQL("DROP ROLE {}, {}").format(sql.Identifier(OWNER), sql.Identifier(READER)))


@pytest.fixture
def new(backup: Backup, tmp_path: Path) -> Case:
    """Into a new database, as the superuser."""
    destination = Destination(
        backup.server.url(backup.database), f"new_{secrets.token_hex(4)}", RestoreMode.NEW, "aaaaaaaa"
    )
    return Case(backup.server, backup.source, destination, Workplace(tmp_path, backup.server.bin_dir))


@pytest.fixture
def live(new: Case) -> Iterator[Case]:
    """Into the place of a live database, as the superuser."""
    name = new.server.create_database(f"live_{secrets.token_hex(4)}")
    case = new.to(mode=RestoreMode.REPLACE, name=name, url=new.server.url(name))
    case.execute(f"ALTER DATABASE {{live}} OWNER TO {OWNER}")
    yield case
    new.server.drop_database(name)


@pytest.fixture
def tables(live: Case) -> Case:
    """Single tables into a database that is there."""
    return live.to(mode=RestoreMode.TABLES, tables=("public.orders",))


@pytest.fixture
def other_role(new: Case) -> Iterator[str]:
    name = f"other_{secrets.token_hex(4)}"
    new.server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'word'")
    yield name
    new.server.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def statuses(case: Case) -> Mapping[str, str]:
    return {name: check.status for name, check in case.all().items()}


OF_ALL = {
    "connection": "ok",
    "tool": "ok",
    "server_version": "ok",
    "template_or_system": "ok",
    "destination": "ok",
    "permissions": "ok",
    "server_programs": "ok",
    "free_space": "ok",
    "tables": "ok",
    "extensions": "ok",
    "roles": "ok",
    "encoding": "ok",
    "locale": "ok",
    "superuser_objects": "ok",
}
OF_LIVE = {
    "prepared_transactions": "ok",
    "replication_slots": "ok",
    "publications": "ok",
    "subscriptions": "ok",
    "sessions": "ok",
    "settings": "ok",
}


@pytest.mark.parametrize("role", [None, OWNER])
def test_where_nothing_stands_against_it_every_check_is_told_and_holds(
    new: Case, live: Case, tables: Case, role: str | None
) -> None:
    new, live, tables = (case.as_role(role) if role else case for case in (new, live, tables))
    # Where the server's data are, only some roles may ask.
    expected = OF_ALL | ({"free_space": "unknown"} if role else {})
    assert statuses(new) == expected
    assert statuses(live) == expected | OF_LIVE
    assert statuses(tables) == expected


def test_it_leaves_no_trace(live: Case) -> None:
    with live.server.connect(live.destination.name) as connection:
        counts = "SELECT (SELECT count(*) FROM pg_database), (SELECT count(*) FROM pg_class)"
        before = connection.execute(counts).fetchall()
        live.all()
        assert connection.execute(counts).fetchall() == before
    assert list(live.workplace.scratch.iterdir()) == []


def test_a_missing_role_can_be_acknowledged_by_name_and_an_older_server_can_not(new: Case) -> None:
    roles, version = new.of(roles=["ghost"])("roles"), new.of(server_version="99.1")("server_version")
    assert (roles.status, roles.acknowledge) == ("unsafe", "roles")
    assert (version.status, version.acknowledge) == ("unsafe", None)


def test_a_server_that_is_not_reached_is_told_as_the_one_check(new: Case) -> None:
    [check] = new.as_role("nobody_of_that_name").all().values()
    assert (check.name, check.status) == ("connection", "unsafe")
    assert "password authentication failed" in check.message


def test_a_backup_of_sqlite_is_refused(new: Case) -> None:
    with pytest.raises(InvalidInput, match="not one of PostgreSQL"):
        replace(new, source=replace(new.source, facts=FACTS)).all()


class TestTheProgram:
    @pytest.fixture
    def case(self, new: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], Case]:
        def with_pg_restore(version: str | None) -> Case:
            folder = tmp_path / "bin"
            folder.mkdir()
            monkeypatch.setenv("PATH", str(folder))
            if version is not None:
                program = folder / "pg_restore"
                program.write_text(f"#!/bin/sh\necho 'pg_restore (PostgreSQL) {version}'\n")
                program.chmod(0o755)
            return replace(new, workplace=replace(new.workplace, pg_bin_dir=folder))

        return with_pg_restore

    def test_of_a_newer_major_is_not_safe(self, case: Callable[[str | None], Case]) -> None:
        check = case("99.1")("tool")
        assert check.status == "unsafe"
        assert "postgresql-client-16" in check.message

    def test_of_an_older_major_is_not_safe(self, case: Callable[[str | None], Case]) -> None:
        assert case("9.6")("tool").status == "unsafe"

    def test_that_is_not_there_is_not_safe(self, case: Callable[[str | None], Case]) -> None:
        assert "none at all" in case(None)("tool").message

    def test_that_is_older_than_the_one_that_made_the_dump_may_not_read_it(self, new: Case) -> None:
        case = replace(new, source=replace(new.source, versions={"tool": "pg_dump 18.1"}))
        assert case("tool").status == "warning"


def test_an_older_server_than_that_of_the_backup_is_not_safe_and_a_newer_one_is(new: Case) -> None:
    assert new.of(server_version="17.2 (Debian 17.2-1)")("server_version").status == "unsafe"
    assert new.of(server_version="13.2")("server_version").status == "ok"
    assert new.of(server_version="")("server_version").status == "unknown"


@pytest.mark.parametrize("name", ["postgres", "template0", "template1"])
@pytest.mark.parametrize("mode", list(RestoreMode))
def test_the_servers_own_databases_are_never_a_destination(new: Case, name: str, mode: RestoreMode) -> None:
    case = new.to(name=name, mode=mode, url=new.server.url(name), tables=("public.orders",))
    assert case.to(acknowledged=frozenset({"template_or_system"}))("template_or_system").status == "unsafe"


class TestADestination:
    def test_that_is_new_must_not_exist(self, new: Case, live: Case) -> None:
        assert "already" in new.to(name=live.destination.name)("destination").message
        assert new.to(name=live.destination.name)("destination").status == "unsafe"

    def test_that_is_replaced_must_exist(self, live: Case) -> None:
        case = live.to(name="gone", url=live.server.url("gone"))
        assert case("destination").status == "unsafe"

    def test_that_is_replaced_must_be_the_targets_own(self, live: Case) -> None:
        case = live.to(url=live.server.url("another"))
        assert case("destination").status == "unsafe"

    @pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32])
    def test_has_a_name_that_the_server_keeps_whole(self, new: Case, name: str) -> None:
        assert new.to(name=name)("destination").status == "unsafe"

    def test_must_not_have_the_tables_that_are_restored(self, tables: Case) -> None:
        tables.execute("CREATE VIEW orders AS SELECT 1", database=tables.destination.name)
        assert tables("tables").status == "unsafe"
        assert "public.orders" in tables("tables").message
        assert tables.to(tables=('"public"."Odd name"',))("tables").status == "ok"

    def test_of_tables_may_be_new(self, tables: Case) -> None:
        assert tables.to(name="not_there_yet")("tables").status == "ok"

    def test_of_tables_that_the_backup_does_not_have_is_not_safe(self, tables: Case) -> None:
        case = tables.to(tables=("public.order",))
        assert case("destination").status == "unsafe"
        assert "public.orders" in case("destination").message


class TestPermissions:
    def test_to_create_databases_are_needed_for_a_new_one(self, new: Case, other_role: str) -> None:
        check = new.as_role(other_role)("permissions")
        assert (check.status, check.acknowledge) == ("unsafe", None)
        assert "CREATEDB" in check.message

    def test_to_own_the_database_are_needed_to_replace_it(self, live: Case, other_role: str) -> None:
        live.execute(f"ALTER ROLE {other_role} CREATEDB")
        check = live.as_role(other_role)("permissions")
        assert check.status == "unsafe"
        assert f"does not own {live.destination.name}: GRANT the role {OWNER}" in check.message
        live.execute(f"GRANT {OWNER} TO {other_role}")
        assert live.as_role(other_role)("permissions").status == "ok"

    def test_to_create_schemas_are_needed_for_tables(self, tables: Case, other_role: str) -> None:
        assert tables.as_role(other_role)("permissions").status == "unsafe"
        tables.execute(f"GRANT CREATE ON DATABASE {{live}} TO {other_role}")
        assert tables.as_role(other_role)("permissions").status == "ok"
        tables.execute(f"REVOKE CREATE ON DATABASE {{live}} FROM {other_role}")

    def test_to_become_a_superuser_are_too_many(self, new: Case, other_role: str) -> None:
        new.execute(f"ALTER ROLE {other_role} CREATEDB")
        new.execute(f"GRANT postgres TO {other_role}")
        assert "may become the superuser postgres" in new.as_role(other_role)("permissions").message

    def test_to_use_the_servers_programs_are_warned_of(self, new: Case, other_role: str) -> None:
        new.execute(f"ALTER ROLE {other_role} CREATEDB")
        new.execute(f"GRANT pg_execute_server_program TO {other_role}")
        check = new.as_role(other_role)("server_programs")
        assert check.status == "warning"
        assert "pg_execute_server_program" in check.message


class TestFreeSpace:
    def test_is_known_where_the_servers_data_are_on_this_machine(self, new: Case) -> None:
        assert str(new.server.data_dir) in new("free_space").message

    def test_that_is_too_little_is_not_safe(self, new: Case) -> None:
        case = replace(new, source=replace(new.source, raw_size=1 << 60))
        assert (case("free_space").status, case("free_space").acknowledge) == ("unsafe", "free_space")

    def test_is_known_by_the_socket_as_well(self, new: Case) -> None:
        url = (
            new.server.url(new.destination.name).replace(f"@{new.server.host}:{new.server.port}/", "@/")
            + f"?host={new.server.socket_dir}&port={new.server.port}"
        )
        assert new.to(url=url)("free_space").status == "ok"


class TestExtensions:
    def with_extension(self, case: Case, name: str, version: str) -> Case:
        return case.of(extensions=[ExtensionFacts(name=name, version=version, schema_name="public")])

    def a_version_of(self, server: PostgresServer, *, for_superusers: bool) -> tuple[str, str]:
        with server.connect() as connection:
            row = connection.execute(
                "SELECT name, version FROM pg_available_extension_versions WHERE name <> 'plpgsql'"
                " AND (superuser AND NOT trusted) = %s ORDER BY name, version LIMIT 1",
                [for_superusers],
            ).fetchone()
        if row is None:
            pytest.skip("this server has no such extension")
        return row[0], row[1]

    def test_that_the_server_does_not_have_are_not_safe(self, new: Case) -> None:
        check = self.with_extension(new, "ghostgis", "1")("extensions")
        assert (check.status, check.acknowledge) == ("unsafe", None)
        assert "ghostgis" in check.message

    def test_that_come_with_every_database_are_not_asked_for(self, new: Case) -> None:
        assert self.with_extension(new, "plpgsql", "0.1")("extensions").status == "ok"

    def test_of_another_version_are_warned_of(self, postgres: PostgresServer, new: Case) -> None:
        case = self.elsewhere(new, postgres)
        name, version = self.a_version_of(postgres, for_superusers=False)
        assert self.with_extension(case, name, version)("extensions").status == "ok"
        assert self.with_extension(case, name, "0.0.1")("extensions").status == "warning"

    def test_that_only_superusers_may_create_are_not_safe_for_others(self, postgres: PostgresServer, new: Case) -> None:
        name, version = self.a_version_of(postgres, for_superusers=True)
        case = self.with_extension(self.elsewhere(new, postgres), name, version)
        assert case("extensions").status == "ok"
        role = f"plain_{secrets.token_hex(4)}"
        postgres.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'word'")
        assert case.as_role(role)("extensions").status == "unsafe"
        postgres.execute(f"DROP ROLE {role}")

    def elsewhere(self, case: Case, server: PostgresServer) -> Case:
        return replace(case, server=server).to(url=server.url())


class TestRoles:
    def test_of_the_facts_that_do_not_exist_are_not_safe(self, new: Case) -> None:
        assert "ghost" in new.of(roles=["ghost"])("roles").message
        assert "ghost" in new.of_database(owner="ghost")("roles").message

    def test_of_the_archive_that_do_not_exist_are_not_safe(self, postgres_servers: PostgresServers, new: Case) -> None:
        other = postgres_servers.shared(18)
        case = new.of(roles=[]).of_database(owner="postgres").to(url=other.url())
        check = replace(case, workplace=replace(case.workplace, pg_bin_dir=other.bin_dir))("roles")
        assert (check.status, check.acknowledge) == ("unsafe", "roles")
        assert OWNER in check.message
        assert READER in check.message


class TestEncodingAndLocale:
    def test_an_encoding_that_the_live_database_does_not_have_is_not_safe(self, live: Case, tables: Case) -> None:
        assert live.of_database(encoding="LATIN1")("encoding").status == "unsafe"
        assert tables.of_database(encoding="LATIN1")("encoding").status == "warning"

    def test_a_locale_that_the_server_does_not_know_is_not_safe(self, new: Case) -> None:
        check = new.of_database(collation="xx_YY.UTF-8")("locale")
        assert (check.status, check.acknowledge) == ("unsafe", None)
        assert "xx_YY" in check.message

    def test_a_provider_that_the_server_does_not_know_is_not_safe(self, new: Case) -> None:
        assert new.of_database(locale_provider="builtin", icu_locale="C.UTF-8")("locale").status == "unsafe"

    def test_another_locale_than_the_live_ones_can_be_acknowledged(self, live: Case) -> None:
        check = live.of_database(collation="POSIX")("locale")
        assert (check.status, check.acknowledge) == ("unsafe", "locale")

    def test_two_spellings_of_a_locale_are_the_same(self, live: Case) -> None:
        assert live.of_database(collation="C.utf8")("locale").status == "ok"


class TestObjectsOfSuperusers:
    @pytest.fixture
    def case(self, new: Case, tmp_path: Path) -> Iterator[Case]:
        database = new.server.create_database()
        new.server.execute(SUPERUSERS_CONTENT, database=database)
        scratch = tmp_path / "dump"
        scratch.mkdir()
        _, result = take_dump(new.server, new.server.url(database), scratch)
        path = scratch / result.attachments[0].path
        yield replace(new, source=replace(new.source, attachments={SCHEMA_DUMP: path}))
        new.server.drop_database(database)

    def test_are_named_and_can_be_acknowledged(self, case: Case) -> None:
        check = case("superuser_objects")
        assert (check.status, check.acknowledge) == ("unsafe", "superuser_objects")
        assert "EVENT TRIGGER told" in check.message

    def test_are_not_known_without_the_archive(self, new: Case) -> None:
        case = replace(new, source=replace(new.source, attachments={}))
        assert case("superuser_objects").status == "unknown"

    def test_of_an_archive_that_is_damaged_are_told_as_such(self, new: Case, tmp_path: Path) -> None:
        path = tmp_path / "damaged"
        path.write_bytes(b"PGDMP\x01")
        case = replace(new, source=replace(new.source, attachments={SCHEMA_DUMP: path}))
        assert case("destination").status == "unsafe"


@contextlib.contextmanager
def live_on(server: PostgresServer, case: Case) -> Iterator[Case]:
    """The same on another server, whose roles it needs not have."""
    name = server.create_database(f"live_{secrets.token_hex(4)}")
    yield replace(case, server=server).to(name=name, url=server.url(name))
    server.drop_database(name)


class TestALiveDatabase:
    def test_with_prepared_transactions_can_not_be_replaced(
        self, private_postgres: PrivatePostgres, live: Case
    ) -> None:
        server = private_postgres(settings={"max_prepared_transactions": "2", "wal_level": "logical"})
        with live_on(server, live) as case:
            with server.connect(case.destination.name) as connection:
                connection.execute("CREATE TABLE t (); PREPARE TRANSACTION 'half done'")
            check = case("prepared_transactions")
            assert (check.status, check.acknowledge) == ("unsafe", None)
            assert "half done" in check.message
            server.execute("ROLLBACK PREPARED 'half done'", database=case.destination.name)
            server.execute(
                "SELECT pg_create_logical_replication_slot('follower', 'pgoutput')", database=case.destination.name
            )
            check = case("replication_slots")
            assert (check.status, check.acknowledge) == ("unsafe", "replication_slots")
            assert "follower" in check.message
            server.execute("SELECT pg_drop_replication_slot('follower')", database=case.destination.name)

    def test_that_publishes_or_subscribes_is_replaced_only_if_that_is_accepted(self, live: Case) -> None:
        live.execute("CREATE PUBLICATION shop_out", database=live.destination.name)
        live.execute(
            "CREATE SUBSCRIPTION shop_in CONNECTION '' PUBLICATION p WITH (connect = false, slot_name = NONE)",
            database=live.destination.name,
        )
        found = live.all()
        for name, word in {"publications": "shop_out", "subscriptions": "shop_in"}.items():
            assert (found[name].status, found[name].acknowledge) == ("unsafe", name)
            assert word in found[name].message
        live.execute("DROP SUBSCRIPTION shop_in", database=live.destination.name)

    def test_tells_how_many_sessions_will_be_ended(self, live: Case) -> None:
        with live.server.connect(live.destination.name), live.server.connect(live.destination.name):
            check = live("sessions")
        assert (check.status, check.message) == ("warning", "Sessions that will be ended: 2")

    def test_tells_whose_sessions_the_role_may_not_end(self, live: Case, other_role: str) -> None:
        url = live.server.url(live.destination.name, user=other_role, password="word")
        with psycopg.connect(url):
            check = live.as_role(OWNER)("sessions")
        assert (check.status, check.acknowledge) == ("unsafe", None)
        assert other_role in check.message
        assert "pg_signal_backend" in check.message

    def test_tells_which_settings_the_role_may_not_take_along(self, live: Case, other_role: str) -> None:
        live.execute(f"ALTER ROLE {other_role} IN DATABASE {{live}} SET work_mem TO '5MB'")
        live.execute("ALTER DATABASE {live} SET log_statement TO 'ddl'")
        live.execute("ALTER DATABASE {live} SET maintenance_work_mem TO '5MB'")
        check = live.as_role(OWNER)("settings")
        assert (check.status, check.acknowledge) == ("unsafe", "settings")
        assert f"log_statement, {other_role}: work_mem:" in check.message
        assert live("settings").status == "ok"


def test_a_standby_is_no_destination(private_postgres: PrivatePostgres, new: Case) -> None:
    server = private_postgres()
    server.stop()
    (server.data_dir / "standby.signal").touch()
    server.start()
    case = replace(new, server=server).to(url=server.url())
    assert case("connection").status == "unsafe"
    assert case("locale").status == "unknown"
