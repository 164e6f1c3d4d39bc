"""``hhh backup pin|unpin|delete|prune``: what is kept."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, moment, print_json, print_table, problems, size
from hhh.cli.policy_options import RetentionOptions, taking
from hhh.cli.session import opened_services
from hhh.core.errors import BackupInProgress, HHHError, InvalidInput
from hhh.jobs.worker import Worker, working
from hhh.models import JobState
from hhh.schemas.retention import RemovalResource, Retention, RetentionPlan, VerdictResource
from hhh.services.container import Services
from hhh.services.removal import Left
from hhh.services.restore_orders import COMMAND_LINE

BackupId = Annotated[str, typer.Argument(help="The id of a backup.")]


def pin(backup_id: BackupId) -> None:
    """Keep a backup, whatever the rules say."""
    with opened_services() as services:
        services.deletion.pin(backup_id, pinned=True)
        backup = services.catalogue.get(backup_id)
    console.print(f"Pinned {backup.backup_file} of {backup.target}: no rule drops it", markup=False)


def unpin(backup_id: BackupId) -> None:
    """Leave a backup to the rules again."""
    with opened_services() as services:
        services.deletion.pin(backup_id, pinned=False)
        backup = services.catalogue.get(backup_id)
    console.print(f"Unpinned {backup.backup_file} of {backup.target}: the rules decide on it", markup=False)


def delete(
    backup_id: BackupId,
    *,
    force: Annotated[
        str | None, typer.Option(help="The backup's file name, to remove it though it is protected.")
    ] = None,
) -> None:
    """Remove a backup from every store. There is no undo."""
    with opened_services() as services:
        backup = services.catalogue.get(backup_id)
        services.deletion.delete(backup_id, by=COMMAND_LINE, force=force)
        removed = services.pruning.remove(backup_id)
    if removed is not None and removed.left:
        console.print("It is gone from the catalogue, but not from every store; what is left is tried again by itself")
        _print_left(removed.left)
    else:
        console.print(f"Removed {backup.backup_file} of {backup.target}", markup=False)
    if removed is not None and removed.unknown:
        names = escape(", ".join(removed.unknown))
        problems.print(f"[yellow]Note:[/] Its copies in stores that are not known here were not touched: {names}")


@taking(RetentionOptions)
def prune(
    target: Annotated[str, typer.Argument(help="The name of a target.")],
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be removed, and why.")] = False,
    typed: RetentionOptions,
    as_json: JsonOption = False,
) -> None:
    """Remove the backups that the target's rules drop, or show them. With --plan, changes of the rules are tried."""
    with opened_services() as services:
        tried = typed.retention(services.policies.of(target)) or Retention() if typed.has_rules else None
        if tried is not None and not plan:
            raise InvalidInput("Rules are only tried here", hint="add --plan, or save them with `hhh target set`")
        found = services.pruning.plan(target, tried)
        if not plan:
            found = found.model_copy(update={"removals": _prune(services, target)})
    if as_json:
        print_json(found)
    else:
        _print(found, done=not plan)


def prune_if_due(services: Services, worker: Worker, target: str) -> Sequence[VerdictResource]:
    """Prunes a target that a backup was taken of: where no server runs, nobody else does. Answers what is gone."""
    if not services.pruning.is_due(target):
        return ()
    before = services.pruning.plan(target).backups
    with contextlib.suppress(BackupInProgress):  # a server was faster
        worker.execute(worker.create(services.pruning.removals_of(target)))
    left = {verdict.backup_id for verdict in services.pruning.plan(target).backups}
    return [verdict for verdict in before if not verdict.keep and verdict.backup_id not in left]


def _prune(services: Services, target: str) -> list[RemovalResource]:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with working(services) as worker:
        worker.tidy()
        job_id = worker.create(services.pruning.request(target))
        worker.execute(job_id)
    state, error = services.pruning.outcome(job_id)
    if state != JobState.SUCCESS:
        raise HHHError(f"The prune did not end well: {error or state}", hint="run it again: it goes on where it was")
    return services.pruning.plan(target).removals


def _print(plan: RetentionPlan, *, done: bool) -> None:
    rows = [
        (
            moment(verdict.created_at),
            verdict.backup_file,
            size(verdict.stored_size),
            "KEEP" if verdict.keep else "drop",
            ", ".join(verdict.reasons),
        )
        for verdict in plan.backups
    ]
    print_table(["TIME (UTC)", "FILE", "SIZE", "", "WHY"], rows, empty="No successful backups.")
    if plan.rules is None:
        console.print(f"{plan.target} has no rules: everything is kept", markup=False)
    verb = "dropped" if done else "would be dropped"
    console.print(f"{plan.kept} kept, {plan.dropped} {verb}: {size(plan.dropped_bytes)}")
    for removal in plan.removals:
        console.print(f"Dropped {moment(removal.deleted_at)}, and not gone yet: {removal.backup_file}", markup=False)
        _print_left([Left(copy.storage, copy.error or copy.status) for copy in removal.copies])


def _print_left(copies: Sequence[Left]) -> None:
    for copy in copies:
        problems.print(f"  [yellow]{escape(copy.storage)}[/] {escape(copy.error)}")
