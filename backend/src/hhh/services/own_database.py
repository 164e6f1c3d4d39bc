"""The service restores its own database while it runs.

What is brought back is of another time. Its sessions, jobs and alerts are of that time and end; what runs now, the
restore first of all, the record of all restores, and what is being removed come over from the live database. Backups
that were taken since come back from their manifests, once it is live; those that are gone since are found by a sweep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh import migrations
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Base, Database
from hhh.core.errors import HHHError, NotFound, RestoreFailed
from hhh.models import AuditEvent, BackupStatus, Job, JobKind, JobState, VerificationStatus
from hhh.repositories import audit as audit_rows
from hhh.repositories import jobs as job_rows
from hhh.repositories import restored as rows
from hhh.repositories import restores as restore_rows
from hhh.repositories import verifications as verification_rows
from hhh.services import audit_carrying, catalogue, versions
from hhh.services.catalogue import Outcome
from hhh.services.installation import Identity
from hhh.services.rebuild import rebuild
from hhh.services.stores import StoreService
from hhh.services.targets import APP
from hhh.services.trust import trusted_keys
from hhh.services.verification_outcome import end

_OF_ANOTHER_TIME = "It ran when the backup was taken from which this database was restored"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OwnDatabase:
    """The own database as something that is restored."""

    settings: Settings
    database: Database
    identity: Identity
    stores: StoreService

    def carried_over(self, target: str) -> Sequence[Base]:
        """What must survive its replacement; nothing for other targets."""
        if target != APP:
            return ()
        with self.database.snapshot() as live:
            return rows.carried_over(live)

    def recorded_since(self, target: str, restore_id: str) -> Sequence[AuditEvent]:
        """What the audit log tells since a restore was asked for, to survive as well; nothing for other targets."""
        if target != APP:
            return ()
        with self.database.snapshot() as live:
            return audit_rows.recorded_since(live, restore_id)

    def prepare(self, target: str, url: str) -> None:
        """Makes a restored copy ready to go live; a no-op for other targets.

        Args:
            target: that is restored.
            url: of the copy, which nobody else has open.

        Raises:
            RestoreFailed: the copy is no database of this service: nobody could sign in any more.
            ConfigurationError: it is of a newer version of this service.
            DatabaseUnavailable: the copy or the live database can't be used.
        """
        if target == APP:
            with contextlib.closing(Database(url)) as copy:
                make_ready(copy, self.carried_over(target))
                audit_carrying.carry_over(self.database, copy)

    def went_live(self, target: str, carried_over: Sequence[Base] = (), recorded: Sequence[AuditEvent] = ()) -> None:
        """Sees to what can only be done on the live database; a no-op for other targets.

        Never raises: the restore has happened. What fails is logged, and can be done by hand.

        Args:
            target: that was restored.
            carried_over: for a database that was put back without being prepared.
            recorded: the same, by the audit log.
        """
        if target != APP:
            return
        self.identity.forget()
        with _logged("own_database_not_brought_to_now", hint="jobs and sessions of its time may look alive"):
            if carried_over:
                _bring_to_now(self.database, carried_over)
                audit_carrying.follow_on(self.database, recorded)
        with _logged("catalogue_not_rebuilt", hint="run `hhh catalogue rebuild`"):
            for store in self.stores.all():
                keys = trusted_keys(self.settings, self.identity)
                report = rebuild(self.database, self.identity, store, trusted_keys=keys)
                log.info("catalogue_rebuilt", store=store.name, added=report.added, completed=report.completed)


def make_ready(copy: Database, carried_over: Sequence[Base] = ()) -> int:
    """Brings a restored own database to this version and to now; returns how many jobs of its time were ended.

    Args:
        copy: which nobody else has open.
        carried_over: rows that are written into it.

    Raises:
        RestoreFailed, ConfigurationError, DatabaseUnavailable: as for `OwnDatabase.prepare`.
    """
    _refuse_foreign(copy)
    interrupted = _bring_to_now(copy, carried_over)
    versions.refuse_newer(copy)
    with copy.transaction() as session:
        versions.record(session)
    return interrupted


@contextlib.contextmanager
def _logged(event: str, *, hint: str) -> Iterator[None]:
    """What fails after a swap must not make the restore look as if it had not happened."""
    try:
        yield
    except (HHHError, SQLAlchemyError) as error:
        log.error(event, error=str(error), hint=hint)  # noqa: TRY400  it says enough


def _refuse_foreign(copy: Database) -> None:
    if not migrations.is_begun(copy):
        raise RestoreFailed(
            "The backup is not one of this service's own database, so that it can't take its place",
            hint=f"name the target that it is to replace; of {APP!r} only backups of {APP!r} can",
        )


def _bring_to_now(database: Database, carried_over: Sequence[Base]) -> int:
    if migrations.pending(database):
        migrations.upgrade(database)
    with database.transaction() as session:
        rows.end_sessions(session)
        ended = _end_jobs(session, utcnow())
        rows.forget_sweeps(session)
        rows.forget_alerts(session)
        session.flush()
        rows.take_over(session, carried_over)
    return ended


def _end_jobs(session: Session, now: datetime) -> int:
    active = job_rows.active(session)
    for job in active:
        job_rows.end(session, job, state=JobState.FAILED, error=_OF_ANOTHER_TIME, now=now)
        _end_record(session, job, now)
    return len(active)


def _end_record(session: Session, job: Job, now: datetime) -> None:
    if job.kind == JobKind.BACKUP:
        with contextlib.suppress(NotFound):
            catalogue.finish(session, job.id, Outcome(BackupStatus.FAILED, now, error=_OF_ANOTHER_TIME))
    elif (verification := verification_rows.get(session, job.id)) is not None:
        end(verification, VerificationStatus.INCONCLUSIVE, _OF_ANOTHER_TIME, now)
    elif (restore := restore_rows.get(session, job.id)) is not None:
        restore.status, restore.finished_at, restore.error = JobState.FAILED, now, _OF_ANOTHER_TIME
