from typing import Any

import pytest

from hhh.schemas.facts import (
    DatabaseProperties,
    ExtensionFacts,
    Facts,
    LargeObjectFacts,
    LargeObjectGrant,
    LargeObjectPrivileges,
    PostgresqlFacts,
    SequenceFacts,
    SqliteFacts,
    TableFacts,
)
from hhh.services.comparison import compare, compared_contents, compared_tables


def table(name: str, rows: int, schema: str = "public", fingerprint: str | None = None) -> TableFacts:
    return TableFacts(schema_name=schema, name=name, rows=rows, fingerprint=fingerprint)


def sequence(last_value: int, *, is_called: bool = True, increment: int = 1) -> SequenceFacts:
    return SequenceFacts(
        schema_name="public", name="ids", last_value=last_value, is_called=is_called, increment=increment
    )


def extension(name: str, version: str = "1.0") -> ExtensionFacts:
    return ExtensionFacts(name=name, version=version, schema_name="public")


def postgresql(**changed: Any) -> PostgresqlFacts:
    properties = DatabaseProperties(
        name="shop",
        owner="shop",
        encoding="UTF8",
        locale_provider="libc",
        collation="C",
        character_type="C",
        icu_locale=None,
        collation_version=None,
        settings=[],
    )
    known: dict[str, Any] = {
        "server_version": "16.4",
        "system_identifier": "1",
        "database": properties,
        "tables": [table("orders", 3), table("empty", 0)],
        "sequences": [sequence(7)],
        "large_objects": LargeObjectFacts(count=2, total_bytes=10),
        "extensions": [extension("hstore")],
        "roles": ["shop"],
    }
    return PostgresqlFacts(**(known | changed))


def large_objects(*grants: tuple[str, str, str], objects: str = "1..2", known: bool = True) -> LargeObjectFacts:
    """Two large objects of shop: who granted what to whom."""
    told = [
        LargeObjectGrant(grantor=grantor, grantee=grantee, privilege=privilege, is_grantable=False)
        for grantor, grantee, privilege in grants
    ]
    privileges = [LargeObjectPrivileges(owner="shop", grants=told, count=2, objects=objects)]
    return LargeObjectFacts(count=2, total_bytes=10, privileges=privileges if known else None)


def sqlite(**changed: Any) -> SqliteFacts:
    known: dict[str, Any] = {
        "sqlite_version": "3.54.0",
        "page_size": 4096,
        "page_count": 7,
        "journal_mode": "wal",
        "encoding": "UTF-8",
        "user_version": 5,
        "application_id": 9,
        "auto_vacuum": 0,
        "integrity_check": "ok",
        "quick_check": "ok",
        "tables": [table("orders", 3, "")],
        "objects": [("index", "by_day"), ("view", "sums")],
    }
    return SqliteFacts(**(known | changed))


@pytest.mark.parametrize("facts", [postgresql(), sqlite()])
def test_the_same_has_no_difference(facts: Facts) -> None:
    assert compare(facts, facts) == []


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(postgresql(server_version="18.1", system_identifier=None, roles=[]), id="another server"),
        pytest.param(postgresql(tables=[table("empty", 0), table("orders", 3)]), id="another order"),
        pytest.param(postgresql(extensions=[extension("hstore", "1.9")]), id="a newer extension"),
        pytest.param(postgresql(extensions=[extension("hstore"), extension("plpgsql")]), id="one more extension"),
        pytest.param(postgresql(large_objects=LargeObjectFacts(count=2, total_bytes=None)), id="bytes not known"),
        pytest.param(postgresql(sequences=[sequence(8)]), id="a sequence that is further"),
        pytest.param(sqlite(journal_mode="delete", page_count=6, sqlite_version="3.40.0"), id="another journal"),
        pytest.param(sqlite(objects=[("view", "sums"), ("index", "by_day")]), id="another order of objects"),
    ],
)
def test_what_may_be_another_is_no_difference(found: Facts) -> None:
    assert compare(postgresql() if isinstance(found, PostgresqlFacts) else sqlite(), found) == []


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(large_objects(("x", "y", "SELECT"), ("shop", "x", "SELECT")), id="another order, other ranges"),
        pytest.param(large_objects(("shop", "x", "SELECT"), ("shop", "y", "SELECT")), id="by the owner"),
        pytest.param(large_objects(known=False), id="not all could be given back"),
    ],
)
def test_privileges_on_large_objects_may_be_granted_by_another(found: LargeObjectFacts) -> None:
    source = large_objects(("shop", "x", "SELECT"), ("x", "y", "SELECT"), objects="1 2")
    assert compare(postgresql(large_objects=source), postgresql(large_objects=found)) == []
    unknown = postgresql(large_objects=large_objects(known=False))
    assert compare(unknown, postgresql(large_objects=found)) == []


def test_each_kind_of_privileges_on_large_objects_is_counted() -> None:
    source = postgresql(large_objects=large_objects(("shop", "", "SELECT")))
    found = postgresql(large_objects=large_objects())
    told = [(each.name, each.expected, each.found) for each in compare(source, found)]
    assert told == [
        ("large objects with SELECT for PUBLIC (owner shop)", "2", "0"),
        ("large objects with no privileges (owner shop)", "0", "2"),
    ]


