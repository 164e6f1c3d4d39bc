"""``hhh storage``: the stores that backups go to."""

from __future__ import annotations

import typer

app = typer.Typer(help="The stores that backups go to.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The stores that backups go to."""
