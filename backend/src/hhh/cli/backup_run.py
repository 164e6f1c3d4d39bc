"""``hhh backup follow`` and ``cancel``: a backup under way, whichever process takes it."""

from __future__ import annotations

import time
from typing import Annotated

import structlog
import typer

from hhh.cli.backup import tell_end
from hhh.cli.output import JsonOption, console, print_json
from hhh.cli.progress import following_bar
from hhh.cli.session import opened_services
from hhh.core.errors import DatabaseUnavailable
from hhh.jobs.worker import Worker, working
from hhh.models import JobKind, JobState
from hhh.schemas.backup import AcceptedResponse
from hhh.services.container import Services

BackupId = Annotated[str, typer.Argument(help="The id of a backup.")]

#: Seconds between two looks; progress is written no more often.
_PAUSE = 0.5

log = structlog.get_logger(__name__)


def follow(backup_id: BackupId, *, as_json: JsonOption = False) -> None:
    """Watch a backup until it has ended; Ctrl-C leaves it alone."""
    with opened_services() as services, working(services) as worker:
        _watch(services, worker, backup_id)
        backup = services.catalogue.get(backup_id)
    tell_end(backup, as_json=as_json)


def cancel(backup_id: BackupId, *, as_json: JsonOption = False) -> None:
    """End a backup that waits or runs; nothing of it stays."""
    with opened_services() as services:
        state = services.following.cancel(JobKind.BACKUP, backup_id)
        if state != JobState.CANCELLED:
            with working(services) as worker:
                worker.tidy()  # its worker may be dead, and where no server runs, nobody else sees to it
            state = JobState(services.following.look(JobKind.BACKUP, backup_id).news.status)
    if as_json:
        print_json(AcceptedResponse.model_validate({"backup_id": backup_id, "status": state}))
    elif state == JobState.CANCELLED:
        console.print("Cancelled")
    else:
        console.print(f"Asked its worker to end it. See how it ends with: hhh backup follow {backup_id}")


def _watch(services: Services, worker: Worker, backup_id: str) -> None:
    look, tidied = services.following.look(JobKind.BACKUP, backup_id), 0.0
    with following_bar() as observe:
        while not look.is_last:
            observe(look.news)
            time.sleep(_PAUSE)
            try:
                if time.monotonic() > tidied + worker.timing.tidy:
                    worker.tidy()  # its worker may die, and where no server runs, nobody else sees to it
                    tidied = time.monotonic()
                look = services.following.look(JobKind.BACKUP, backup_id)
            except DatabaseUnavailable as error:  # the backup may come through: nothing says that it failed
                log.warning("own_database_away", error=str(error))