@pytest.mark.parametrize(
    ("found", "name", "expected", "was_found"),
    [
        (postgresql(tables=[table("orders", 2), table("empty", 0)]), "rows of public.orders", "3", "2"),
        (postgresql(tables=[table("orders", 4), table("empty", 0)]), "rows of public.orders", "3", "4"),
        (postgresql(tables=[table("orders", 3)]), "rows of public.empty", "0", "the table is missing"),
        (
            postgresql(tables=[table("orders", 3), table("empty", 0), table("orders", 3, "other")]),
            "table other.orders",
            "none",
            "one with 3 rows",
        ),
        (postgresql(sequences=[]), "sequence public.ids", "7 (handed out, increment 1) or later", "missing"),
        (postgresql(extensions=[]), "extension hstore", "1.0", "missing"),
        (postgresql(large_objects=LargeObjectFacts(count=1, total_bytes=10)), "large objects", "2", "1"),
        (postgresql(large_objects=LargeObjectFacts(count=2, total_bytes=9)), "bytes of large objects", "10", "9"),
        (sqlite(tables=[table("orders", 2, "")]), "rows of orders", "3", "2"),
        (sqlite(objects=[("view", "sums")]), "index by_day", "one", "missing"),
        (
            sqlite(objects=[("index", "by_day"), ("view", "sums"), ("trigger", "sums")]),
            "trigger sums",
            "none",
            "one",
        ),
        (sqlite(user_version=6), "user_version", "5", "6"),
        (sqlite(application_id=0), "application_id", "9", "0"),
        (sqlite(encoding="UTF-16le"), "encoding", "UTF-8", "UTF-16le"),
        (sqlite(page_size=8192), "page_size", "4096", "8192"),
        (sqlite(auto_vacuum=1), "auto_vacuum", "0", "1"),
    ],
)
def test_each_difference_is_told_by_name(found: Facts, name: str, expected: str, was_found: str) -> None:
    source = postgresql() if isinstance(found, PostgresqlFacts) else sqlite()

    [difference] = compare(source, found)
    assert (difference.name, difference.expected, difference.found) == (name, expected, was_found)


@pytest.mark.parametrize(
    ("source", "restored", "same"),
    [
        (sequence(7), sequence(7), True),
        (sequence(7), sequence(8), True),
        (sequence(7), sequence(8, is_called=False), True),
        (sequence(7), sequence(6), False),
        (sequence(7), sequence(7, is_called=False), False),
        (sequence(7, is_called=False), sequence(7), True),
        (sequence(7, is_called=False), sequence(7, is_called=False), True),
        (sequence(-7, increment=-2), sequence(-9, increment=-2), True),
        (sequence(-7, increment=-2), sequence(-5, increment=-2), False),
        (sequence(7), sequence(8, increment=2), False),
        (sequence(7).model_copy(update={"goes_back": True}), sequence(2), True),
        (sequence(7).model_copy(update={"goes_back": True}), sequence(8, increment=2), False),
    ],
)
def test_a_sequence_hands_out_nothing_twice(source: SequenceFacts, restored: SequenceFacts, *, same: bool) -> None:
    differences = compare(postgresql(sequences=[source]), postgresql(sequences=[restored]))

    assert [each.name for each in differences] == ([] if same else ["sequence public.ids"])


def test_a_sequence_that_nobody_knows_is_a_difference() -> None:
    [difference] = compare(postgresql(sequences=[]), postgresql())

    assert (difference.name, difference.expected) == ("sequence public.ids", "none")


def test_only_the_tables_that_were_to_be_restored_are_compared() -> None:
    found = postgresql(
        tables=[table("orders", 3), table("other", 4)],
        sequences=[],
        extensions=[],
        large_objects=LargeObjectFacts(count=0, total_bytes=0),
    )

    assert compare(postgresql(), found, only={"public.orders"}) == []
    assert [each.name for each in compare(postgresql(), found, only={"public.empty"})] == ["rows of public.empty"]


def test_all_differences_are_told() -> None:
    assert len(compare(postgresql(), postgresql(tables=[], sequences=[], extensions=[]))) == 4


@pytest.mark.parametrize(
    ("expected", "found", "compared", "differences"),
    [
        ("full/1:a", "full/1:a", 1, []),
        ("full/1:a", "full/1:b", 1, ["content of public.orders"]),
        ("sampled/1/64:a", "sampled/1/64:b", 1, ["content of public.orders"]),
        ("full/1:a", "full/2:b", 0, []),
        ("full/1:a", "sampled/1/64:b", 0, []),
        ("sampled/1/32:a", "sampled/1/64:b", 0, []),
        ("full/1:a", "full/1-LATIN1:b", 0, []),
        ("full/1:a", None, 0, []),
        (None, "full/1:a", 0, []),
        (None, None, 0, []),
    ],
)
def test_content_is_compared_where_both_sides_looked_at_it_in_the_same_way(
    expected: str | None, found: str | None, compared: int, differences: list[str]
) -> None:
    source = postgresql(tables=[table("orders", 3, fingerprint=expected)])
    restored = postgresql(tables=[table("orders", 3, fingerprint=found)])

    assert compared_contents(source, restored) == compared
    assert [each.name for each in compare(source, restored)] == differences


