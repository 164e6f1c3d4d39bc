"""How commands print: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

#: The option that every command has which prints data.
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

#: Lines are never broken here: a terminal does that by itself, and whoever copies an id wants it whole.
console = Console(highlight=False, soft_wrap=True)
problems = Console(stderr=True, highlight=False, soft_wrap=True)
_WIDEST_TABLE = 1_000


def print_json(data: BaseModel | Sequence[BaseModel] | Sequence[dict[str, object]] | dict[str, object]) -> None:
    """Prints one JSON document."""
    json.dump(_plain(data), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Prints rows under their headings, or a sentence where there are none."""
    if not rows:
        console.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table, width=_WIDEST_TABLE)


def size(count: int | None) -> str:
    """Bytes for people: ``12.3 MB``."""
    return "–" if count is None else decimal(count)


def moment(value: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return "–" if value is None else value.strftime("%Y-%m-%d %H:%M:%S")


def _plain(data: object) -> object:
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json")
    if isinstance(data, list):
        return [_plain(item) for item in data]
    return data
