"""What of a dump is compared, and how a difference is told."""

from dataclasses import replace

import pytest

from hhh.engines.postgresql.archive import Entry, Section
from hhh.engines.postgresql.definitions import called, definitions, difference
from hhh.engines.postgresql.objects import Identity

TABLE = Entry(
    dump_id=1,
    tag="orders",
    description="TABLE",
    section=Section.PRE_DATA,
    definition="CREATE TABLE public.orders (\n    id integer,\n    amount numeric(10,2)\n);\n\n",
    drop_statement="DROP TABLE public.orders;\n",
    copy_statement="",
    namespace="public",
    owner="app",
    tablespace="",
    dependencies=(),
    has_data=False,
)
ORDERS = Identity("TABLE", "public", "orders")


def entry(description: str, tag: str, definition: str = "", *, section: Section = Section.PRE_DATA) -> Entry:
    return replace(TABLE, description=description, tag=tag, definition=definition, section=section)


def test_owners_and_tablespaces_are_no_definitions() -> None:
    elsewhere = replace(TABLE, dump_id=7, owner="other", tablespace="fast", dependencies=(3,))
    assert definitions([TABLE]) == definitions([elsewhere]) != {}


def test_how_a_table_keeps_its_rows_is_part_of_it() -> None:
    usual, other = replace(TABLE, access_method="heap"), replace(TABLE, access_method="columnar")
    assert definitions([usual]) == definitions([TABLE])
    told = difference(ORDERS, definitions([other])[ORDERS], definitions([usual])[ORDERS])
    assert (told.expected, told.found) == ("USING columnar", "missing")


@pytest.mark.parametrize(
    "left_out",
    [
        entry("TABLE DATA", "orders", section=Section.DATA),
        entry("SEQUENCE SET", "invoices", section=Section.DATA),
        entry("STATISTICS DATA", "orders", section=Section.NONE),
        entry("BLOB", "4711"),
        entry("ACL", "TABLE orders", section=Section.NONE),
        entry("DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", section=Section.POST_DATA),
        entry("SUBSCRIPTION", "far", section=Section.POST_DATA),
        entry("DATABASE PROPERTIES", "shop"),
        entry("COMMENT", "LARGE OBJECT 4711", "COMMENT ON LARGE OBJECT 4711 IS 'x';", section=Section.NONE),
        entry("COMMENT", "EXTENSION hstore", "COMMENT ON EXTENSION hstore IS 'of its version';", section=Section.NONE),
        entry("SCHEMA", "public", "CREATE SCHEMA public;"),
        entry("COMMENT", "SCHEMA public", "COMMENT ON SCHEMA public IS 'standard public schema';"),
    ],
    ids=lambda each: f"{each.description} {each.tag}",
)
def test_what_is_no_definition_or_everywhere_is_not_compared(left_out: Entry) -> None:
    assert definitions([left_out]) == {}


def test_what_is_called_the_same_is_all_compared() -> None:
    """The constraint ``c`` of ``a b`` and the constraint ``b c`` of ``a``."""
    one, other = entry("CONSTRAINT", "a b c", "ADD 1;"), entry("CONSTRAINT", "a b c", "ADD 2;")
    [(what, texts)] = definitions([other, one]).items()
    assert texts == ["ADD 1;", "ADD 2;"]
    told = difference(what, texts, texts[:1])
    assert (told.expected, told.found) == ("2 of that name", "one")


def test_needless_quotes_in_signatures_make_no_other_function() -> None:
    quoted, plain = entry("FUNCTION", 'f("text", "Odd")'), entry("FUNCTION", 'f(text, "Odd")')
    assert definitions([quoted]) == definitions([plain])


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (ORDERS, "table public.orders"),
        (Identity("SCHEMA", "", "shop"), "schema shop"),
        (Identity("FK CONSTRAINT", "public", "orders fk"), "foreign key public.orders fk"),
        (Identity("OPERATOR", "public", "public.=== (integer, text)"), "operator public.=== (integer, text)"),
        (Identity("COMMENT", "public", "TABLE orders"), "comment on TABLE orders in public"),
        (Identity("COMMENT", "", "SCHEMA shop"), "comment on SCHEMA shop"),
    ],
)
def test_objects_have_names_for_people(what: Identity, name: str) -> None:
    assert called(what) == name


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        ("a,\nb,\nc", "a,\nx,\nc", ("b", "x")),
        ("a,\nb,\nc", "a,\nc", ("b", "missing")),
        ("a,\nb", "a", ("b", "missing")),
        ("a,\nc", "a,\nb,\nc", ("none", "b")),
        ("a", "a,\nb", ("none", "b")),
        ("a,\nb", "b,\na", ("a", "b")),
        ("a\n  b", "a\n    b", ("  b", "    b")),
        ("a;", "a", ("a;", "a")),
    ],
)
def test_the_first_line_that_differs_is_told(expected: str, found: str, told: tuple[str, str]) -> None:
    difference_of_both = difference(ORDERS, [expected], [found])
    assert (difference_of_both.expected, difference_of_both.found) == told


def test_long_lines_are_told_where_they_differ() -> None:
    told = difference(ORDERS, ["x" * 1000 + "y" + "z" * 1000], ["x" * 1000 + "w" + "z" * 1000])
    assert told.expected == "…" + "x" * 60 + "y" + "z" * 239 + "…"
    assert told.found == "…" + "x" * 60 + "w" + "z" * 239 + "…"


@pytest.mark.parametrize("kind", ["SERVER", "USER MAPPING", "FOREIGN DATA WRAPPER"])
def test_passwords_are_not_repeated(kind: str) -> None:
    told = difference(Identity(kind, "", "far"), ["OPTIONS (password 'one')"], ["OPTIONS (password 'other')"])
    assert "password" not in told.expected + told.found
