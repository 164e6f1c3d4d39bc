"""Privileges on large objects: no dump that is taken has them, the facts do, and restores give them back."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import LargeObjectPrivileges, PostgresqlFacts
from hhh.services.comparison import compare
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer
from support.restoring import taken

pytestmark = pytest.mark.postgres

#: None that a role could have by accident, all that a role may have.
HOSTILE = ('a"b', "'; DROP ROLE x; --", "=r*w*/x,y", "PUBLIC x", "é {}", "%s")
#: Each object with its owner, and who may do what, by whom.
_ACLS = """
    SELECT m.oid::int8, pg_get_userbyid(m.lomowner)::text, a.grantor, a.grantee, a.privilege_type, a.is_grantable
      FROM pg_largeobject_metadata m LEFT JOIN LATERAL (
        SELECT pg_get_userbyid(e.grantor)::text AS grantor, e.privilege_type, e.is_grantable,
               CASE e.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(e.grantee)::text END AS grantee
          FROM aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) e) a ON true
     ORDER BY 1, 3, 4, 5
"""


@pytest.fixture
def workplace(postgres: PostgresServer, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, pg_bin_dir=postgres.bin_dir)


@pytest.fixture
def roles(postgres: PostgresServer, postgres_database: str) -> Iterator[list[sql.Identifier]]:
    """Roles with hostile names; dropped with all that is theirs, as are the databases."""
    names = [f"{name} {postgres_database}" for name in HOSTILE]
    identifiers = [sql.Identifier(name) for name in names]
    for identifier in identifiers:
        postgres.execute(sql.SQL("CREATE ROLE {}").format(identifier))
    yield identifiers
    postgres.drop_database(f"{postgres_database}_2")
    postgres.drop_database(postgres_database)
    for identifier in identifiers:
        postgres.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier))


@pytest.fixture
def destination(postgres: PostgresServer, postgres_database: str) -> Destination:
    """A new database on the source's server."""
    name = f"{postgres_database}_2"
    return Destination(url=postgres.url(), name=name, mode=RestoreMode.NEW, token=secrets.token_hex(4))


def execute(server: PostgresServer, database: str, statements: str, roles: Sequence[sql.Identifier] = ()) -> None:
    with server.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL(statements).format(*roles))


def acls(server: PostgresServer, database: str) -> list[tuple[object, ...]]:
    with server.connect(database) as connection:
        return list(connection.execute(_ACLS).fetchall())


def privileges_of(source: RestoreSource | Built) -> list[LargeObjectPrivileges] | None:
    assert isinstance(source.facts, PostgresqlFacts)
    return source.facts.large_objects.privileges


def without_privileges(source: RestoreSource) -> RestoreSource:
    """As an older release took it."""
    assert isinstance(source.facts, PostgresqlFacts)
    large_objects = source.facts.large_objects.model_copy(update={"privileges": None})
    return replace(source, facts=source.facts.model_copy(update={"large_objects": large_objects}))


def restored(source: RestoreSource, destination: Destination, workplace: Workplace) -> Built:
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert built.errors == ()
        assert compare(source.facts, built.facts) == []
        restorer.publish(destination, workplace, Unattended())
    finally:
        restorer.discard(destination, workplace)
    return built


def drop(server: PostgresServer, role: sql.Identifier, database: str) -> None:
    """Ends a role; what it had in the database is nobody's business any more."""
    execute(server, database, "DROP OWNED BY {0}; DROP ROLE {0}", [role])


