"""Queries of the operator, asked of what a drill restored: what holds, and all that must not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import errors, sql

from hhh.core.errors import Cancelled
from hhh.core.run import Run, Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.assertions import ask
from hhh.engines.postgresql.drills import sweep_drills
from hhh.engines.postgresql.names import new_token, restore_name, token_beside
from hhh.engines.postgresql.worker import worker_role
from hhh.engines.restoring import Built
from hhh.schemas.verification import Asserted
from support.drills import Drill, backed_up, drilled, filled, signing_in
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer

#: What differs from major to major is seen by `make soak`.
pytestmark = [pytest.mark.postgres, ONE_MAJOR_AT_FIRST]

LIMIT = 0.5
SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id integer PRIMARY KEY, amount numeric(10,2));
INSERT INTO shop.orders SELECT n, n * 10 FROM generate_series(1, 100) n;
CREATE SEQUENCE shop.invoices;
CREATE TABLE shop.guarded (id integer);
INSERT INTO shop.guarded VALUES (1), (2);
ALTER TABLE shop.guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.guarded FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON shop.guarded USING (false);
SELECT lo_from_bytea(4711, '\\x0001');
CREATE FUNCTION shop.inserts() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO shop.orders VALUES (1000, 1); RETURN true; END $$;
CREATE FUNCTION shop.inserts_for_all() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO shop.orders VALUES (1000, 1); RETURN true; END $$;
ALTER SCHEMA shop OWNER TO {owner};
ALTER TABLE shop.orders OWNER TO {owner};
ALTER FUNCTION shop.inserts_for_all() OWNER TO {owner};
CREATE FUNCTION shop.mighty() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'; RETURN true; END $$;
CREATE FUNCTION shop.runs() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'; RETURN true; END $$;
CREATE FUNCTION shop.reads() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN CREATE TEMP TABLE t (a text); COPY t FROM '/etc/passwd'; RETURN true; END $$;
CREATE FUNCTION shop.writes_read_write() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN SET TRANSACTION READ WRITE; RETURN true; END $$;
CREATE FUNCTION shop.commits() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN true; END $$;
CREATE FUNCTION shop.becomes(role text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE format('SET LOCAL ROLE %I', role); RETURN true; END $$;
CREATE FUNCTION shop.is_another(role text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE format('SET SESSION AUTHORIZATION %I', role); RETURN true; END $$;
CREATE FUNCTION shop.locks() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE; RETURN true; END $$;
CREATE FUNCTION shop.loops() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN LOOP END LOOP; END $$;
CREATE FUNCTION shop.can_not_be_cancelled() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        BEGIN
            PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
    END LOOP;
END $$;
CREATE FUNCTION shop.lifts() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    SET statement_timeout = 0;
    LOOP
        BEGIN
            PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN
            SET statement_timeout = 0;
        END;
    END LOOP;
END $$;
ALTER DATABASE {database} SET search_path = shop;
"""


@pytest.fixture(scope="module")
def drill(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """One that no query may change."""
    scratch = tmp_path_factory.mktemp("drill")
    database = postgres.create_database()
    owner = f"owner-{database}"
    postgres.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
    try:
        names = {"owner": sql.Identifier(owner), "database": sql.Identifier(database)}
        with postgres.connect(database, autocommit=True) as connection:
            connection.execute(sql.SQL(SHOP).format(**names))
        with drilled(postgres, backed_up(postgres, database, scratch), scratch) as made:
            yield made
    finally:
        postgres.drop_database(database)
        postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(owner)))


def asked(drill: Drill, *assertions: str, run: Run | None = None, limit: float = LIMIT) -> list[Asserted]:
    return list(ask(assertions, drill.built, drill.place, drill.workplace, run or Unattended(), limit=limit))


def found(drill: Drill, assertion: str) -> str:
    """What is told of a query that does not hold."""
    [answer] = asked(drill, assertion)
    assert answer.sql == assertion
    assert not answer.holds
    return answer.found


def everything(drill: Drill) -> list[tuple[object, ...]]:
    with drill.server.connect(drill.database) as connection:
        return [
            *connection.execute("SELECT count(*), sum(amount) FROM shop.orders"),
            *connection.execute("SELECT last_value, is_called FROM shop.invoices"),
            *connection.execute("SELECT oid, lo_get(oid) FROM pg_largeobject_metadata ORDER BY oid"),
        ]


@pytest.mark.parametrize(
    "assertion",
    [
        "SELECT true",
        "SELECT count(*) = 100 FROM orders",
        "SELECT count(*) = 100 FROM shop.orders;",
        "SELECT max(amount) BETWEEN 1 AND 1000 FROM orders -- the largest",
        "WITH large AS (SELECT FROM orders WHERE amount > 500) SELECT count(*) > 10 FROM large",
        "VALUES (true)",
        "SELECT NOT is_called FROM invoices",
        "SELECT name LIKE '%p%' FROM (VALUES ('%s per %(cent)s')) v (name)",
        "SELECT count(*) = 2 FROM guarded",
        "SELECT current_setting('temp_file_limit') = '1GB'",
        "SELECT lo_get(4711) = '\\x0001'",
    ],
)
def test_a_query_holds(drill: Drill, assertion: str) -> None:
    [answer] = asked(drill, assertion)
    assert (answer.holds, answer.found) == (True, "true")