def test_a_difference_of_content_names_both_fingerprints() -> None:
    source = postgresql(tables=[table("orders", 3, fingerprint="full/1:a")])
    [difference] = compare(source, postgresql(tables=[table("orders", 3, fingerprint="full/1:b")]))

    assert (difference.expected, difference.found) == ("full/1:a", "full/1:b")


def test_another_number_of_rows_is_told_once() -> None:
    source = postgresql(tables=[table("orders", 3, fingerprint="full/1:a")])
    [difference] = compare(source, postgresql(tables=[table("orders", 4, fingerprint="full/1:b")]))

    assert difference.name == "rows of public.orders"


def test_another_engine_is_another_database() -> None:
    [difference] = compare(postgresql(), sqlite())

    assert (difference.name, difference.expected, difference.found) == ("engine", "postgresql", "sqlite")


@pytest.mark.parametrize(("version", "same"), [("1.0", False), ("1.1", True), ("unknown", True)])
def test_what_another_version_of_an_extension_filled_is_not_compared(version: str, *, same: bool) -> None:
    of_extension = table("codes", 9).model_copy(update={"extension": "hstore"})
    expected = postgresql(tables=[table("codes", 7), table("orders", 3)], extensions=[extension("hstore", version)])
    found = postgresql(tables=[of_extension, table("orders", 3)])

    assert [each.name for each in compare(expected, found)] == ([] if same else ["rows of public.codes"])
    assert [each.name for each in compared_tables(expected, found)] == (["orders"] if same else ["codes", "orders"])
    changed = found.model_copy(update={"tables": [of_extension, table("orders", 4)]})
    assert "rows of public.orders" in [each.name for each in compare(expected, changed)]


def partitions(*rows: int, fingerprints: tuple[str | None, ...] = (None, None), known: bool = True) -> list[TableFacts]:
    """Of a table whose rows a restore shares out anew."""
    root = ("public", "spread") if known else None
    names = ("one", "two", "three")
    return [
        table(name, count, fingerprint=fingerprint).model_copy(update={"root": root})
        for name, count, fingerprint in zip(names, rows, (*fingerprints, None), strict=False)
    ]


@pytest.mark.parametrize(
    ("before", "after", "only", "differences"),
    [
        ((10, 20), (30, 0), None, {}),
        ((10, 20), (30, 0), {"public.one", "public.two"}, {}),
        ((10, 20), (30, 1), None, {"rows of public.spread": ("30", "31")}),
        (
            (10, 20),
            (30,),
            None,
            {"rows of public.one": ("10", "30"), "rows of public.two": ("20", "the table is missing")},
        ),
        ((10, 20), (10, 20, 0), None, {"table public.three": ("none", "one with 0 rows")}),
    ],
)
def test_of_partitions_between_which_rows_move_the_sum_is_compared(
    before: tuple[int, ...],
    after: tuple[int, ...],
    only: set[str] | None,
    differences: dict[str, tuple[str, str]],
) -> None:
    expected, found = postgresql(tables=partitions(*before)), postgresql(tables=partitions(*after))

    told = {each.name: (each.expected, each.found) for each in compare(expected, found, only=only)}
    assert told == differences


def test_what_was_restored_tells_which_partitions_they_are_where_the_backup_does_not() -> None:
    assert compare(postgresql(tables=partitions(10, 20, known=False)), postgresql(tables=partitions(30, 0))) == []


@pytest.mark.parametrize(
    ("before", "after", "compared", "differences"),
    [
        (("full/1:ff", "full/1:02"), ("full/1:0101", "full/1:00"), 1, []),
        (("full/1:ffffffffffffffff", "full/1:02"), ("full/1:01", "full/1:00"), 1, []),
        (("full/1:ff", "full/1:02"), ("full/1:ff", "full/1:03"), 1, ["content of public.spread"]),
        (("full/1:ff", None), ("full/1:0f", None), 0, []),
        (("full/1:ff", "sampled/1/64:02"), ("full/1:0f", "sampled/1/64:01"), 0, []),
        (("sampled/1/64:ff", "sampled/1/64:02"), ("sampled/1/64:0f", "sampled/1/64:01"), 0, []),
    ],
)
def test_so_is_their_content_where_all_of_it_was_looked_at(
    before: tuple[str | None, ...], after: tuple[str | None, ...], compared: int, differences: list[str]
) -> None:
    expected = postgresql(tables=partitions(1, 2, fingerprints=before))
    found = postgresql(tables=partitions(3, 0, fingerprints=after))

    assert compared_contents(expected, found) == compared
    assert [each.name for each in compare(expected, found)] == differences
    assert [(each.name, each.rows) for each in compared_tables(expected, found, of=found)] == [("spread", 3)]
