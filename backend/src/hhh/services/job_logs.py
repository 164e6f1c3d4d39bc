"""What jobs wrote to the log, beside what they made: written when an attempt ends, read by whoever looks at it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core import job_lines
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.core.job_lines import JobLines
from hhh.models import JobKind, JobLog
from hhh.repositories import job_logs as rows
from hhh.services import cursors

#: Those that make something which has a page. What upkeep logs is in the log alone: there is no end to its jobs.
KINDS = frozenset({JobKind.BACKUP, JobKind.RESTORE, JobKind.VERIFY})

_HEAD = ("timestamp", "level", "event")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line, for people."""

    #: When; None where it stands for lines that are left out.
    at: datetime | None
    #: ``info``, ``warning``, ``error`` …
    level: str
    #: What happened: ``backup stored``.
    event: str
    #: What else it tells, by name; in the order of the log.
    rest: Sequence[tuple[str, str]]


class JobLogs:
    """Keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, job_id: str) -> Sequence[LogLine]:
        """The lines of a job, the oldest first; none where none were kept, or no job has that id."""
        if not cursors.is_id(job_id):
            return []
        with self._database.snapshot() as session:
            row = rows.get(session, job_id)
            return [_line(each) for each in row.lines] if row is not None else []

    def write(self, kind: JobKind, kept: JobLines) -> None:
        """Writes what was kept since the last time, of a job that has a log; if that can't be done, it is only logged.

        No job is to fail for the sake of its log.
        """
        taken = kept.take()
        if kind not in KINDS or not taken:
            return
        try:
            self._append(kept.job_id, taken)
        except (HHHError, SQLAlchemyError) as error:
            log.warning("job_log_not_written", job_id=kept.job_id, error=str(error))

    def _append(self, job_id: str, taken: Sequence[job_lines.Line]) -> None:
        with self._database.transaction() as session:
            row = rows.get(session, job_id, locked=True)
            if row is None:
                row = JobLog(job_id=job_id, lines=[])
                rows.add(session, row)
            row.lines, row.written_at = job_lines.bounded([*row.lines, *taken]), utcnow()


def _line(stored: Mapping[str, Any]) -> LogLine:
    at = stored.get("timestamp")
    return LogLine(
        at=datetime.fromisoformat(at) if isinstance(at, str) else None,
        level=str(stored.get("level", "info")),
        event=str(stored.get("event", "")).replace("_", " "),
        rest=[(name.replace("_", " "), _text(value)) for name, value in stored.items() if name not in _HEAD],
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