def test_owners_and_privileges_come_back_by_whom_they_were_granted(
    postgres: PostgresServer,
    postgres_database: str,
    workplace: Workplace,
    destination: Destination,
    roles: list[sql.Identifier],
) -> None:
    statements = """
        SELECT lo_create(n) FROM generate_series(5001, 5012) n;
        ALTER LARGE OBJECT 5001 OWNER TO {0};
        ALTER LARGE OBJECT 5002 OWNER TO {0};
        GRANT SELECT ON LARGE OBJECT 5001, 5002 TO {1} WITH GRANT OPTION;
        GRANT UPDATE ON LARGE OBJECT 5001, 5002 TO {1};
        SET SESSION AUTHORIZATION {1}; GRANT SELECT ON LARGE OBJECT 5001 TO {2} WITH GRANT OPTION;
        SET SESSION AUTHORIZATION {2}; GRANT SELECT ON LARGE OBJECT 5001 TO {3}, {4};
        RESET SESSION AUTHORIZATION;
        GRANT SELECT ON LARGE OBJECT 5003, 5004 TO PUBLIC; GRANT UPDATE ON LARGE OBJECT 5003 TO {5};
        ALTER LARGE OBJECT 5005 OWNER TO {3}; REVOKE ALL ON LARGE OBJECT 5005 FROM {3};
        ALTER LARGE OBJECT 5006 OWNER TO {3}; REVOKE UPDATE ON LARGE OBJECT 5006 FROM {3};
        GRANT SELECT ON LARGE OBJECT 5006 TO {3} WITH GRANT OPTION; GRANT UPDATE ON LARGE OBJECT 5006 TO PUBLIC;
        GRANT SELECT ON LARGE OBJECT 5007 TO {4}; REVOKE SELECT ON LARGE OBJECT 5007 FROM {4};
        GRANT SELECT ON LARGE OBJECT 5008, 5009, 5011 TO {5}; SELECT lo_unlink(5010);
        GRANT SELECT ON LARGE OBJECT 5012 TO pg_monitor;
    """
    execute(postgres, postgres_database, statements, roles)
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    found = {each.objects: each.count for each in privileges_of(source) or ()}
    # 5007 has what new ones have; what was 5010 makes no hole.
    assert found == {"5001": 1, "5002": 1, "5003": 1, "5004": 1, "5005": 1, "5006": 1, "5008..5011": 3, "5012": 1}
    built = restored(source, destination, workplace)
    assert built.warnings == ()
    assert acls(postgres, destination.name) == acls(postgres, postgres_database)
    assert privileges_of(built) == privileges_of(source)


def test_a_role_that_is_missing_is_told_and_the_others_get_theirs(
    postgres: PostgresServer,
    postgres_database: str,
    workplace: Workplace,
    destination: Destination,
    roles: list[sql.Identifier],
) -> None:
    statements = """
        SELECT lo_create(n) FROM generate_series(5001, 5003) n;
        GRANT SELECT ON LARGE OBJECT 5001, 5002 TO {0}, {1}, {2} WITH GRANT OPTION;
        SET SESSION AUTHORIZATION {0}; GRANT SELECT ON LARGE OBJECT 5001 TO {3}; RESET SESSION AUTHORIZATION;
        ALTER LARGE OBJECT 5003 OWNER TO {4}; REVOKE ALL ON LARGE OBJECT 5003 FROM {4};
        GRANT SELECT ON LARGE OBJECT 5003 TO {1};
    """
    execute(postgres, postgres_database, statements, roles)
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    assert {f"{HOSTILE[n]} {postgres_database}" for n in (0, 4)} <= set(source.facts.roles)  # type: ignore[union-attr]
    for number in (0, 4):
        drop(postgres, roles[number], postgres_database)
    refused = PostgresqlRestorer().build(source, destination, workplace, Unattended())
    PostgresqlRestorer().discard(destination, workplace)
    assert any(f"The role {HOSTILE[0]} {postgres_database} does not exist" in error for error in refused.errors)
    built = restored(source, replace(destination, acknowledged=frozenset({"roles"})), workplace)
    told = [text for text in built.warnings if HOSTILE[0] in text]
    assert len(told) == 1
    assert "SELECT on large objects 5001, SELECT on large objects 5002" in told[0]
    grantees = {
        (number, grantee.removesuffix(f" {postgres_database}"))
        for number, grantee in _grants(postgres, destination.name)
    }
    superuser = postgres.superuser
    assert grantees == {
        *((5001, each) for each in (superuser, HOSTILE[1], HOSTILE[2])),
        *((5002, each) for each in (superuser, HOSTILE[1], HOSTILE[2])),
        (5003, HOSTILE[1]),
        (5003, "hhh_nobody"),  # another owner keeps what owners may
    }
    assert privileges_of(built) is None  # so nothing of it is compared


def _grants(server: PostgresServer, database: str) -> set[tuple[int, str]]:
    return {(int(str(number)), str(grantee)) for number, _, _, grantee, _, _ in acls(server, database)}


