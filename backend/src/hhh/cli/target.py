"""``hhh target``: the databases that are backed up."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hhh.cli.output import JsonOption, console, moment, print_json, print_table, problems
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput
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
    read_from_stdin = url == "-"
    with opened_services() as services:
        added = services.targets.add(name, _first_line() if read_from_stdin else url)
    if not read_from_stdin and added.masked_url != added.url:
        problems.print(
            "[yellow]Note:[/] the password stood in the arguments, where other users of this machine can read it; "
            "next time give `-` and the URL on standard input."
        )
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


def _first_line() -> str:
    line = sys.stdin.readline().strip()
    if not line:
        raise InvalidInput("No URL came on standard input")
    return line


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
