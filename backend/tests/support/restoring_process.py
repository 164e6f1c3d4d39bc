"""A worker in a process of its own that kills itself when its restore has come to a certain stage."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.core.run import Progress
from hhh.jobs.worker import working
from hhh.models import JobState, Restore
from hhh.services.container import assemble

#: After the last step, before it is recorded.
RECORDING = "recording"


def die() -> None:
    """As the kernel would, or the operator's `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_recording(session: Session, *_: object) -> None:
    """A hook of SQLAlchemy."""
    if any(isinstance(row, Restore) and row.status == JobState.SUCCESS for row in session.dirty):
        die()


def restore(order: Mapping[str, Any]) -> None:
    """Does as it is told, to its end or to its death."""
    stages: list[str] = []

    def observe(progress: Progress) -> None:
        stages.append(progress.stage)
        if stages.count(order["stage"]) == order["times"]:
            die()

    if order["stage"] == RECORDING:
        event.listen(Session, "before_flush", die_while_recording)
    settings = load_settings(order["environment"], dotenv=Path(os.devnull))
    with working(assemble(settings, Database(order["database"]))) as worker:
        worker.execute(order["restore_id"], observe)
