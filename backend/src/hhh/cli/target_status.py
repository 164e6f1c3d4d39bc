"""``hhh target status``: whether databases can be got back, for people and for monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, duration, moment, print_json, print_table
from hhh.cli.session import opened_services
from hhh.schemas.recoverability import Recoverability

_COLUMNS = ["DATABASE", "STATE", "LAST BACKUP (UTC)", "LAST PROVEN (UTC)", "RPO", "RTO"]


def status(
    name: Annotated[str | None, typer.Argument(help="The name of a target; default: all of them.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell whether each database can be got back, the worst first.

    Exit code 0 only if all that are named are healthy, else 1: made for cron and monitoring.

    failing: the newest backup failed, is lost, or did not stand its verification. late: a backup is overdue.
    unproven: no restore has proven a backup, or none that is new enough. RPO: the age of the newest proven backup.
    RTO: how long its restore took.
    """
    with opened_services() as services:
        found = services.recoverability.all() if name is None else [services.recoverability.of(name)]
    if as_json:
        print_json(found if name is None else found[0])
    else:
        _print(found)
    if any(each.state != "healthy" for each in found):
        raise typer.Exit(1)


def _print(found: Sequence[Recoverability]) -> None:
    print_table(_COLUMNS, [_row(each) for each in found], empty="No targets.")
    for each in found:
        if each.reasons:
            console.print(f"\n[bold]{escape(each.target)}[/] is {each.state}: {escape(each.summary)}")
        for reason in each.reasons:
            console.print(f"  {reason}", markup=False)


def _row(each: Recoverability) -> tuple[str, ...]:
    proven = each.last_proven.created_at if each.last_proven else None
    return (
        each.target,
        each.state,
        moment(each.last_backup_at),
        moment(proven),
        duration(each.rpo_seconds),
        duration(each.rto_seconds),
    )
