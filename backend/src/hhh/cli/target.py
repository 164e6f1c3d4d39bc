"""``hhh target``: the databases that are backed up."""

from __future__ import annotations

from typing import Annotated

import typer

from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.session import opened_services
from hhh.cli.typed_urls import STANDARD_INPUT, note_typed_password, read_url
from hhh.services.targets import ListedTarget

app = typer.Typer(help="The databases that are backed up.", no_args_is_help=True)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    url: Annotated[
        str, typer.Argument(help="postgresql://user@host/db or sqlite:////path; `-` reads it from standard input.")
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Register a database."""
    with opened_services() as services:
        added = services.targets.add(name, read_url(url))
    if url != STANDARD_INPUT and added.masked_url != added.url:
        note_typed_password()
    if as_json:
        print_json(_row(added.listed))
    else:
        console.print(f"Added {added.name}, untried yet. Take its first backup now: hhh backup run {added.name}")


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List the databases."""
    with opened_services() as services:
        targets = services.targets.list()
    if as_json:
        print_json([_row(target) for target in targets])
        return
    rows = [(target.name, target.engine, _url_or_problem(target), moment(target.created_at)) for target in targets]
    print_table(["NAME", "ENGINE", "URL", "ADDED (UTC)"], rows, empty="No targets.")


def _url_or_problem(target: ListedTarget) -> str:
    return target.url or f"({target.problem})"


def _row(target: ListedTarget) -> dict[str, object]:
    return {
        "name": target.name,
        "engine": str(target.engine),
        "url": target.url,
        "problem": target.problem,
        "created_at": target.created_at and target.created_at.isoformat(),
    }
