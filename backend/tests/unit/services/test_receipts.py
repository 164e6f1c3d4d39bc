"""What a receipt tells of a failure, and of which tables, where only some were to be restored."""

import pytest

from hhh.core.errors import InvalidInput
from hhh.engines.restoring import Built, Destination, RestoreMode
from hhh.schemas.facts import SqliteFacts, TableFacts
from hhh.schemas.restore import Difference, Receipt
from hhh.services import receipts
from support.stored_backups import FACTS


def facts(*tables: tuple[str, str]) -> SqliteFacts:
    listed = [TableFacts(schema_name=schema, name=name, rows=3) for schema, name in tables]
    return FACTS.model_copy(update={"tables": listed})


def selected(
    *wanted: str, came: tuple[tuple[str, str], ...] = (), mode: RestoreMode = RestoreMode.TABLES
) -> frozenset[str] | None:
    backup = facts(("public", "orders"), ("public", "Odd.Name"), ("sales", "orders"), ("sales", "parts_2024"))
    return receipts.selected(backup, Built("", facts(*came)), Destination("", "db", mode, "abcd1234", wanted))


def test_a_restore_of_everything_selects_nothing() -> None:
    assert selected(mode=RestoreMode.NEW) is None


def test_tables_and_schemas_are_named_as_in_sql() -> None:
    assert selected("Public.ORDERS") == frozenset({"public.orders"})
    assert selected('public."Odd.Name"') == frozenset({"public.Odd.Name"})
    assert selected("sales", "public.orders") == frozenset({"sales.orders", "sales.parts_2024", "public.orders"})
    with pytest.raises(InvalidInput):
        selected("a.b.c")


def test_what_came_along_is_compared_as_well() -> None:
    came = (("sales", "parts_2024"),)
    assert selected("sales.parts", came=came) == frozenset({"sales.parts_2024"})


def receipt(differences: int = 0, errors: tuple[str, ...] = ()) -> Receipt:
    return Receipt(
        source={},
        restored={},
        tables=[],
        differences=[Difference(name=f"rows of t{each}", expected="2", found="1") for each in range(differences)],
        errors=list(errors),
        warnings=[],
        duration_seconds=0,
        raw_bytes=300,
        bytes_per_second=0,
        kept=None,
        kept_until=None,
    )


def test_a_verdict_names_the_first_of_each() -> None:
    said = receipts.verdict(receipt(4, ("ERROR: no such role",)))
    assert "1 error (ERROR: no such role)" in said
    assert "4 differences from the backup (rows of t0: 2 expected, 1 found, " in said
    assert "t3" not in said
    assert "1 difference from the backup (" in receipts.verdict(receipt(1))


def test_times_give_the_rate() -> None:
    assert receipts.timed(receipt(), 1.5, kept="old").bytes_per_second == 200
    assert receipts.timed(receipt(), 0, kept=None).bytes_per_second == 0
