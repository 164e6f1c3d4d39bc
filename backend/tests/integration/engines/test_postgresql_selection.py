"""Some tables of a database, restored with all they need and without an error."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg import Connection

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.archive import Archive, write_list
from hhh.engines.postgresql.selection import Selection, select
from support.postgres import PostgresServer
from support.postgres_data import ODD_NAMES, ODD_SCHEMA, make_odd_names_database
from support.postgres_dumps import dump_by_hand, restore

pytestmark = pytest.mark.postgres

_SHOP: LiteralString = """
CREATE SCHEMA shop;
CREATE SCHEMA stock;
COMMENT ON SCHEMA shop IS 'of a shop';
CREATE TYPE shop.state AS ENUM ('open', 'paid');
CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '%@%');
COMMENT ON DOMAIN shop.email IS 'an address';
CREATE TYPE shop.size AS (width integer, state shop.state);
CREATE SEQUENCE shop.numbers START 10 INCREMENT 5;
CREATE FUNCTION shop.fallback() RETURNS integer LANGUAGE sql AS 'SELECT 42';
CREATE FUNCTION stock.is_good(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n > 0';
CREATE FUNCTION stock.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TABLE shop.customers (
    id serial PRIMARY KEY, mail shop.email UNIQUE, size shop.size, rank integer DEFAULT shop.fallback(),
    number integer DEFAULT nextval('shop.numbers'), CHECK (stock.is_good(number))
);
COMMENT ON TABLE shop.customers IS E'who buys\\nhere';
COMMENT ON COLUMN shop.customers.mail IS 'where to';
CREATE TABLE stock.parts (id integer PRIMARY KEY, name text);
CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY (START 40 INCREMENT 2) PRIMARY KEY, state shop.state NOT NULL,
    customer integer NOT NULL REFERENCES shop.customers, part integer REFERENCES stock.parts,
    net numeric NOT NULL, gross numeric GENERATED ALWAYS AS (net * 1.2) STORED, during int4range,
    EXCLUDE USING gist (during WITH &&)
);
CREATE INDEX orders_open ON shop.orders (customer) WHERE state = 'open';
CREATE STATISTICS shop.orders_statistics ON customer, part FROM shop.orders;
ALTER TABLE shop.orders CLUSTER ON orders_pkey;
ALTER TABLE shop.orders REPLICA IDENTITY FULL;
CREATE TRIGGER noted BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION stock.note();
ALTER TABLE shop.orders ENABLE ALWAYS TRIGGER noted;
COMMENT ON TRIGGER noted ON shop.orders IS 'why';
CREATE RULE kept AS ON DELETE TO shop.orders DO INSTEAD NOTHING;
CREATE RULE counted AS ON UPDATE TO shop.orders DO ALSO INSERT INTO stock.parts VALUES (NEW.part);
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY good ON shop.customers USING (stock.is_good(id));
CREATE POLICY stocked ON shop.customers USING (EXISTS (SELECT FROM stock.parts));
CREATE TABLE shop.log (
    id integer, at date NOT NULL, customer integer REFERENCES shop.customers, PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE stock.log_2024 PARTITION OF shop.log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE shop.log_2025 PARTITION OF shop.log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
    PARTITION BY LIST (id);
CREATE TABLE shop.log_2025_rest PARTITION OF shop.log_2025 DEFAULT;
CREATE INDEX ON shop.log (customer);
CREATE TRIGGER logged AFTER INSERT ON shop.log FOR EACH ROW EXECUTE FUNCTION stock.note();
CREATE TABLE shop.nodes (id integer PRIMARY KEY, above integer REFERENCES shop.nodes DEFERRABLE);
CREATE TABLE shop.one (id integer PRIMARY KEY, other integer);
CREATE TABLE shop.other (id integer PRIMARY KEY, one integer REFERENCES shop.one);
ALTER TABLE shop.one ADD FOREIGN KEY (other) REFERENCES shop.other;
CREATE TABLE shop.base (id integer);
CREATE TABLE shop.heir (more text) INHERITS (shop.base);
CREATE TABLE shop.borrowed (id integer DEFAULT nextval('shop.customers_id_seq'));
CREATE VIEW shop.shown AS SELECT o.id, c.mail FROM shop.orders o JOIN shop.customers c ON c.id = o.customer;
CREATE VIEW shop.stocked AS SELECT name FROM stock.parts;
CREATE VIEW shop.grouped AS SELECT id, above FROM shop.nodes GROUP BY id;
CREATE MATERIALIZED VIEW shop.summed AS SELECT count(*) AS many FROM shop.nodes;
CREATE UNIQUE INDEX ON shop.summed (many);
CREATE MATERIALIZED VIEW stock.summed AS SELECT count(*) AS many FROM shop.nodes;
CREATE PUBLICATION news FOR TABLE shop.orders;
GRANT SELECT ON shop.orders TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;
INSERT INTO shop.customers (mail, size) VALUES ('a@b', (1, 'open')), ('c@d', NULL), ('e@f', NULL);
INSERT INTO stock.parts VALUES (7, 'wheel');
INSERT INTO shop.orders (state, customer, part, net, during)
    VALUES ('open', 1, 7, 1.5, '[1,5)'), ('paid', 2, NULL, 3, NULL);
INSERT INTO shop.log VALUES (1, '2024-03-01', 1), (2, '2025-03-01', 2), (3, '2025-04-01', NULL);
INSERT INTO shop.nodes VALUES (1, NULL), (2, 1);
INSERT INTO shop.one VALUES (1, NULL);
INSERT INTO shop.other VALUES (5, 1);
UPDATE shop.one SET other = 5;
INSERT INTO shop.base VALUES (1);
INSERT INTO shop.heir VALUES (2, 'two');
REFRESH MATERIALIZED VIEW shop.summed;
SELECT lo_from_bytea(0, 'content');
"""

_COUNTED_RULE = (
    "rule CREATE RULE counted AS\n    ON UPDATE TO shop.orders DO  INSERT INTO stock.parts (id)\n  VALUES (new.part);"
)

_DEFINITIONS: LiteralString = """
SELECT c.oid::regclass || ': ' || part.said FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    LATERAL (
        SELECT 'is ' || concat_ws(' ', c.relkind, c.relreplident, c.relrowsecurity, c.reloptions,
                                  obj_description(c.oid, 'pg_class'), pg_get_partkeydef(c.oid),
                                  pg_get_expr(c.relpartbound, c.oid), (
                                      SELECT string_agg(i.inhparent::regclass::text, ',') FROM pg_inherits i
                                       WHERE i.inhrelid = c.oid))
        UNION ALL SELECT 'column ' || concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                                                a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid),
                                                pg_get_serial_sequence(c.oid::regclass::text, a.attname),
                                                col_description(c.oid, a.attnum))
          FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND c.relkind IN ('r', 'p', 'v', 'm')
        UNION ALL SELECT 'constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid) FROM pg_constraint k
         WHERE k.conrelid = c.oid AND k.contype <> 'n'
        UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) || i.indisclustered FROM pg_index i
         WHERE i.indrelid = c.oid
        UNION ALL SELECT 'trigger ' || concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled,
                                                 obj_description(t.oid, 'pg_trigger'))
          FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
        UNION ALL SELECT 'rule ' || pg_get_ruledef(r.oid) FROM pg_rewrite r WHERE r.ev_class = c.oid
        UNION ALL SELECT 'policy ' || p.polname || pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p
         WHERE p.polrelid = c.oid
        UNION ALL SELECT 'statistics ' || pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s
         WHERE s.stxrelid = c.oid
        UNION ALL SELECT 'sequence ' || concat_ws(' ', q.seqtypid::regtype, q.seqstart, q.seqincrement)
          FROM pg_sequence q WHERE q.seqrelid = c.oid
    ) part (said)
 WHERE n.nspname IN ('shop', 'stock') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
