"""The receipt of a restore: what the backup had, what was restored, and what is told when they are not the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from hhh.artifacts.manifest import Manifest
from hhh.engines.postgresql.table_names import Wanted, parse
from hhh.engines.restoring import Built, Destination, RestoreMode
from hhh.schemas.facts import Facts, PostgresqlFacts, TableFacts
from hhh.schemas.restore import Difference, Receipt

#: So many errors and differences stand in a message; all of them are in the receipt.
_NAMED: Final = 3


def make(
    manifest: Manifest, facts: Facts, built: Built, differences: Sequence[Difference], *, only: Collection[str] | None
) -> Receipt:
    """The receipt of what was built; its times follow (`timed`).

    Args:
        manifest: of the backup.
        facts: of the backup.
        built: what was restored.
        differences: between both.
        only: tables (``schema.name``) that were to be restored; None means all.
    """
    left_out = facts.warnings if isinstance(facts, PostgresqlFacts) else ()
    return Receipt(
        source=_numbers(facts, only),
        restored=_numbers(built.facts, only),
        tables=built.facts.tables,
        differences=list(differences),
        errors=list(built.errors),
        warnings=[*manifest.warnings, *left_out, *built.warnings],
        duration_seconds=0,
        raw_bytes=manifest.object.raw_size,
        bytes_per_second=0,
        kept=None,
        kept_until=None,
    )


def timed(receipt: Receipt, seconds: float, *, kept: str | None) -> Receipt:
    """The receipt with how long it took, and what it left for an undo."""
    rate = receipt.raw_bytes / seconds if seconds > 0 else 0
    return receipt.model_copy(update={"duration_seconds": seconds, "bytes_per_second": rate, "kept": kept})


def verdict(receipt: Receipt) -> str:
    """What is told of a restore that failed: how much is wrong, and the first of it."""
    differences = [f"{each.name}: {each.expected} expected, {each.found} found" for each in receipt.differences]
    parts = [_first("error", receipt.errors)] if receipt.errors else []
    parts += [_first("difference", differences, "from the backup")] if differences else []
    return f"The restore was given up: {'; '.join(parts)}"


def selected(facts: Facts, built: Built, destination: Destination) -> frozenset[str] | None:
    """The tables (``schema.name``) that were to be restored; None means all.

    What the caller names has to be there, and what came along with it (partitions, parents) has to be whole.

    Raises:
        InvalidInput: a name is not quoted as in SQL.
    """
    if destination.mode is not RestoreMode.TABLES:
        return None
    wanted = {parse(text) for text in destination.tables}
    named = {
        _name(table)
        for table in facts.tables
        if wanted & {Wanted(table.schema_name, None), Wanted(table.schema_name, table.name)}
    }
    return frozenset(named | {_name(table) for table in built.facts.tables})


def _numbers(facts: Facts, only: Collection[str] | None) -> dict[str, object]:
    tables = [table for table in facts.tables if only is None or _name(table) in only]
    numbers: dict[str, object] = {"tables": len(tables), "rows": sum(table.rows for table in tables)}
    if only is not None:
        return numbers
    if isinstance(facts, PostgresqlFacts):
        return numbers | {"sequences": len(facts.sequences), "large_objects": facts.large_objects.count}
    return numbers | {"objects": len(facts.objects)}


def _name(table: TableFacts) -> str:
    return f"{table.schema_name}.{table.name}"


def _first(noun: str, texts: Sequence[str], more: str = "") -> str:
    heading = " ".join(filter(None, (str(len(texts)), noun + ("" if len(texts) == 1 else "s"), more)))
    return f"{heading} ({', '.join(texts[:_NAMED])}{', …' if len(texts) > _NAMED else ''})"
