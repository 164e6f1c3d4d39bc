"""``hhh audit``: who did what, and whether what is written of it is as it was."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.amounts import moment_of
from hhh.cli.output import JsonOption, console, moment, print_json, print_table, problems
from hhh.cli.refused import refused
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput, StorageError
from hhh.core.text import counted
from hhh.models import Result
from hhh.repositories.audit import Head
from hhh.schemas.audit import AuditEndVerdict, AuditEventResource, AuditFilter, AuditQuery, AuditVerdict
from hhh.services import audit_names
from hhh.services.audit_chain import parse_head
from hhh.services.audit_file import check_file
from hhh.services.audit_noted import noted_everywhere
from hhh.services.trust import is_public_key, trusted_keys

app = typer.Typer(help="The audit log: who did what, from where, and what became of it.", no_args_is_help=True)

_Actor = Annotated[str | None, typer.Option(help="An e-mail, the name of a token, `account@host`, a schedule's id.")]
_Action = Annotated[str | None, typer.Option(help="Such as `backup.delete`; `backup` is all that is done to backups.")]
_Subject = Annotated[str | None, typer.Option(help="A name or an id; of a target all that is about it.")]
_Since = Annotated[str | None, typer.Option(help="A moment or a day, in UTC unless it has an offset: 2026-11-23.")]
_Until = Annotated[str | None, typer.Option(help="As --since; that moment is no longer part of it.")]
_OfResult = Annotated[Result | None, typer.Option(help="What became of it.")]


@app.command("list")
def index(
    *,
    actor: _Actor = None,
    action: _Action = None,
    subject: _Subject = None,
    result: _OfResult = None,
    since: _Since = None,
    until: _Until = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first."""
    wanted = _wanted(actor, action, subject, result, since, until)
    with opened_services() as services:
        found = services.audit_log.page(AuditQuery(**dict(wanted), limit=limit)).items
        names = services.audit_names.of(found)
    if as_json:
        print_json(found)
        return
    print_table(
        ["NUMBER", "TIME (UTC)", "WHO", "FROM", "WHAT", "ON", "TARGET", "RESULT", "DETAIL"],
        [_row(event, names) for event in found],
        empty="Nothing like that is recorded.",
    )


@app.command("export")
def export(
    *,
    actor: _Actor = None,
    action: _Action = None,
    subject: _Subject = None,
    result: _OfResult = None,
    since: _Since = None,
    until: _Until = None,
) -> None:
    """Print events as lines of JSON, oldest first; `hhh audit verify --file` checks them, also elsewhere."""
    wanted = _wanted(actor, action, subject, result, since, until)
    with opened_services() as services:
        for line in services.audit_log.export(wanted):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


@app.command("verify")
def verify(
    *,
    head: Annotated[
        list[str] | None,
        typer.Option(help="SEQ:HASH, as it was printed before: that end has to be part of the log still."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="An exported log, instead of the service's own.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="With --file: the public key of the service, as `hhh keys show` has it; then none is needed."
        ),
    ] = None,
    stores: Annotated[
        bool,
        typer.Option(help="Also compare it with what backups of the own database noted, which every store has."),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Check that the log is as it was written; exit code 1 and where it breaks, if not."""
    noted = [parse_head(text) for text in head or []]
    if file is None and key is not None:
        raise InvalidInput("--key is for an exported file", hint="name it: --file FILE")
    found, compared = (_checked_file(file, key, noted), []) if file is not None else _checked_log(noted, stores=stores)
    if as_json:
        print_json({**dataclasses.asdict(found), "noted_by_backups": [_plain(each) for each in compared]})
    else:
        _print(found)
        _print_compared(compared)
    if not found.ok or any(isinstance(each, AuditEndVerdict) and not each.ok for each in compared):
        raise typer.Exit(1)


def _checked_log(noted: list[Head], *, stores: bool) -> tuple[AuditVerdict, list[AuditEndVerdict | StorageError]]:
    with opened_services() as services:
        found = services.audit_log.verify(noted)
        return found, [*noted_everywhere(services.noted_ends, services.stores.all() if stores else ())]


def _checked_file(file: Path, key: str | None, noted: list[Head]) -> AuditVerdict:
    keys = _keys(key)
    try:
        with file.open(encoding="utf-8") as lines:
            return check_file(lines, keys, noted)
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is no exported audit log", hint="check a file of `hhh audit export`") from None


def _keys(key: str | None) -> frozenset[str]:
    if key is None:
        with opened_services() as services:
            return trusted_keys(services.settings, services.identity)
    if not is_public_key(key):
        raise InvalidInput("--key is no public key", hint="44 characters of base64, as `hhh keys show` has it")
    return frozenset({key})


def _print(found: AuditVerdict) -> None:
    if not found.ok:
        problems.print(f"[bold red]Broken at event {found.broken_at}:[/] {escape(found.reason or '')}")
        problems.print(f"  → What is before it holds: {counted(found.events, 'event', 'events')}, up to {found.head}")
        return
    console.print(f"The audit log holds: {counted(found.events, 'event', 'events')}, up to {found.head}")
    console.print("Note that elsewhere: `hhh audit verify --head` shows later whether anything of it was taken away.")


def _print_compared(compared: Sequence[AuditEndVerdict | StorageError]) -> None:
    for each in compared:
        if isinstance(each, StorageError):
            problems.print(f"[bold yellow]Not compared:[/] {escape(str(each))}")
        elif not each.ok:
            problems.print(f"[bold red]Not whole:[/] {escape(each.said or '')}")
        else:
            console.print(escape(f"{each.by}: {each.said or f'the log has the end that was noted, {each.head}'}"))


def _plain(compared: AuditEndVerdict | StorageError) -> dict[str, object]:
    if isinstance(compared, StorageError):
        return {"error": str(compared)}
    return {**dataclasses.asdict(compared), "at": compared.at.isoformat()}


def _row(event: AuditEventResource, names: Mapping[str, str]) -> tuple[str, ...]:
    owner, subject = audit_names.who(event, names), audit_names.on(event, names)
    told = [*audit_names.details(event, names), *([("id", event.subject)] if subject != event.subject else [])]
    return (
        str(event.seq),
        moment(event.at),
        f"{event.token} of {owner}" if event.token else owner,
        event.address or "–",
        str(event.action),
        subject,
        event.target if event.target and event.target != subject else "–",
        str(event.result),
        "; ".join(f"{name}: {value}" for name, value in told),
    )


def _wanted(
    actor: str | None,
    action: str | None,
    subject: str | None,
    result: Result | None,
    since: str | None,
    until: str | None,
) -> AuditFilter:
    with refused():
        return AuditFilter(
            actor=actor,
            action=action,
            subject=subject,
            result=result,
            since=moment_of(since, "--since") if since is not None else None,
            until=moment_of(until, "--until") if until is not None else None,
        )
