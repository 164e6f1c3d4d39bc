"""The tables of a backup, to choose some of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hhh.engines.postgresql.table_names import quoted
from hhh.schemas.restore import ContentsResponse

#: Of more than these nobody ticks boxes; and a form has so many fields only.
MOST_BOXES = 1000


@dataclass(frozen=True, slots=True)
class TableBox:
    """One table that can be ticked."""

    #: As a restore is asked for it, quoted as in SQL.
    value: str
    name: str
    rows: int | None
    ticked: bool


def boxes(contents: ContentsResponse, ticked: Collection[str]) -> Sequence[TableBox]:
    """A box for each table, in the order of their names; none where there are too many of them."""
    if len(contents.tables) > MOST_BOXES:
        return []
    found = []
    for table in sorted(contents.tables, key=lambda each: (each.schema_name, each.name)):
        value = f"{quoted(table.schema_name)}.{quoted(table.name)}"
        found.append(TableBox(value, f"{table.schema_name}.{table.name}", table.rows, value in ticked))
    return found
