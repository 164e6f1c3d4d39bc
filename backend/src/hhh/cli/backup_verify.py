"""``hhh backup verify``: find out what a backup is good for, here or by the service; and what was found before."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.backup import hand_over
from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.progress import progress_bar
from hhh.cli.session import opened_services
from hhh.cli.verification_output import description, print_verification, refuse
from hhh.jobs.worker import working
from hhh.models import VerificationStatus
from hhh.schemas.verification import AcceptedVerification, Level, VerificationFilter, VerificationResource
from hhh.services.container import Services
from hhh.services.restore_orders import COMMAND_LINE
from hhh.services.work import NewJob


def verify(
    backup: Annotated[str, typer.Argument(help="The id of a backup.")],
    *,
    level: Annotated[
        Level,
        typer.Option(
            help="stored: every copy is read back. readable: it is opened and read to its end. proven: it is restored "
            "into a throw-away database and compared with the source."
        ),
    ] = "proven",
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it to the service that runs, and print its id instead of waiting.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find out what a backup is good for, here, and wait for the answer. Ctrl-C ends it."""

    def ask(services: Services) -> NewJob:
        return services.verifications.request(backup, level, requested_by=COMMAND_LINE)

    if detach:
        _leave(ask, as_json=as_json)
    else:
        perform(ask, as_json=as_json)


def perform(ask: Callable[[Services], NewJob], *, as_json: bool) -> None:
    """Performs the verification that is asked for, here, and prints what was found.

    Raises:
        VerificationFailed, Lacking: the backup did not reach the level.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with opened_services() as services:
        found = _perform(services, ask)
    if as_json:
        print_json(found)
    else:
        print_verification(found)
    refuse(found, told=not as_json)


def verifications(
    *,
    target: Annotated[str | None, typer.Option(help="Only those of this target's backups.")] = None,
    backup: Annotated[str | None, typer.Option(help="Only those of the backup of this id.")] = None,
    status: Annotated[VerificationStatus | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List verifications, newest first."""
    with opened_services() as services:
        page = services.verifications.page(VerificationFilter(target, backup, status), cursor=None, limit=limit)
    if as_json:
        print_json(page.items)
        return
    print_table(
        ["TIME (UTC)", "TARGET", "LEVEL", "STATE", "FILE", "ID"],
        [
            (moment(each.created_at), each.target, each.level, each.status, each.backup_file, each.id)
            for each in page.items
        ],
        empty="No verification is like that."
        if target or backup or status
        else "No verifications yet. Prove a backup with: hhh backup verify ID",
    )


def verification(
    verification_id: Annotated[str, typer.Argument(help="The id of a verification.")], *, as_json: JsonOption = False
) -> None:
    """Show one verification with everything that it found."""
    with opened_services() as services:
        found = services.verifications.get(verification_id)
    if as_json:
        print_json(found)
        return
    for name, value in description(found):
        console.print(f"[bold]{name:12}[/] {escape(value)}")
    console.print()
    print_verification(found)


def _leave(ask: Callable[[Services], NewJob], *, as_json: bool) -> None:
    with opened_services() as services:
        verification_id = hand_over(services, ask(services))
    if as_json:
        print_json(AcceptedVerification(verification_id=verification_id, status="queued"))
    else:
        console.print(
            f"Queued, id {verification_id}\nSee what it finds with: hhh backup verification {verification_id}"
        )


def _perform(services: Services, ask: Callable[[Services], NewJob]) -> VerificationResource:
    with working(services) as worker:
        worker.tidy()  # where no server runs, nobody else does
        new = ask(services)
        verification_id = worker.create(new)
        with progress_bar(new.target) as observer:
            worker.execute(verification_id, observer)
        worker.sweep()
    return services.verifications.get(verification_id)
