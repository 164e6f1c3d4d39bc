"""Definitions of restored databases, held against those of their backups."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.core.errors import Cancelled, Lacking
from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.names import restore_name, token_beside
from hhh.engines.postgresql.schema_comparison import compare_schemas
from hhh.engines.postgresql.schema_dump import schema_of
from hhh.engines.restoring import RestoreSource
from support.drills import Drill, backed_up, drilled, filled, imported, signing_in
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer
from support.postgres_peculiar import make_peculiar_database
from support.postgres_rich import drop_rich_roles, make_rich_database

pytestmark = pytest.mark.postgres

#: For what does not differ from major to major.
ON_16 = pytest.mark.parametrize("postgres", [16], indirect=True)

SHOP = """
CREATE TYPE state AS ENUM ('open', 'paid', 'sent');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE SEQUENCE invoices INCREMENT 2;
CREATE FUNCTION total(integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    -- twice
    RETURN $1 * 2;
END $$;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TABLE customers (id integer PRIMARY KEY, name varchar(40) NOT NULL DEFAULT 'nobody');
CREATE TABLE orders (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer integer NOT NULL REFERENCES customers,
    amount numeric(10,2) CHECK (amount > 0),
    note text,
    kind varchar(5) CHECK (kind IN ('a', 'b'))
);
CREATE INDEX orders_customer ON orders (customer) WHERE kind = 'a';
CREATE VIEW large AS
    SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer WHERE o.kind IN ('a', 'b');
CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touched();
CREATE RULE quiet AS ON DELETE TO customers DO INSTEAD NOTHING;
CREATE STATISTICS related (dependencies) ON id, customer FROM orders;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders USING (id < 1000);
COMMENT ON TABLE orders IS 'what was ordered';
"""

#: A change of what was restored, and what is told of it.
FAULTS = {
    "a column's type": (
        "ALTER TABLE orders ALTER amount TYPE numeric(12,2)",
        ("table public.orders", "amount numeric(10,2)", "amount numeric(12,2)"),
    ),
    "a column less": ("ALTER TABLE orders DROP note", ("table public.orders", "note text", "missing")),
    "a column more": ("ALTER TABLE orders ADD more date", ("table public.orders", "none", "more date")),
    "a column renamed": (
        "ALTER TABLE orders RENAME note TO remark",
        ("table public.orders", "note text", "remark text"),
    ),
    "a default": (
        "ALTER TABLE customers ALTER name SET DEFAULT 'anybody'",
        (
            "table public.customers",
            "name character varying(40) DEFAULT 'nobody'::character varying NOT NULL",
            "name character varying(40) DEFAULT 'anybody'::character varying NOT NULL",
        ),
    ),
    "a null that is allowed": (
        "ALTER TABLE orders ALTER customer DROP NOT NULL",
        ("table public.orders", "customer integer NOT NULL", "customer integer"),
    ),
    "an index less": ("DROP INDEX orders_customer", ("index public.orders_customer", "one", "missing")),
    "an index more": ("CREATE INDEX further ON orders (amount)", ("index public.further", "none", "one")),
    "an index of other columns": (
        "DROP INDEX orders_customer; CREATE INDEX orders_customer ON orders (amount) WHERE kind = 'a'",
        (
            "index public.orders_customer",
            "CREATE INDEX orders_customer ON public.orders USING btree (customer) WHERE ((kind)::text = 'a'::text)",
            "CREATE INDEX orders_customer ON public.orders USING btree (amount) WHERE ((kind)::text = 'a'::text)",
        ),
    ),
    "a key less": (
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        ("constraint public.orders orders_pkey", "one", "missing"),
    ),
    "a foreign key less": (
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey",
        ("foreign key public.orders orders_customer_fkey", "one", "missing"),
    ),
    "a foreign key that cascades": (
        (
            "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey; ALTER TABLE orders ADD FOREIGN KEY (customer) "
            "REFERENCES customers ON DELETE CASCADE"
        ),
        (
            "foreign key public.orders orders_customer_fkey",
            "ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES public.customers(id)",
            (
                "ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES public.customers(id) "
                "ON DELETE CASCADE"
            ),
        ),
    ),
    "a check of another limit": (
        (
            "ALTER TABLE orders DROP CONSTRAINT orders_amount_check;"
            "ALTER TABLE orders ADD CONSTRAINT orders_amount_check CHECK (amount > 1)"
        ),
        (
            "table public.orders",
            "CONSTRAINT orders_amount_check CHECK ((amount > (0)::numeric))",
            "CONSTRAINT orders_amount_check CHECK ((amount > (1)::numeric))",
        ),
    ),
    "a function's body": (
        (
            "CREATE OR REPLACE FUNCTION total(integer) RETURNS integer LANGUAGE plpgsql AS $$\nBEGIN\n"
            "    -- twice\n    RETURN $1 * 3;\nEND $$"
        ),
        ("function public.total(integer)", "RETURN $1 * 2", "RETURN $1 * 3"),
    ),
    "a function's indentation": (
        (
            "CREATE OR REPLACE FUNCTION total(integer) RETURNS integer LANGUAGE plpgsql AS $$\nBEGIN\n"
            "    -- twice\n  RETURN $1 * 2;\nEND $$"
        ),
        ("function public.total(integer)", "    RETURN $1 * 2;", "  RETURN $1 * 2;"),
    ),
    "a function that runs with other rights": (
        "ALTER FUNCTION total(integer) SECURITY DEFINER",
        ("function public.total(integer)", "LANGUAGE plpgsql", "LANGUAGE plpgsql SECURITY DEFINER"),
    ),
    "a trigger less": ("DROP TRIGGER touch ON orders", ("trigger public.orders touch", "one", "missing")),
    "a trigger disabled": (
        "ALTER TABLE orders DISABLE TRIGGER touch",
        ("trigger public.orders touch", "none", "ALTER TABLE public.orders DISABLE TRIGGER touch"),
    ),
    "a view's query": (
        (
            "CREATE OR REPLACE VIEW large AS "
            "SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer WHERE o.kind IN ('a', 'b')"
        ),
        (
            "view public.large",
            "JOIN public.customers c ON ((c.id = o.customer)))",
            "LEFT JOIN public.customers c ON ((c.id = o.customer)))",
        ),
    ),
    "a view less": ("DROP VIEW large", ("view public.large", "one", "missing")),
    "a rule less": ("DROP RULE quiet ON customers", ("rule public.customers quiet", "one", "missing")),
    "a policy less": ("DROP POLICY own ON orders", ("policy public.orders own", "one", "missing")),
    "row-level security off": (
        "ALTER TABLE orders DISABLE ROW LEVEL SECURITY",
        ("row-level security of public.orders", "one", "missing"),
    ),
    "a label more": ("ALTER TYPE state ADD VALUE 'lost'", ("type public.state", "none", "'lost'")),
    "a domain's check": (
        "ALTER DOMAIN positive DROP CONSTRAINT positive_check",
        ("domain public.positive", "CONSTRAINT positive_check CHECK ((VALUE > 0))", "missing"),
    ),
    "a sequence's step": (
        "ALTER SEQUENCE invoices INCREMENT 5",
        ("sequence public.invoices", "INCREMENT BY 2", "INCREMENT BY 5"),
    ),
    "statistics less": ("DROP STATISTICS related", ("statistics public.related", "one", "missing")),
    "a comment": (
        "COMMENT ON TABLE orders IS 'what was sold'",
        (
            "comment on TABLE orders in public",
            "COMMENT ON TABLE public.orders IS 'what was ordered'",
            "COMMENT ON TABLE public.orders IS 'what was sold'",
        ),
    ),
    "a table more": ("CREATE TABLE further ()", ("table public.further", "none", "one")),
}


#: The last one is not changed.
SCHEMAS = {fault: f"shop{number}" for number, fault in enumerate([*FAULTS, "none"])}


@pytest.fixture(scope="module")
def found(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, str]]]:
    """All differences of a database with a shop for each fault, which is changed in it after the restore."""
    scratch = tmp_path_factory.mktemp("shops")
    database = postgres.create_database()
    try:
        for schema in SCHEMAS.values():
            filled(postgres, database, f"CREATE SCHEMA {schema}; SET search_path = {schema}; {SHOP}")
        with drilled(postgres, backed_up(postgres, database, scratch), scratch) as drill:
            for fault, (change, _) in FAULTS.items():
                drill.change(f"SET search_path = {SCHEMAS[fault]}; {change}")
            yield drill.differences()
    finally:
        postgres.drop_database(database)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_difference_is_found_and_named(found: dict[str, tuple[str, str]], fault: str) -> None:
    schema, (_, told) = SCHEMAS[fault], FAULTS[fault]
    name, *values = [text.replace("public", schema) for text in told]
    of_this = {what: texts for what, texts in found.items() if f"{schema}." in f"{what}."}
    assert of_this == {name: tuple(values)}


def test_what_was_not_changed_is_not_told(found: dict[str, tuple[str, str]]) -> None:
    assert [what for what in found if SCHEMAS["none"] in what] == []
    assert len(found) == len(FAULTS)


@pytest.fixture(params=["rich", "peculiar with settings", pytest.param("peculiar", marks=pytest.mark.soak)])
def source(
    request: pytest.FixtureRequest, postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> Iterator[RestoreSource]:
    """A backup of a database of many kinds."""
    with postgres.connect(postgres_database, autocommit=True) as connection:
        if request.param == "rich":
            make_rich_database(connection)
        else:
            make_peculiar_database(
                connection, since_18=postgres.major >= 18, with_settings=request.param == "peculiar with settings"
            )
    yield backed_up(postgres, postgres_database, tmp_path)
    filled(postgres, postgres_database, "SET default_transaction_read_only = off", "DROP SUBSCRIPTION IF EXISTS far")
    postgres.drop_database(postgres_database)
    if request.param == "rich":
        drop_rich_roles(postgres, postgres_database)


def test_there_is_no_false_alarm(postgres: PostgresServer, source: RestoreSource, tmp_path: Path) -> None:
    with drilled(postgres, source, tmp_path) as drill:
        assert drill.differences() == {}


@ONE_MAJOR_AT_FIRST
def test_there_is_none_of_a_dump_that_somebody_made(
    postgres: PostgresServer, source: RestoreSource, tmp_path: Path
) -> None:
    with drilled(postgres, imported(source), tmp_path) as drill:
        assert drill.differences() == {}


@ON_16
def test_there_is_none_on_a_newer_server(
    postgres: PostgresServer, postgres18: PostgresServer, source: RestoreSource, tmp_path: Path
) -> None:
    with drilled(postgres18, source, tmp_path) as drill:
        assert drill.differences() == {}


@ON_16
def test_members_of_extensions_are_not_compared_and_extensions_are(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    filled(postgres, postgres_database, "CREATE SCHEMA theirs", "CREATE EXTENSION vector SCHEMA theirs")
    with drilled(postgres, backed_up(postgres, postgres_database, tmp_path), tmp_path) as drill:
        assert drill.differences() == {}
        drill.change("ALTER EXTENSION vector SET SCHEMA public")
        assert list(drill.differences()) == ["extension vector"]


_OF_SUPERUSERS = """
CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION noted();
COMMENT ON EVENT TRIGGER noted IS 'noted';
CREATE PUBLICATION whole FOR ALL TABLES;
CREATE FUNCTION quick(internal) RETURNS internal LANGUAGE internal AS 'textin';
CREATE TABLE kept (kind varchar(3) CHECK (kind IN ('a', 'b')));
CREATE INDEX kept_kind ON kept (kind);
"""


@ON_16
@pytest.mark.parametrize("index", ["kept", "dropped"])
def test_what_a_role_without_superuser_could_not_make_is_not_missed(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path, index: str
) -> None:
    filled(postgres, postgres_database, _OF_SUPERUSERS)
    source = backed_up(postgres, postgres_database, tmp_path)
    with signing_in(postgres, f"plain-{postgres_database}", "CREATEDB") as role:
        url = postgres.url(user=role, password=postgres.password)
        with drilled(postgres, source, tmp_path, url=url) as drill:
            if index == "dropped":
                drill.change("DROP INDEX kept_kind")
            assert list(drill.differences()) == (["index public.kept_kind"] if index == "dropped" else [])


class Cancelling(Unattended):
    """A run that is cancelled once a second database is made."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._second = restore_name(drill.place.destination.name, token_beside(drill.place.destination.token))

    def raise_if_cancelled(self) -> None:
        with self._drill.server.connect() as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [self._second]).fetchone() is not None:
                raise Cancelled("cancelled")


@ON_16
def test_a_cancelled_comparison_leaves_nothing(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    filled(postgres, postgres_database, "CREATE TABLE kept (kind varchar(3) CHECK (kind IN ('a', 'b')))")
    with drilled(postgres, backed_up(postgres, postgres_database, tmp_path), tmp_path) as drill:
        run = Cancelling(drill)
        with pytest.raises(Cancelled):
            compare_schemas(drill.source, drill.built, drill.place, drill.workplace, run)


@ON_16
def test_without_pg_dump_for_the_server_nothing_is_said(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Lacking, match="no pg_dump 16 was found") as raised:
        schema_of(postgres.url(), Workplace(tmp_path), Unattended(), installs=tmp_path)
    assert raised.value.hint is not None
    assert "postgresql-client-16" in raised.value.hint
