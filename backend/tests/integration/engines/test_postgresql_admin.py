"""Connections that administer a server, and what it says of its databases."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hhh.core.errors import EngineError, InvalidInput, ScratchError, TargetUnreachable
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import administering, administration, database_row, url_of
from support.postgres import PostgresServer, PrivatePostgres

pytestmark = pytest.mark.postgres


@pytest.fixture
def role(any_postgres: PostgresServer) -> Iterator[str]:
    name = f"plain_{secrets.token_hex(4)}"
    any_postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'word'")
    yield name
    any_postgres.execute(f"DROP ROLE {name}")


def test_it_works_from_another_database_than_the_urls_and_knows_what_the_role_may(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with administration(postgres.url("not_there"), Workplace(tmp_path)) as admin:
        assert admin.connection.info.dbname == "postgres"
        assert (admin.role, admin.is_superuser, admin.may_create_databases) == ("postgres", True, True)
        assert admin.major == postgres.major
        assert admin.connection.execute("SHOW search_path").fetchall() == [('""',)]
        with admin.another_connection() as other:
            assert other.info.backend_pid != admin.connection.info.backend_pid
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("may_create", [True, False])
def test_it_knows_whether_a_plain_role_may_create_databases(
    any_postgres: PostgresServer, tmp_path: Path, role: str, may_create: bool
) -> None:
    any_postgres.execute(f"ALTER ROLE {role} {'CREATEDB' if may_create else 'NOCREATEDB'}")
    with administration(any_postgres.url(user=role, password="word"), Workplace(tmp_path)) as admin:
        assert (admin.role, admin.is_superuser, admin.may_create_databases) == (role, False, may_create)


def test_two_at_once_in_one_scratch_do_not_meet(any_postgres: PostgresServer, tmp_path: Path, role: str) -> None:
    plain = any_postgres.url(user=role, password="word")
    with administration(any_postgres.url(), Workplace(tmp_path)) as admin:
        with administration(plain, Workplace(tmp_path)):
            pass
        with admin.another_connection("template1") as connection:
            assert connection.info.dbname == "template1"


def test_the_next_database_is_taken_where_one_does_not_let_the_role_in(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    server = private_postgres()
    server.execute("CREATE ROLE plain LOGIN PASSWORD 'word'")
    own = server.create_database("own")
    url = server.url(own, user="plain", password="word")
    for expected, closed in (("template1", "postgres"), ("own", "template1")):
        server.execute(f"REVOKE CONNECT ON DATABASE {closed} FROM PUBLIC")
        with administration(url, Workplace(tmp_path)) as admin:
            assert admin.connection.info.dbname == expected
    server.execute("REVOKE CONNECT ON DATABASE own FROM PUBLIC")
    with pytest.raises(TargetUnreachable, match="permission denied"), administration(url, Workplace(tmp_path)):
        pass


def test_a_scratch_that_can_not_be_written_is_said_to_be_that(any_postgres: PostgresServer, tmp_path: Path) -> None:
    workplace = Workplace(tmp_path / "not there")
    with pytest.raises(ScratchError, match="not there"), administration(any_postgres.url(), workplace):
        pass


def test_a_missing_right_is_told_with_what_helps(any_postgres: PostgresServer, role: str) -> None:
    with (
        psycopg.connect(any_postgres.url(user=role, password="word")) as connection,
        pytest.raises(EngineError, match=r"It failed: permission denied.*\(ask her\)"),
        administering("It failed", hint="ask her"),
    ):
        connection.execute("SELECT * FROM pg_authid")


def test_the_url_of_another_database_keeps_all_else() -> None:
    url = "postgresql://me:p%40ss@host:5433/shop?sslmode=require"
    assert url_of(url, 'o"dd /é') == "postgresql://me:p%40ss@host:5433/o%22dd%20%2F%C3%A9?sslmode=require"
    assert url_of(url, "shop", "you", "w:rd") == "postgresql://you:w%3Ard@host:5433/shop?sslmode=require"
    assert url_of(url, "shop", "you") == "postgresql://you@host:5433/shop?sslmode=require"
    with pytest.raises(InvalidInput):
        url_of("mysql://host/shop", "shop")


def test_a_database_is_told_as_it_is(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    with administration(postgres.url(), Workplace(tmp_path)) as admin:
        row = database_row(admin.connection, postgres_database)
        assert row is not None
        assert (row.name, row.owner, row.is_own) == (postgres_database, "postgres", True)
        assert (row.encoding, row.locale_provider, row.collation) == ("UTF8", "libc", "C.UTF-8")
        assert (row.tablespace, row.acl, row.comment, row.connection_limit) == ("pg_default", None, None, -1)
        assert (row.is_template, row.allows_connections) == (False, True)
        admin.connection.execute(f"REVOKE CONNECT ON DATABASE {postgres_database} FROM PUBLIC")
        admin.connection.execute(f"COMMENT ON DATABASE {postgres_database} IS 'a shop'")
        row = database_row(admin.connection, postgres_database)
        assert row is not None
        assert (row.acl, row.comment) == (("=T/postgres", "postgres=CTc/postgres"), "a shop")
        assert database_row(admin.connection, "not there") is None
