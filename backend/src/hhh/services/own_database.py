"""The service restores its own database: what a restored copy needs before it takes the live one's place.

The copy is of another time. Its sessions and jobs are of that time and end; what runs now, the restore first of all,
and the record of all restores come over from the live database. Backups that were taken since are not brought over
here: they come back from their manifests once the copy is live (`hhh.services.rebuild`).
"""

from __future__ import annotations

import contextlib
from datetime import datetime

from sqlalchemy.orm import Session

from hhh import migrations
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.models import BackupStatus, Job, JobKind, JobState, Restore
from hhh.repositories import jobs as job_rows
from hhh.repositories import restored as rows
from hhh.services import catalogue
from hhh.services.catalogue import Outcome

_OF_ANOTHER_TIME = "It ran when the backup was taken from which this database was restored"


def prepare_copy(live: Database, url: str) -> None:
    """Makes a restored copy of the own database ready to go live.

    Args:
        live: the own database as it is now.
        url: of the copy, which nobody else has open.

    Raises:
        ConfigurationError: the copy is of a newer version of this service.
        DatabaseUnavailable: one of the two can't be used.
    """
    with contextlib.closing(Database(url)) as copy:
        if migrations.pending(copy):
            migrations.upgrade(copy)
        with live.snapshot() as now_live, copy.transaction() as session:
            rows.end_sessions(session)
            _end_jobs(session, utcnow())
            session.flush()
            rows.carry_over(now_live, session)


def _end_jobs(session: Session, now: datetime) -> None:
    for job in rows.active_jobs(session):
        job_rows.finish(session, job.id, job.attempt, state=JobState.FAILED, error=_OF_ANOTHER_TIME, now=now)
        _end_record(session, job, now)


def _end_record(session: Session, job: Job, now: datetime) -> None:
    if job.kind == JobKind.BACKUP:
        with contextlib.suppress(NotFound):
            catalogue.finish(session, job.id, Outcome(BackupStatus.FAILED, now, error=_OF_ANOTHER_TIME))
    elif (restore := session.get(Restore, job.id)) is not None:
        restore.status, restore.finished_at, restore.error = JobState.FAILED, now, _OF_ANOTHER_TIME
