"""``hhh schedule``: when databases are backed up."""

from __future__ import annotations

import typer

app = typer.Typer(help="When databases are backed up.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """When databases are backed up."""
