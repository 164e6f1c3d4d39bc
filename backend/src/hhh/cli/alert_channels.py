"""``hhh alerts channels``: where alerts go. URLs, which hold passwords, come by a prompt or on standard input."""

from __future__ import annotations

import sys
from typing import Annotated, TypeVar

import typer
from pydantic import SecretStr, ValidationError

from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput
from hhh.models import AlertKind
from hhh.schemas.alert import ChannelChange, ChannelRequest, ChannelResource

app = typer.Typer(help="Where alerts go.", no_args_is_help=True)

Asked = TypeVar("Asked", ChannelRequest, ChannelChange)

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
    values = {"name": name, "url": _read_url(), "kinds": _some(kind), "targets": _some(target)}
    asked = _checked(ChannelRequest, values)
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
    values: dict[str, object] = {"name": name, "enabled": enabled, "url": _read_url() if url else None}
    values = {key: value for key, value in values.items() if value is not None}
    values |= {"kinds": _some(kind)} if kind is not None else {}
    values |= {"targets": _some(target)} if target is not None else {}
    asked = _checked(ChannelChange, values)
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


def _checked(model: type[Asked], values: dict[str, object]) -> Asked:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"--{str(first['loc'][0]).removesuffix('s')}" if first["loc"] else "The channel"
        raise InvalidInput(f"{where}: {first['msg']}", hint="see `hhh alerts channels add --help`") from None


def _some(given: list[str] | None) -> list[str] | None:
    return None if given is None or _EVERYTHING in given else given


def _read_url() -> SecretStr:
    if sys.stdin.isatty():
        return SecretStr(str(typer.prompt("URL", hide_input=True, err=True)))
    url = sys.stdin.readline().strip()
    if not url:
        raise InvalidInput("No URL came on standard input", hint="one line, or run it in a terminal")
    return SecretStr(url)


def _row(each: ChannelResource) -> tuple[str, ...]:
    kinds = ", ".join(each.kinds) if each.kinds is not None else "all"
    targets = ", ".join(each.targets) if each.targets is not None else "all"
    state = "on" if each.enabled else "off"
    if trouble := each.problem or each.last_error:
        state = f"{state}; {trouble}"
    delivered = moment(each.last_delivered_at) if each.last_delivered_at else "never"
    return each.name, each.url, kinds, targets, delivered, str(each.waiting), state
