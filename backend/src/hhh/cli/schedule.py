"""``hhh schedule``: when databases are backed up, and backups verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape

from hhh.cli.amounts import seconds_of
from hhh.cli.backup import take
from hhh.cli.backup_verify import perform
from hhh.cli.output import JsonOption, console, moment, print_json, print_table, problems
from hhh.cli.proof_options import LevelOrNone, level_of
from hhh.cli.refused import refused
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput
from hhh.schemas.schedule import ScheduleChange, ScheduleRequest, ScheduleResource
from hhh.schemas.verification import Level
from hhh.services import schedules
from hhh.services.container import Services
from hhh.services.work import NewJob

app = typer.Typer(help="When databases are backed up, and backups verified.", no_args_is_help=True)

_LONGEST_JITTER = 86_400
_ALL = 1_000_000

Id = Annotated[str, typer.Argument(help="The id of a schedule; see `hhh schedule list`.", metavar="ID")]
Line = Annotated[
    str,
    typer.Argument(
        help='"MINUTE HOUR DAY MONTH WEEKDAY" as for cron, or @hourly, @daily, @weekly, @monthly, @yearly.',
        metavar="CRON",
    ),
]
Zone = Annotated[str, typer.Option("--time-zone", help="Whose clock is meant, e.g. Europe/Berlin.")]
_JITTER = typer.Option("--jitter", help="Begin each run up to so much later: 90s, 5m; at most a day. 0: on time.")


@app.callback()
def group() -> None:
    """When databases are backed up, and backups verified."""


@app.command("add")
def add(
    target: Annotated[str, typer.Argument(help="The name of a target; `app` is the service's own database.")],
    cron: Line,
    *,
    time_zone: Zone = "UTC",
    jitter: Annotated[str, _JITTER] = "0",
    verify: Annotated[
        Level | None, typer.Option(help="Take no backup, but verify the newest one at this level each time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Back a database up again and again, or verify its newest backup."""
    with refused():
        asked = ScheduleRequest(
            target=target, cron=cron, time_zone=time_zone, jitter_seconds=_jitter(jitter), verify=verify
        )
    with opened_services() as services:
        _print(services.schedules.add(asked), as_json=as_json)