@pytest.mark.parametrize(
    ("assertion", "told"),
    [
        ("SELECT count(*) = 99 FROM orders", "false"),
        ("SELECT NULL::boolean", "NULL"),
        ("SELECT true FROM orders WHERE id < 0", "no row"),
        ("SELECT true FROM orders", "more than one row"),
        ("SELECT true, true", "2 columns, and not one"),
        ("SELECT FROM orders", "0 columns, and not one"),
        ("SELECT count(*) FROM orders", "100, neither true nor false"),
        ("SELECT 'true'", "a value of type text, neither true nor false"),
        (
            "SELECT repeat(n::text, 1000000000) FROM generate_series(1, 10) n",
            "a value of type text, neither true nor false",
        ),
        ("SELECT true FROM generate_series(1, 3), pg_class a, pg_class b, pg_class c", "more than one row"),
        ("SELECT 1 / 0 = 0", "division by zero"),
        ("SELECT true FROM missing", 'relation "missing" does not exist'),
        ("SELECT true; SELECT true", "cannot insert multiple commands into a prepared statement"),
        ("SELECT true\0", "there is a NUL character in it"),
        ("", "syntax error at end of input"),
    ],
)
def test_a_query_that_does_not_hold_says_what_it_found(drill: Drill, assertion: str, told: str) -> None:
    assert found(drill, assertion).startswith(told)


@pytest.mark.parametrize(
    ("assertion", "told"),
    [
        ("SELECT inserts()", "cannot execute INSERT in a read-only transaction"),
        ("SELECT inserts_for_all()", "cannot execute INSERT in a read-only transaction"),
        ("SELECT writes_read_write()", "transaction read-write mode must be set before any query"),
        ("SELECT set_config('transaction_read_only', 'off', true) = 'off'", "must be set before any query"),
        ("SELECT nextval('invoices') > 0", "permission denied for sequence invoices"),
        ("SELECT setval('invoices', 9) > 0", "permission denied for sequence invoices"),
        ("SELECT true FROM orders FOR UPDATE", "cannot execute SELECT FOR UPDATE in a read-only transaction"),
        ("WITH d AS (DELETE FROM orders RETURNING id) SELECT count(*) > 0 FROM d", "must not contain data-modifying"),
        ("INSERT INTO orders VALUES (1000, 1) RETURNING true", "syntax error"),
        ("DROP TABLE orders", "syntax error"),
        ("COMMIT", "syntax error"),
        ("DO $$ BEGIN NULL; END $$", "syntax error"),
        ("SELECT true INTO TEMP t", "SELECT ... INTO is not allowed here"),
        ("SELECT commits()", "invalid transaction termination"),
        ("COPY (SELECT true) TO PROGRAM 'cat'", "syntax error"),
        ("SELECT runs()", "COPY to or from an external program"),
        ("SELECT mighty()", "permission denied for function mighty"),
        ("SELECT reads()", "cannot execute CREATE TABLE in a read-only transaction"),
        ("SELECT pg_read_file('/etc/passwd') <> ''", "permission denied for function pg_read_file"),
        ("SELECT count(*) > 0 FROM pg_ls_dir('/')", "permission denied for function pg_ls_dir"),
        ("SELECT lo_import('/etc/passwd') > 0", "permission denied for function lo_import"),
        ("SELECT lo_export(4711, '/tmp/hhh-lo') > 0", "permission denied for function lo_export"),
        ("SELECT becomes('postgres')", 'permission denied to set role "postgres"'),
        ("SELECT is_another('postgres')", "permission denied to set session authorization"),
        ("SELECT locks()", "permission denied for table orders"),
        ("SELECT pg_reload_conf()", "permission denied for function pg_reload_conf"),
        ("SELECT set_config('temp_file_limit', '-1', false) = '-1'", 'permission denied to set parameter "temp_file'),
    ],
)
def test_a_query_that_does_more_than_read_is_refused_and_told(drill: Drill, assertion: str, told: str) -> None:
    before = everything(drill)
    assert told in found(drill, assertion)
    assert everything(drill) == before


@pytest.mark.parametrize("write", ["lo_create(0) > 0", "lo_unlink(4711) = 1", "lo_put(4711, 0, 'x') IS NOT NULL"])
def test_large_objects_stay_as_they_are(drill: Drill, write: str) -> None:
    """Up to PostgreSQL 15, a transaction that may only read lets them be written."""
    before = everything(drill)
    told = found(drill, f"SELECT {write}")
    assert told == "it writes, and that is not allowed" or "in a read-only transaction" in told
    assert everything(drill) == before


@pytest.mark.parametrize(
    "assertion",
    [
        "SELECT pg_sleep(60) IS NULL",
        "SELECT loops()",
        "SELECT can_not_be_cancelled()",
        "SELECT lifts()",
        "SELECT set_config('statement_timeout', '0', false) = pg_sleep(60)::text",
    ],
)
def test_a_query_without_an_end_is_ended(drill: Drill, assertion: str) -> None:
    assert found(drill, assertion).startswith("no answer within 0.5 s")
    assert sessions(drill) == []


