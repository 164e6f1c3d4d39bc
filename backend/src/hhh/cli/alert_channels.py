"""``hhh alerts channels``: where alerts go. URLs, which hold passwords, come by a prompt or on standard input."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import SecretStr

from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.refused import refused
from hhh.cli.session import opened_services
from hhh.cli.typed_secrets import read_secret
from hhh.models import AlertKind
from hhh.schemas.alert import ChannelChange, ChannelRequest, ChannelResource

app = typer.Typer(help="Where alerts go.", no_args_is_help=True)

_EVERYTHING = "all"
Channel = Annotated[str, typer.Argument(help="The name or id of a channel.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help=f"Tell only of these: {', '.join(AlertKind)}. `all`: everything."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="PATTERN", help="Tell only of these databases, e.g. prod-*. `all`: every one."),
]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    *,
    kind: Kinds = None,
    target: Targets = None,
    as_json: JsonOption = False,
) -> None:
    """Set up a channel. Its URL is asked for, or is the first line of standard input if that is no terminal."""
    values = {"name": name, "url": SecretStr(read_secret("URL")), "kinds": _some(kind), "targets": _some(target)}
    with refused():
        asked = ChannelRequest.model_validate(values)
    with opened_services() as services:
        added = services.alerts.channels.add(asked)
    if as_json:
        print_json(added)
    else:
        console.print(f"Added {added.name}, untried yet. Try it now: hhh alerts test {added.name}")


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List the channels."""
    with opened_services() as services:
        channels = services.alerts.channels.list()
    if as_json:
        print_json(channels)
        return
    columns = ["NAME", "WHERE", "KINDS", "DATABASES", "LAST DELIVERED (UTC)", "WAITING", "STATE"]
    print_table(columns, [_row(each) for each in channels], empty="No channels: nobody is told.")


@app.command("change")
def change(
    channel: Channel,
    *,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    url: Annotated[bool, typer.Option("--url", help="Another URL; it is read as by `add`.")] = False,
    kind: Kinds = None,
    target: Targets = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether anything goes there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a channel; what is not named stays as it is."""
    values: dict[str, object] = {
        "name": name,
        "enabled": enabled,
        "url": SecretStr(read_secret("URL")) if url else None,
    }
    values = {key: value for key, value in values.items() if value is not None}
    values |= {"kinds": _some(kind)} if kind is not None else {}
    values |= {"targets": _some(target)} if target is not None else {}
    with refused():
        asked = ChannelChange.model_validate(values)
    with opened_services() as services:
        changed = services.alerts.channels.change(channel, asked)
    if as_json:
        print_json(changed)
    else:
        console.print(f"Changed {changed.name}.")


@app.command("remove")
def remove(channel: Channel) -> None:
    """Remove a channel, and what waits for it."""
    with opened_services() as services:
        name = services.alerts.channels.remove(channel)
    console.print(f"Removed {name}.")


def _some(given: list[str] | None) -> list[str] | None:
    return None if given is None or _EVERYTHING in given else given


def _row(each: ChannelResource) -> tuple[str, ...]:
    kinds = ", ".join(each.kinds) if each.kinds is not None else "all"
    targets = ", ".join(each.targets) if each.targets is not None else "all"
    state = "on" if each.enabled else "off"
    if trouble := each.problem or each.last_error:
        state = f"{state}; {trouble}"
    delivered = moment(each.last_delivered_at) if each.last_delivered_at else "never"
    return each.name, each.url, kinds, targets, delivered, str(each.waiting), state
