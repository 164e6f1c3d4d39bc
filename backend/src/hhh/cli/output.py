"""How commands print: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleRenderable, RenderHook
from rich.filesize import decimal
from rich.text import Text

from hhh.core.text import harmless, harmless_json

#: The option that every command has which prints data.
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

#: Lines are never broken here: a terminal does that by itself, and whoever copies an id wants it whole.
console = Console(highlight=False, soft_wrap=True)
problems = Console(stderr=True, highlight=False, soft_wrap=True)

_ONE_LINE = str.maketrans("\n\t", "\N{SYMBOL FOR LINE FEED}\N{SYMBOL FOR HORIZONTAL TABULATION}")
_MINUTE = 60
_TWO_DAYS = 48


class _Harmless(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        for each in renderables:
            if isinstance(each, Text):
                each.plain = harmless(each.plain)
        return renderables


for _each in (console, problems):
    _each.push_render_hook(_Harmless())


def print_json(data: BaseModel | Sequence[BaseModel] | Sequence[dict[str, object]] | dict[str, object]) -> None:
    """Prints one JSON document."""
    text = json.dumps(_plain(data), indent=2, ensure_ascii=False)
    sys.stdout.write(f"{harmless_json(text)}\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Prints rows under their headings, or a sentence where there are none."""
    if not rows:
        console.print(empty)
        return
    # A row is a line: what has a line break in it would look like another row.
    rows = [[cell.translate(_ONE_LINE) for cell in row] for row in rows]
    # Not Rich's own table: it is never wider than the terminal, or than 80 columns in a pipe, and would cut ids off.
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    for number, row in enumerate((columns, *rows)):
        cells = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        console.print("  ".join(cells).rstrip(), markup=False, style="bold" if number == 0 else None)


def size(count: int | None) -> str:
    """Bytes for people: ``12.3 MB``."""
    return "–" if count is None else decimal(count)


def moment(value: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return "–" if value is None else value.strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """A time for people: ``12.3 s``, ``4 min 5 s``, ``2 h 10 min``, ``3 days 4 h``."""
    if seconds is None:
        return "–"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, _MINUTE)
    if hours < _TWO_DAYS:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"


def _plain(data: object) -> object:
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json")
    if isinstance(data, list):
        return [_plain(item) for item in data]
    return data