def sessions(drill: Drill) -> list[str | None]:
    """What the sessions that ask wait for."""
    with drill.server.connect() as connection:
        query = "SELECT wait_event FROM pg_stat_activity WHERE usename LIKE 'hhh_restore_%'"
        return [event for (event,) in connection.execute(query)]


def test_one_query_has_nothing_of_the_one_before(drill: Drill) -> None:
    answers = asked(
        drill,
        "SELECT set_config('search_path', 'pg_catalog', false) IS NOT NULL AND pg_advisory_lock(4711)::text = ''",
        "SELECT current_setting('search_path') = 'shop'",
        "SELECT missing",
        "SELECT can_not_be_cancelled()",
        "SELECT pg_try_advisory_lock(4711)",
    )
    assert [answer.holds for answer in answers] == [True, True, False, False, True]
    assert all(answer.seconds > 0 for answer in answers)


class Stopped(Unattended):
    """A run that is cancelled while a query sleeps."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill

    def raise_if_cancelled(self) -> None:
        if "PgSleep" in sessions(self._drill):
            raise Cancelled("cancelled")


def test_a_cancelled_run_ends_the_query_and_leaves_no_role(drill: Drill) -> None:
    with pytest.raises(Cancelled):
        asked(drill, "SELECT can_not_be_cancelled()", run=Stopped(drill), limit=60)
    assert sessions(drill) == []
    with drill.server.connect() as connection:
        assert connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'hhh_restore_%'").fetchall() == []


def test_a_role_without_superuser_asks_itself_and_that_is_told(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    filled(postgres, postgres_database, "CREATE TABLE kept (id integer)", "INSERT INTO kept VALUES (1)")
    source = backed_up(postgres, postgres_database, tmp_path)
    with signing_in(postgres, f"plain-{postgres_database}", "CREATEDB") as role:
        url = postgres.url(user=role, password=postgres.password)
        with drilled(postgres, source, tmp_path, url=url) as drill:
            reads, writes, makes, sleeps = asked(
                drill,
                "SELECT count(*) = 1 FROM kept",
                "WITH d AS (DELETE FROM kept RETURNING id) SELECT count(*) = 1 FROM d",
                "SELECT lo_create(4711) = 4711",
                "SELECT pg_sleep(60) IS NULL",
            )
            note = f" (asked as {role}, which may write, in a transaction that may not)"
            assert (reads.holds, reads.found) == (True, f"true{note}")
            assert not any(each.holds for each in (writes, makes, sleeps))
            with postgres.connect(drill.database) as connection:
                assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]
                assert connection.execute("SELECT oid FROM pg_largeobject_metadata").fetchall() == []


_TRIGGERS = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN IF current_user LIKE 'hhh%' OR tg_tag = 'REVOKE' THEN RAISE 'it ran'; END IF; END $$;
CREATE FUNCTION mighty() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$ SELECT true $$;
CREATE EVENT TRIGGER at_end ON ddl_command_end EXECUTE FUNCTION refuse();
"""
_AT_SIGN_IN = "CREATE EVENT TRIGGER at_sign_in ON login EXECUTE FUNCTION refuse()"


def test_event_triggers_of_what_was_restored_do_not_run(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    filled(postgres, postgres_database, _TRIGGERS, *([_AT_SIGN_IN] if postgres.major >= 17 else []))
    with drilled(postgres, backed_up(postgres, postgres_database, tmp_path), tmp_path) as drill:
        reads, mighty = asked(drill, "SELECT true", "SELECT mighty()")
        assert reads.found == "true"
        assert mighty.found == "permission denied for function mighty"


def test_no_other_connection_is_made(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    try:
        filled(postgres, postgres_database, "CREATE EXTENSION dblink")
    except errors.FeatureNotSupported:
        pytest.skip("dblink is not installed")
    with drilled(postgres, backed_up(postgres, postgres_database, tmp_path), tmp_path) as drill:
        to_itself = f"dbname={drill.database} host={postgres.socket_dir} port={postgres.port}"
        told = found(drill, f"SELECT dblink_connect('{to_itself}') = 'OK'")
        assert "password" in told
        assert "permission denied" in found(drill, f"SELECT dblink_connect_u('{to_itself}') = 'OK'")


def test_the_role_of_a_killed_drill_is_swept(postgres: PostgresServer, tmp_path: Path) -> None:
    token = new_token()
    role = worker_role(token_beside(token))
    postgres.create_database(restore_name(f"hhh_drill_{token}", token))
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    assert sweep_drills(postgres.url(), Workplace(tmp_path, pg_bin_dir=postgres.bin_dir)) == 1
    with postgres.connect() as connection:
        names = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"
        assert [name for (name,) in connection.execute(names) if token in name or name == role] == []


def test_without_queries_nothing_is_done(drill: Drill) -> None:
    nowhere = Built(url="postgresql://nobody@127.0.0.1:1/nothing", facts=drill.built.facts)
    assert ask((), nowhere, drill.place, drill.workplace, Unattended(), limit=1) == ()