def test_what_a_role_without_superuser_may_not_grant_is_told(
    postgres: PostgresServer,
    postgres_database: str,
    workplace: Workplace,
    destination: Destination,
    roles: list[sql.Identifier],
) -> None:
    maker = f"maker {postgres_database}"
    role = sql.Identifier(maker)
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, postgres.password))
    statements = """
        SELECT lo_create(5001), lo_create(5002); ALTER LARGE OBJECT 5001 OWNER TO {0};
        GRANT SELECT ON LARGE OBJECT 5001 TO {1} WITH GRANT OPTION; GRANT UPDATE ON LARGE OBJECT 5001 TO PUBLIC;
        SET SESSION AUTHORIZATION {1}; GRANT SELECT ON LARGE OBJECT 5001 TO {2}; RESET SESSION AUTHORIZATION;
        ALTER LARGE OBJECT 5002 OWNER TO {3}; GRANT SELECT ON LARGE OBJECT 5002 TO {4};
    """
    execute(postgres, postgres_database, statements, [role, *roles[1:]])
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    url = postgres.url(user=maker, password=postgres.password)
    built = restored(source, replace(destination, url=url), workplace)
    assert any("permission denied to set" in text and "SELECT on large objects 5001" in text for text in built.warnings)
    assert any("LARGE OBJECT 5002 belongs to" in text for text in built.warnings)
    assert _grants(postgres, destination.name) == {
        *((5001, each) for each in (maker, f"{HOSTILE[1]} {postgres_database}", "")),
        *((5002, each) for each in (maker, f"{HOSTILE[4]} {postgres_database}")),
    }
    assert privileges_of(built) is None
    postgres.drop_database(destination.name)
    drop(postgres, role, postgres_database)


def test_a_backup_of_an_older_release_keeps_the_warning(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    execute(postgres, postgres_database, "SELECT lo_create(5001); GRANT SELECT ON LARGE OBJECT 5001 TO PUBLIC")
    source = without_privileges(taken(PostgresqlEngine(), postgres.url(postgres_database), workplace))
    built = restored(source, destination, workplace)
    assert [text for text in built.warnings if "no privileges on large objects" in text] != []
    assert _grants(postgres, destination.name) == {(5001, postgres.superuser)}
    postgres.drop_database(destination.name)


def test_what_code_of_the_dump_grants_is_a_difference_even_where_that_is_trusted(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    statements = """
        SELECT lo_create(5001);
        CREATE FUNCTION opened() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        CREATE MATERIALIZED VIEW m AS SELECT public.opened(); -- filled after all else is there
        CREATE OR REPLACE FUNCTION opened() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
            GRANT UPDATE ON LARGE OBJECT 5001 TO PUBLIC;
            RETURN 1;
        END $$;
    """
    execute(postgres, postgres_database, "SET search_path = public;" + statements)
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    assert privileges_of(source) == []
    trusting = replace(destination, acknowledged=frozenset({"superuser_objects"}))
    built = PostgresqlRestorer().build(source, trusting, workplace, Unattended())
    PostgresqlRestorer().discard(destination, workplace)
    assert built.errors == ()
    [difference] = compare(source.facts, built.facts)
    assert "UPDATE for PUBLIC" in difference.name
    assert (difference.expected, difference.found) == ("0", "1")


@ONE_MAJOR_AT_FIRST
def test_many_of_one_kind_are_one_line_of_the_facts_and_come_back_in_few_statements(
    postgres: PostgresServer,
    postgres_database: str,
    workplace: Workplace,
    destination: Destination,
    roles: list[sql.Identifier],
) -> None:
    statements = """
        SELECT lo_create(n * 3) FROM generate_series(10001, 20000) n;
        DO $$ DECLARE n oid; BEGIN
            FOR n IN SELECT oid FROM pg_largeobject_metadata LOOP
                EXECUTE format('ALTER LARGE OBJECT %s OWNER TO %I', n, {owner});
                EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', n, {reader});
            END LOOP;
        END $$;
    """
    names = [sql.Literal(f"{HOSTILE[number]} {postgres_database}") for number in (0, 1)]
    with postgres.connect(postgres_database) as connection:
        connection.execute(sql.SQL(statements).format(owner=names[0], reader=names[1]))
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    assert [(each.objects, each.count) for each in privileges_of(source) or ()] == [("30003..60000", 10_000)]
    with postgres.connect() as connection:
        before = _transactions(connection)
        restored(source, destination, workplace)
        assert _transactions(connection) - before < 11_000  # before 17, pg_restore makes each in one of its own
    assert acls(postgres, destination.name) == acls(postgres, postgres_database)


def _transactions(connection: "psycopg.Connection[tuple[int]]") -> int:
    """How many transactions have changed anything on the server."""
    row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8").fetchone()
    connection.rollback()
    assert row is not None
    return row[0]