@app.command("list")
def index(
    *,
    target: Annotated[str | None, typer.Option(help="Only those of this target.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the schedules, and how old what each should have made is by now."""
    with opened_services() as services:
        found = services.schedules.page(target=target, limit=_ALL)
    if as_json:
        print_json(found)
        return
    print_table(
        ["TARGET", "WHAT", "CRON", "IN WORDS", "TIME ZONE", "NEXT RUN (UTC)", "NEWEST (UTC)", "OVERDUE", "ID"],
        [_row(schedule) for schedule in found],
        empty='No schedules. Set one up with: hhh schedule add app "@daily"',
    )


@app.command("show")
def show(schedule_id: Id, *, as_json: JsonOption = False) -> None:
    """Show one schedule and its next five runs."""
    with opened_services() as services:
        _print(services.schedules.get(schedule_id), as_json=as_json)


@app.command("set")
def change(
    schedule_id: Id,
    *,
    cron: Annotated[str | None, typer.Option(help="As for `hhh schedule add`.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Whose clock is meant.")] = None,
    jitter: Annotated[str | None, _JITTER] = None,
    verify: Annotated[LevelOrNone | None, typer.Option(help="As for `hhh schedule add`; none: take backups.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a schedule; what is left out stays."""
    seconds = _jitter(jitter) if jitter is not None else None
    level = {"verify": level_of(verify)} if verify is not None else {}
    with refused():
        asked = ScheduleChange(cron=cron, time_zone=time_zone, jitter_seconds=seconds, **level)
    with opened_services() as services:
        _print(services.schedules.change(schedule_id, asked), as_json=as_json)


@app.command("pause")
def pause(schedule_id: Id, *, as_json: JsonOption = False) -> None:
    """Let it begin no run until it is resumed."""
    with opened_services() as services:
        _print(services.schedules.pause(schedule_id), as_json=as_json)


@app.command("resume")
def resume(schedule_id: Id, *, as_json: JsonOption = False) -> None:
    """Let it go on with its next run; what was missed meanwhile is not caught up."""
    with opened_services() as services:
        _print(services.schedules.resume(schedule_id), as_json=as_json)


@app.command("run")
def run(schedule_id: Id, *, as_json: JsonOption = False) -> None:
    """Take a backup, or verify the newest, now, as the schedule would, and wait for its end; its plan stays."""

    def ask(services: Services) -> NewJob:
        # Somebody waits, and must hear of a failure at once.
        return replace(services.schedules.request(schedule_id), retries=0)

    with opened_services() as services:
        verifies = services.schedules.get(schedule_id).verify is not None
    run_here = perform if verifies else take
    run_here(ask, as_json=as_json)


@app.command("remove")
def remove(schedule_id: Id) -> None:
    """Remove a schedule; the backups and verifications that it asked for stay."""
    with opened_services() as services:
        services.schedules.remove(schedule_id)
    console.print("Removed. What it asked for is kept.")


@app.command("preview")
def preview(cron: Line, *, time_zone: Zone = "UTC", as_json: JsonOption = False) -> None:
    """Show the next five runs that a line would have; nothing is set up."""
    shown = schedules.preview(cron, time_zone)
    if as_json:
        print_json(shown)
        return
    console.print(shown.cron_in_words)
    for instant in shown.next_runs:
        console.print(_instant(instant, shown.time_zone))
    for note in shown.clock_changes:
        problems.print(f"[yellow]Note:[/] {note}")


def _jitter(text: str) -> int:
    seconds = seconds_of(text, "--jitter") or 0
    if seconds > _LONGEST_JITTER:
        raise InvalidInput("--jitter is longer than a day", hint="e.g. 5m")
    return seconds


def _print(schedule: ScheduleResource, *, as_json: bool) -> None:
    if as_json:
        print_json(schedule)
        return
    for name, value in _description(schedule):
        console.print(f"[bold]{name:12}[/] {escape(value)}")


def _row(schedule: ScheduleResource) -> tuple[str, ...]:
    planned = "paused" if schedule.paused else moment(schedule.next_run_at)
    overdue = "yes" if schedule.overdue else "no"
    what = f"verify {schedule.verify}" if schedule.verify is not None else "backup"
    newest = moment(schedule.last_verified_at if schedule.verify is not None else schedule.last_backup_at)
    line, words = schedule.cron, schedule.cron_in_words
    return (schedule.target, what, line, words, schedule.time_zone, planned, newest, overdue, schedule.id)


def _description(schedule: ScheduleResource) -> Iterator[tuple[str, str]]:
    yield "target", schedule.target
    yield "id", schedule.id
    kind = "verification" if schedule.verify is not None else "backup"
    yield "what", f"verifies the newest backup: {schedule.verify}" if schedule.verify is not None else "takes a backup"
    jitter = f", up to {schedule.jitter_seconds} s later" if schedule.jitter_seconds else ""
    yield "cron", f"{schedule.cron} in {schedule.time_zone}{jitter}"
    yield "in words", schedule.cron_in_words
    yield "next run", "none, it is paused" if schedule.paused else f"{moment(schedule.next_run_at)} UTC"
    for instant in schedule.next_runs:
        yield "planned", _instant(instant, schedule.time_zone)
    if schedule.last_run_at is not None:
        yield "last run", f"of {moment(schedule.last_run_at)} UTC, {kind} {schedule.last_job_id}"
    if schedule.last_skipped_at is not None:
        yield "left out", f"at {moment(schedule.last_skipped_at)} UTC: {schedule.last_skipped_reason}"
    overdue = ", which is overdue" if schedule.overdue else ""
    newest = schedule.last_backup_at if schedule.verify is None else schedule.last_verified_at
    label = "last backup" if schedule.verify is None else "verified"
    yield label, (f"of {moment(newest)} UTC" if newest else "none") + overdue


def _instant(instant: datetime, time_zone: str) -> str:
    if time_zone == "UTC":
        return f"{moment(instant)} UTC"
    return f"{instant.astimezone(ZoneInfo(time_zone)):%a %Y-%m-%d %H:%M:%S %Z} ({moment(instant)} UTC)"