"""


@dataclass(frozen=True)
class Restored:
    """A selection, and the database that it was restored into."""

    selection: Selection
    database: "Connection[Any]"
    source: "Connection[Any]"

    def rows(self, query: LiteralString) -> list[Any]:
        return self.database.execute(query).fetchall()

    def definitions(self) -> tuple[set[str], set[str]]:
        """What is said of the relations that are there now: in the source only, and here only."""
        [here, there] = [{said for (said,) in each.execute(_DEFINITIONS)} for each in (self.database, self.source)]
        relations = {said.partition(": ")[0] for said in here}
        return {said for said in there if said.partition(": ")[0] in relations} - here, here - there


class Shop:
    """A dump of a shop, parts of which are restored."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self.name = server.create_database()
        with server.connect(self.name) as connection:
            connection.execute(_SHOP)
        self.dump = folder / "shop.dump"
        dump_by_hand(server, self.name, self.dump)
        self.archive = Archive.read(self.dump)
        self._made = [self.name]
        self._open: list[Connection[Any]] = []

    def restore(self, *wanted: str) -> Restored:
        selection = select(self.archive, wanted)
        write_list(selection.entries, self.dump.with_suffix(".list"))
        name = self.server.create_database()
        self._made.append(name)
        restore(self.server, self.dump.read_bytes(), name, f"--use-list={self.dump.with_suffix('.list')}")
        database, source = (self.server.connect(each, autocommit=True) for each in (name, self.name))
        self._open += [database, source]
        return Restored(selection, database, source)

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        for name in self._made:
            self.server.drop_database(name)


