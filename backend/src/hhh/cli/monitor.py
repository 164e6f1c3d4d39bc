"""``hhh monitor``: one table of all databases, for people, for cron and for a second machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape

from hhh.cli.output import JsonOption, console, duration, print_json, print_table, size
from hhh.cli.session import opened_services
from hhh.core.clock import utcnow
from hhh.core.errors import InvalidInput, NotFound
from hhh.schemas.monitoring import MonitoredTarget

_COLUMNS = ["DATABASE", "REACHABLE", "HEALTHY", "COUNT", "NEWEST", "PROVEN", "USED"]
_PATH = "/api/v1/monitor"


def monitor(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET]…", help="Names of targets; default: all.")
    ] = None,
    *,
    url: Annotated[str, typer.Option(help="Ask the service there, over HTTP, e.g. https://backup.example.com.")] = "",
    token_file: Annotated[
        str | None, typer.Option(help="Its token, with the scope backup:read; `-`: on standard input; else HHH_TOKEN.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until an answer of `--url`.")] = 120,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send the token over http:// to another machine.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at all databases: can each be reached now, and be got back?

    Exit code 0 only if all of them can be reached and are healthy, else 1, also where the service does not answer: made
    for cron, and for a second machine (`--url`). One with a good backup that is unproven counts as a failure only if
    its policy demands a proof (`hhh target set NAME --proven-within 30d`).

    HEALTHY: yes, or else its state. COUNT: how many backups are stored. NEWEST, PROVEN: how old the newest good backup
    is, and the newest that a restore has proven. USED: bytes of them as stored, one copy each.
    """
    if not url and token_file is not None:
        raise InvalidInput("--token-file is for a service that is asked over HTTP", hint="name it by --url")
    asked = names or []
    if url:
        found = _asked(url, token_file, asked, seconds=timeout, insecure=insecure)
    else:
        with opened_services() as services:
            found = services.monitoring.look(asked)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not all(each.fine for each in found):
        raise typer.Exit(1)


def _asked(
    url: str, token_file: str | None, names: Sequence[str], *, seconds: float, insecure: bool
) -> Sequence[MonitoredTarget]:
    from hhh.cli.remote import Remote, checked_url, read_token

    service = Remote(checked_url(url, insecure=insecure), read_token(token_file), seconds)
    try:
        found = TypeAdapter(list[MonitoredTarget]).validate_python(service.get(_PATH))
    except ValidationError:
        raise service.unexpected() from None
    known = {each.target for each in found}
    if unknown := [name for name in names if name not in known]:
        raise NotFound(f"No target is named {unknown[0]!r} there", hint=f"there are: {', '.join(sorted(known))}")
    return [each for each in found if not names or each.target in names]


def _print(found: Sequence[MonitoredTarget]) -> None:
    now = utcnow()
    print_table(_COLUMNS, [_row(each, now) for each in found], empty="No targets.")
    for each in found:
        if not each.reachable:
            console.print(f"\n[bold]{escape(each.target)}[/] can't be reached:")
            console.print(f"  {each.unreachable_because}. Try it again: hhh target test {each.target}", markup=False)
        if not each.healthy:
            counts = "" if not each.fine else ", which is no failure here since its policy demands no proof"
            console.print(f"\n[bold]{escape(each.target)}[/] is {each.state}{counts}:")
        for reason in each.reasons:
            console.print(f"  {reason}", markup=False)


def _row(each: MonitoredTarget, now: datetime) -> tuple[str, ...]:
    return (
        each.target,
        "yes" if each.reachable else "NO",
        "yes" if each.healthy else each.state,
        f"{each.backups:,}",
        _age(each.last_backup_at, now),
        _age(each.last_proven_at, now),
        size(each.used_bytes),
    )


def _age(moment: datetime | None, now: datetime) -> str:
    return duration(max(0.0, (now - moment).total_seconds()) if moment is not None else None)
