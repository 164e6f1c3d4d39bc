"""``hhh alerts``: what is wrong now, and who is told."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli import alert_channels
from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.session import opened_services
from hhh.schemas.alert import DeliveryResource, TestedChannel

_MOST = 100
_NEVER = "The service has not looked yet: it does so each minute while `hhh serve` or a worker runs."

app = typer.Typer(help="What is wrong now, and who is told.", no_args_is_help=True)
app.add_typer(alert_channels.app, name="channels")


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List what was wrong at the last look of the service, and messages that have not arrived."""
    with opened_services() as services:
        found = services.alerts.troubles()
        undelivered = services.alerts.deliveries(limit=_MOST, undelivered=True)
    if as_json:
        print_json(
            {**found.model_dump(mode="json"), "undelivered": [each.model_dump(mode="json") for each in undelivered]}
        )
        return
    for each in found.troubles:
        console.print(f"[bold]{escape(each.title)}[/] (since {moment(each.since)})")
        for line in filter(None, (each.what, each.said and f"It said: {each.said}", f"→ {each.advice}")):
            console.print(f"  {escape(line)}")
    if not found.troubles:
        console.print("Nothing was wrong." if found.looked_at is not None else "Nothing is known to be wrong.")
    console.print(f"The service looked last at {moment(found.looked_at)} UTC." if found.looked_at else _NEVER)
    if undelivered:
        rows = [_row(each) for each in undelivered]
        print_table(["CHANNEL", "MESSAGE", "WRITTEN (UTC)", "TRIES", "STATUS", "WHY"], rows, empty="")


@app.command("test")
def try_out(
    channel: Annotated[str | None, typer.Argument(help="One channel; without it, all that are switched on.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Send a message to one or every channel now; exit code 1 if one does not take it."""
    with opened_services() as services:
        channels = services.alerts.channels
        names = [channel] if channel is not None else [each.name for each in channels.list() if each.enabled]
        tested = [channels.test(name) for name in names]
    if as_json:
        print_json(tested)
    else:
        _print(tested)
    if not all(each.ok for each in tested):
        raise typer.Exit(1)


def _print(tested: list[TestedChannel]) -> None:
    for each in tested:
        if each.ok:
            console.print(f"[green]ok[/]   {escape(each.name)}")
        else:
            console.print(f"[bold red]FAIL[/] {escape(each.name)}: {escape(str(each.error))}")
    if not tested:
        console.print("No channel is set up and switched on. Add one: hhh alerts channels add NAME")


def _row(each: DeliveryResource) -> tuple[str, ...]:
    return each.channel, each.title, moment(each.created_at), str(each.attempts), each.status, each.error or ""
