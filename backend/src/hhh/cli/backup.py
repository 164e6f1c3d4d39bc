"""``hhh backup``: take backups and look at them; works without a server and beside one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.backup_proof import verify_what_is_due
from hhh.cli.backup_retention import prune_if_due
from hhh.cli.output import JsonOption, console, moment, print_json, print_table, size
from hhh.cli.progress import progress_bar
from hhh.cli.session import opened_services
from hhh.cli.verification_output import print_verification, refuse
from hhh.core.errors import BackupFailed, ConfigurationError
from hhh.jobs.runtime import Jobs
from hhh.jobs.worker import working
from hhh.models import BackupStatus, queue_of
from hhh.schemas.backup import AcceptedResponse, BackupFilter, BackupResource
from hhh.services.container import Services
from hhh.services.targets import APP
from hhh.services.work import NewJob

app = typer.Typer(help="Take backups and look at them.", no_args_is_help=True)


@app.command("run")
def run(
    target: Annotated[str, typer.Argument(help="The name of a target; `app` is the service's own database.")] = APP,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it to the service that runs, and print its id instead of waiting.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a backup now, here, and wait until it is stored. Ctrl-C ends it."""
    take_or_leave = leave if detach else take
    take_or_leave(lambda services: services.backups.request(target), as_json=as_json)


def take(ask: Callable[[Services], NewJob], *, as_json: bool) -> None:
    """Takes the backup that is asked for, and waits until it is stored, and verified if its policy says so.

    Raises:
        BackupFailed: it was not.
        VerificationFailed, Lacking: it is stored, and did not reach the level that its policy demands.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with opened_services() as services, working(services) as worker:
        worker.tidy()  # where no server runs, nobody else does
        new = ask(services)
        backup_id = worker.create(new)
        with progress_bar(new.target) as observer:
            worker.execute(backup_id, observer)
        verified = verify_what_is_due(services, worker, new.target)
        dropped = prune_if_due(services, worker, new.target)
        worker.sweep()
        backup = services.catalogue.get(backup_id)
    tell_end(backup, as_json=as_json)
    for found in () if as_json else verified:
        print_verification(found)
    for verdict in () if as_json else dropped:
        console.print(f"Dropped {verdict.backup_file}: {', '.join(verdict.reasons)}", markup=False)
    for found in verified:
        refuse(found, told=not as_json)


def leave(ask: Callable[[Services], NewJob], *, as_json: bool) -> None:
    """Leaves the backup that is asked for to a process that takes jobs, and prints its id.

    Raises:
        ConfigurationError: there is none.
    """
    with opened_services() as services:
        backup_id = hand_over(services, ask(services))
    if as_json:
        print_json(AcceptedResponse(backup_id=backup_id, status="queued"))
    else:
        console.print(f"Queued, id {backup_id}\nFollow it with: hhh backup follow {backup_id}")


def hand_over(services: Services, new: NewJob) -> str:
    """Leaves a job to a process that takes such jobs; its id.

    Raises:
        ConfigurationError: there is none.
    """
    if queue_of(new.kind) in services.workers.untaken():
        raise ConfigurationError(
            "No service runs that would take it",
            hint="see who takes what: hhh worker list; start one, or leave out --detach",
        )
    if not services.settings.jobs_database_url.get_secret_value():
        with working(services) as worker:
            job_id = worker.create(new)
            worker.release_queued()
            return job_id
    jobs = Jobs(services, works=False)
    try:
        return jobs.start().enqueue(new)
    finally:
        jobs.stop()


def tell_end(backup: BackupResource, *, as_json: bool) -> None:
    """Prints how a backup ended.

    Raises:
        BackupFailed: without success.
    """
    if as_json:
        print_json(backup)
    if backup.status != "success":
        raise BackupFailed(backup.error or f"it is {backup.status}")
    if not as_json:
        stored = f"Stored {backup.backup_file} of {backup.target}: {size(backup.stored_size)}, id {backup.id}"
        console.print(f"{stored}{_lacking(backup)}", markup=False)


def _lacking(backup: BackupResource) -> str:
    missing = [f"; missing in {copy.storage}: {copy.error}" for copy in backup.copies if copy.status != "stored"]
    if not missing:
        return ""
    count = len(backup.copies)
    return f", in {count - len(missing)} of {count} stores{''.join(missing)}"


@app.command("list")
def index(
    *,
    target: Annotated[str | None, typer.Option(help="Only those of this target.")] = None,
    status: Annotated[BackupStatus | None, typer.Option(case_sensitive=False, help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List backups, newest first."""
    with opened_services() as services:
        page = services.catalogue.page(BackupFilter(target, status), cursor=None, limit=limit)
    if as_json:
        print_json(page.items)
        return
    print_table(
        ["TIME (UTC)", "TARGET", "STATE", "STORED", "VERIFIED", "FILE", "ID"],
        [_row(backup) for backup in page.items],
        empty="No backup is like that." if target or status else "No backups yet. Take the first with: hhh backup run",
    )


@app.command("show")
def show(backup_id: Annotated[str, typer.Argument(help="The id of a backup.")], *, as_json: JsonOption = False) -> None:
    """Show one backup with everything its manifest holds."""
    with opened_services() as services:
        backup = services.catalogue.get(backup_id)
    if as_json:
        print_json(backup)
        return
    for name, value in _description(backup):
        console.print(f"[bold]{name:12}[/] {escape(value)}")


def _row(backup: BackupResource) -> tuple[str, ...]:
    stored = size(backup.stored_size) if backup.status == "success" else "–"
    verified = backup.verified.level if backup.verified else "–"
    return (moment(backup.created_at), backup.target, backup.status, stored, verified, backup.backup_file, backup.id)


def _description(backup: BackupResource) -> Iterator[tuple[str, str]]:
    yield "backup", f"{backup.backup_file} of {backup.target}"
    yield "id", backup.id
    yield "state", backup.status + (f": {backup.error}" if backup.error else "")
    if backup.retry:
        begins = f"not before {moment(backup.retry.not_before)} UTC" if backup.retry.not_before else "at once"
        yield "again", f"attempt {backup.retry.attempt} {begins}, after: {backup.retry.error}"
    yield "begun", f"{moment(backup.created_at)} UTC"
    yield "ended", f"{moment(backup.finished_at)} UTC"
    if backup.status == "success":
        yield "size", f"{size(backup.raw_size)} dumped, {size(backup.stored_size)} stored"
        verified = backup.verified
        yield (
            "verified",
            f"{verified.level}, {moment(verified.at)} UTC" if verified else "no: hhh backup verify " + backup.id,
        )
    for copy in backup.copies:
        reason = f": {copy.error}" if copy.error else ""
        yield "copy", f"{copy.storage}: {copy.key} ({copy.status}, sha256 {copy.sha256}){reason}"
    manifest = backup.manifest or {}
    for part in filter(None, (manifest.get("facts"), *manifest.get("attachments", ()))):
        yield "beside it", f"{part['key']} (sha256 {part['sha256']})"
    if manifest:
        recipients = ", ".join(manifest.get("recipients", ()))
        yield "encrypted", f"with age, for {recipients}" if recipients else "no, it is stored in clear"
    for name, version in manifest.get("versions", {}).items():
        yield "version", f"{name} {version}"
    for warning in manifest.get("warnings", ()):
        yield "warning", warning
