"""``hhh restore`` beside a catalogue: restores of known backups, run here under the same lease as a server's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from hhh.cli.output import console, moment, print_json, print_table
from hhh.cli.progress import progress_bar
from hhh.cli.restore_output import print_failure, print_plan, print_reasons, print_receipt
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput, NotFound, RestoreFailed, RestoreUnsafe
from hhh.engines.base import EngineKind
from hhh.jobs.worker import Worker, working
from hhh.models import BackupStatus
from hhh.schemas.backup import BackupFilter, BackupResource
from hhh.schemas.restore import Check, Plan, RestoreRequest, RestoreResource
from hhh.services.container import Services
from hhh.services.restore_orders import COMMAND_LINE
from hhh.services.targets import APP
from hhh.services.work import NewJob

#: In the place of an id.
LATEST = "latest"
#: From where a restore was asked for, in its record.
_ADDRESS = "local"


def restore_known(asked: RestoreRequest, *, as_json: bool) -> bool:
    """Restores a backup of the catalogue, or plans to, and prints what came of it.

    Args:
        asked: as of the API; `LATEST` is the newest backup of the target.
        as_json: print the restore as JSON instead of tables.

    Returns:
        Whether all is well.

    Raises:
        HHHError: it could not be asked for like this, or failed.
    """
    if asked.mode == "replace" and asked.destination is not None:
        raise InvalidInput("--replace goes where the target is", hint="leave out --to, or --replace")
    if asked.mode != "replace" and asked.destination is None:
        raise InvalidInput("Say where it goes", hint="--to NAME for something new, or --replace --confirm TARGET")
    with opened_services() as services, working(services) as worker:
        backup = _backup(services, asked.backup_id, asked.target)
        asked = asked.model_copy(update={"backup_id": backup.id, "destination": _destination(asked, backup)})
        job = services.restores.request(asked, requested_by=COMMAND_LINE, address=_ADDRESS)
        return _perform(services, worker, job, as_json=as_json)


def undo_restore(restore_id: str, *, as_json: bool) -> bool:
    """Takes a restore back, and prints what came of it; returns whether all is well."""
    with opened_services() as services, working(services) as worker:
        job = services.restores.undo(restore_id, requested_by=COMMAND_LINE, address=_ADDRESS)
        return _perform(services, worker, job, as_json=as_json)


def print_restores(limit: int, *, as_json: bool) -> None:
    """Lists restores, newest first."""
    with opened_services() as services:
        page = services.restores.page(cursor=None, limit=limit)
    if as_json:
        print_json(page.items)
        return
    print_table(
        ["TIME (UTC)", "TARGET", "STATE", "WHAT", "DESTINATION", "ID"],
        [
            (moment(each.created_at), each.target, _state(each), _kind(each), each.destination, each.id)
            for each in page.items
        ],
        empty="No restores yet.",
    )


def _state(restore: RestoreResource) -> str:
    """A plan that was made is a success; what it found need not be."""
    is_unsafe = restore.dry_run and any(check.status == "unsafe" for check in restore.checks)
    return "unsafe" if is_unsafe else restore.status


def print_restore(restore_id: str, *, as_json: bool) -> None:
    """Shows one restore."""
    with opened_services() as services:
        restore = services.restores.get(restore_id)
    if as_json:
        print_json(restore)
        return
    for name, value in _description(restore):
        console.print(f"[bold]{name:12}[/] {escape(value)}")
    console.print()
    _print_course(restore)


def _backup(services: Services, backup_id: str, target: str | None) -> BackupResource:
    if backup_id != LATEST:
        return services.catalogue.get(backup_id)
    target = target or APP
    page = services.catalogue.page(BackupFilter(target, BackupStatus.SUCCESS), cursor=None, limit=1)
    if not page.items:
        raise NotFound(f"There is no backup of {target!r}", hint="see `hhh backup list`")
    return page.items[0]


def _destination(asked: RestoreRequest, backup: BackupResource) -> str | None:
    """A file's name is meant from the folder that the operator is in."""
    if asked.destination is None or (backup.manifest or {}).get("engine") != EngineKind.SQLITE:
        return asked.destination
    return os.path.abspath(Path(asked.destination).expanduser())  # noqa: PTH100  resolves `..`, but no link


def _perform(services: Services, worker: Worker, job: NewJob, *, as_json: bool) -> bool:
    # Where no server runs, nobody else does.
    worker.tidy()
    worker.sweep()
    try:
        restore_id = worker.create(job)
    except RestoreUnsafe as error:
        if as_json:
            print_json({"error": error.message, "error_code": error.code, **error.details})
        print_reasons([Check.model_validate(reason) for reason in error.reasons])
        return False
    with progress_bar(job.target) as observer:
        worker.execute(restore_id, observer)
    restore = services.restores.get(restore_id)
    if as_json:
        print_json(restore)
    else:
        _print_course(restore)
    return _told(restore, as_json=as_json)


def _told(restore: RestoreResource, *, as_json: bool) -> bool:
    """Prints how it ended, each thing that went wrong on a line; returns whether nothing did."""
    reasons = _plan(restore).reasons
    if reasons:
        print_reasons(reasons)
        return False
    if restore.status != "success":
        if restore.receipt is not None:
            print_failure(restore.receipt)
        raise RestoreFailed(restore.error or f"It is {restore.status}")
    if not as_json and not restore.dry_run:
        console.print(f"Restored to {escape(restore.destination)}, id {restore.id}")
        if restore.kept is not None:
            console.print(f"To take it back: hhh restore undo {restore.id}")
    return True


def _print_course(restore: RestoreResource) -> None:
    plan = _plan(restore)
    if plan.checks:
        print_plan(plan, done=not restore.dry_run)
    if restore.receipt is not None:
        print_receipt(restore.receipt)


def _plan(restore: RestoreResource) -> Plan:
    return Plan(steps=restore.steps, checks=restore.checks, expected_seconds=restore.expected_seconds)


def _kind(restore: RestoreResource) -> str:
    if restore.undo_of is not None:
        return "undo"
    return f"plan, {restore.mode}" if restore.dry_run else restore.mode


def _description(restore: RestoreResource) -> Sequence[tuple[str, str]]:
    told = [
        ("restore", restore.id),
        ("what", _kind(restore)),
        ("of", f"backup {restore.backup_id} of {restore.target}"),
        ("to", f"{restore.destination} ({restore.destination_target})"),
        ("state", restore.status + (f": {restore.error}" if restore.error else "")),
        ("asked by", f"{restore.requested_by} ({restore.address})"),
        ("asked", f"{moment(restore.created_at)} UTC"),
        ("ended", f"{moment(restore.finished_at)} UTC"),
    ]
    if restore.kept is not None:
        told.append(("kept", f"{restore.kept} until {moment(restore.kept_until)} UTC"))
    if restore.undone_at is not None:
        told.append(("undone", f"{moment(restore.undone_at)} UTC"))
    return told
