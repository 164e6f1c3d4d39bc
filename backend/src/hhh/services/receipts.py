"""The receipt of a restore: what the backup had, what was restored, and what is told when they are not the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from hhh.artifacts.manifest import Manifest
from hhh.core.errors import InvalidInput
from hhh.engines.restoring import Built, Destination, RestoreMode
from hhh.schemas.facts import Facts, PostgresqlFacts, TableFacts
from hhh.schemas.restore import Difference, Receipt

#: So many errors and differences stand in a message; all of them are in the receipt.
_NAMED: Final = 3
_IDENTIFIER = r'("(?:[^"]|"")+"|[^".]+)'
_SELECTION: Final = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})?")


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
    parts = [_first(f"{len(receipt.errors)} errors", receipt.errors)] if receipt.errors else []
    parts += [_first(f"{len(differences)} differences from the backup", differences)] if differences else []
    return f"The restore was given up: {'; '.join(parts)}"


def selected(facts: Facts, destination: Destination) -> frozenset[str] | None:
    """The tables (``schema.name``) of the backup that the destination asks for; None means all.

    Raises:
        InvalidInput: a name is not quoted as in SQL.
    """
    if destination.mode is not RestoreMode.TABLES:
        return None
    wanted = [_parsed(each) for each in destination.tables]
    return frozenset(
        _name(table)
        for table in facts.tables
        if (table.schema_name, None) in wanted or (table.schema_name, table.name) in wanted
    )


def _parsed(text: str) -> tuple[str, str | None]:
    match = _SELECTION.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            f"{text!r} names no schema or table", hint='write schema.table or schema, odd names as "Odd ""name"""'
        )
    schema, table = match.groups()
    return _unquoted(schema), _unquoted(table) if table is not None else None


def _unquoted(name: str) -> str:
    """As PostgreSQL reads it: what is not quoted is folded to lower case."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


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


def _first(heading: str, texts: Sequence[str]) -> str:
    more = ", …" if len(texts) > _NAMED else ""
    return f"{heading} ({', '.join(texts[:_NAMED])}{more})"