@pytest.fixture(scope="module")
def shop(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop, one for each major."""
    shop = Shop(postgres, tmp_path_factory.mktemp("shop"))
    yield shop
    shop.close()


def test_tables_come_with_all_that_belongs_to_them_and_nothing_else(shop: Shop) -> None:
    restored = shop.restore("shop.customers", "shop.orders")
    missing, added = restored.definitions()
    assert {said.partition(" ")[2] for said in missing} == {
        "constraint orders_part_fkey FOREIGN KEY (part) REFERENCES stock.parts(id)",
        "policy stocked(EXISTS ( SELECT\n   FROM stock.parts))",
        _COUNTED_RULE,
    }
    assert added == set()
    assert restored.selection.tables == ("shop.customers", "shop.orders")
    assert restored.rows("SELECT mail, size::text, rank, number FROM shop.customers ORDER BY id") == [
        ("a@b", "(1,open)", 42, 10),
        ("c@d", None, 42, 15),
        ("e@f", None, 42, 20),
    ]
    assert restored.rows("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'v', 'm') AND oid > 16383") == [(2,)]


def test_sequences_go_on_where_they_were(shop: Shop) -> None:
    restored = shop.restore("shop.customers", "shop.orders")
    assert set(restored.selection.sequences) == {"shop.customers_id_seq", "shop.numbers", "shop.orders_id_seq"}
    restored.database.execute("INSERT INTO shop.customers (mail) VALUES ('g@h')")
    restored.database.execute("INSERT INTO shop.orders (state, customer, net) VALUES ('open', 4, 1)")
    assert restored.rows("SELECT id, number FROM shop.customers ORDER BY id DESC LIMIT 1") == [(4, 25)]
    assert restored.rows("SELECT id FROM shop.orders ORDER BY id") == [(40,), (42,), (44,)]


def test_what_does_not_come_is_told(shop: Shop) -> None:
    selection = select(shop.archive, ["shop.orders", "shop.nodes", "shop.base"])
    assert set(selection.left_out) == {
        "Left out: foreign key orders_customer_fkey of shop.orders, which needs shop.customers",
        "Left out: foreign key orders_part_fkey of shop.orders, which needs stock.parts",
        "Left out: rule counted of shop.orders, which needs stock.parts",
        "shop.orders is not added to its publication news",
        "The view shop.shown reads shop.orders and was not selected",
        "The view shop.grouped reads shop.nodes and was not selected",
        "The materialized view shop.summed reads shop.nodes and was not selected",
        "The materialized view stock.summed reads shop.nodes and was not selected",
        "shop.heir inherits from shop.base and was not selected: its rows do not come",
        "Large objects do not come along: they belong to no table",
    }


def test_a_partitioned_table_comes_with_its_partitions_wherever_they_are(shop: Shop) -> None:
    restored = shop.restore("shop.log", "shop.customers")
    assert set(restored.selection.tables) == {"shop.customers", "shop.log_2025_rest", "stock.log_2024"}
    missing, added = restored.definitions()
    assert [said for said in missing if "policy" not in said] == []
    assert added == set()
    assert restored.rows("SELECT id, customer FROM shop.log ORDER BY id") == [(1, 1), (2, 2), (3, None)]


def test_a_partition_alone_comes_as_a_table_of_its_own(shop: Shop) -> None:
    restored = shop.restore("stock.log_2024")
    assert restored.rows("SELECT id, relkind FROM stock.log_2024, pg_class WHERE relname = 'log_2024'") == [(1, "r")]
    assert restored.rows("SELECT conname FROM pg_constraint WHERE contype = 'p' AND oid > 16383") == [
        ("log_2024_pkey",)
    ]
    assert restored.selection.left_out[0] == (
        "stock.log_2024 is a partition of shop.log, which was not selected: it comes without the foreign keys and "
        "triggers that it has from there"
    )


def test_foreign_keys_in_a_circle_come_along(shop: Shop) -> None:
    restored = shop.restore("shop.one", "shop.other", "shop.nodes")
    assert restored.definitions() == (set(), set())
    assert restored.rows("SELECT a.id, b.id FROM shop.one a JOIN shop.other b ON b.one = a.id") == [(1, 5)]


def test_a_parent_that_is_needed_comes_without_rows(shop: Shop) -> None:
    restored = shop.restore("shop.heir")
    assert restored.rows("SELECT * FROM shop.base") == [(2,)]
    assert restored.selection.tables == ("shop.heir",)
    assert "shop.base comes without its rows: only its definition is needed" in restored.selection.left_out


def test_a_sequence_of_another_table_comes_without_that_table(shop: Shop) -> None:
    restored = shop.restore("shop.borrowed")
    restored.database.execute("INSERT INTO shop.borrowed DEFAULT VALUES")
    assert restored.rows("SELECT id FROM shop.borrowed") == [(4,)]
    assert (
        "The sequence shop.customers_id_seq comes without shop.customers, to which it belongs"
        in restored.selection.left_out
    )


def test_a_schema_comes_whole_except_for_what_needs_others(shop: Shop) -> None:
    restored = shop.restore("shop")
    missing, added = restored.definitions()
    told = {sentence for sentence in restored.selection.left_out if sentence.startswith("Left out")}
    assert told == {
        "Left out: foreign key orders_part_fkey of shop.orders, which needs stock.parts",
        "Left out: rule counted of shop.orders, which needs stock.parts",
        "Left out: policy stocked of shop.customers, which needs stock.parts",
        "Left out: view shop.stocked, which needs stock.parts",
    }
    assert len(missing) == 3
    assert added == set()
    assert restored.rows("SELECT many FROM shop.summed") == [(2,)]
    assert restored.rows("SELECT id FROM shop.grouped ORDER BY id") == [(1,), (2,)]
    assert restored.rows("SELECT obj_description('shop'::regnamespace)") == [("of a shop",)]
    assert "stock.log_2024" in restored.selection.tables


def test_a_materialised_view_is_not_filled_from_tables_without_rows(shop: Shop) -> None:
    restored = shop.restore("stock.summed")
    assert restored.rows("SELECT relispopulated FROM pg_class WHERE relname = 'summed'") == [(False,)]
    assert set(restored.selection.left_out) >= {
        "Left out: content of stock.summed, which needs shop.nodes",
        "shop.nodes comes without its rows: only its definition is needed",
    }


def test_names_that_do_not_exist_are_told_with_the_nearest(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match=r"Not in the dump: shop\.ordres, orders") as refused:
        select(shop.archive, ["shop.ordres", "shop.nodes", "orders"])
    assert refused.value.hint == "near to it are shop.orders"


def test_an_extension_that_is_needed_is_named(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        [(extension, type_name)] = connection.execute(
            "SELECT name, name FROM pg_available_extensions WHERE name IN ('hstore', 'vector') ORDER BY name LIMIT 1"
        ).fetchall()
        connection.execute(f"CREATE EXTENSION {extension}".encode())
        connection.execute(f"CREATE TABLE with_it (content {type_name}); CREATE TABLE without_it ()".encode())
    dump_by_hand(postgres, postgres_database, tmp_path / "dump")
    archive = Archive.read(tmp_path / "dump")
    assert select(archive, ["public.with_it"]).extensions == (extension,)
    assert select(archive, ["public.without_it"]).extensions == ()


def test_odd_names_can_be_selected_each_for_itself(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        expected = make_odd_names_database(connection)
    dump_by_hand(postgres, postgres_database, tmp_path / "dump")
    archive = Archive.read(tmp_path / "dump")
    for name in ODD_NAMES:
        written = ".".join('"' + part.replace('"', '""') + '"' for part in (ODD_SCHEMA, name))
        selection = select(archive, [written])
        assert selection.tables == (f"{ODD_SCHEMA}.{name}",)
        kinds = [entry.description for entry in selection.entries]
        assert kinds == [
            *("SCHEMA", "TABLE", "COMMENT", "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT"),
            *("TABLE DATA", "SEQUENCE SET", "CONSTRAINT", "INDEX"),
        ]
    whole = select(archive, ['"' + ODD_SCHEMA.replace('"', '""') + '"'])
    assert len(whole.tables) == len([schema for schema, _ in expected if schema == ODD_SCHEMA])
