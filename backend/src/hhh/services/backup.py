"""One backup, from the target to the catalogue.

target → engine → stream → stores → manifest → catalogue row. Whatever fails on the way leaves no object behind.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import Manifest, sign_manifest
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.publication import Destination, Publication
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database, last_line
from hhh.core.errors import DatabaseUnavailable, HHHError, LeaseLost, NotFound, OutcomeUnknown
from hhh.core.run import Progress, Run
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.models import BackupCopy, BackupStatus, Job, JobKind, JobState
from hhh.repositories import backups as rows
from hhh.repositories import jobs as job_rows
from hhh.services import catalogue
from hhh.services.catalogue import Outcome
from hhh.services.installation import Identity
from hhh.services.targets import Target, TargetService
from hhh.services.work import Attempt, Failure, NewJob

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Backup:
    """One attempt at one backup, with what its row tells."""

    id: str
    attempt: int
    backup_file: str
    created_at: datetime


class BackupService:
    """Takes backups: the `hhh.services.work.Work` of `JobKind.BACKUP`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        identity: Identity,
        targets: TargetService,
        destinations: Sequence[Destination],
    ) -> None:
        self._settings = settings
        self._database = database
        self._identity = identity
        self._targets = targets
        self._destinations = destinations
        self._recipients = Recipients(settings.age_recipients)

    def request(self, target: str) -> NewJob:
        """A backup of the target, to be handed to a queue.

        Raises:
            NotFound: no such target.
        """
        self._targets.find(target)

        def write(session: Session, backup_id: str, now: datetime) -> None:
            catalogue.begin(session, backup_id, target=target, created_at=now)

        return NewJob(JobKind.BACKUP, target, write)

    def begin(self, session: Session, job: Job) -> bool:
        """See `hhh.services.work.Work`."""
        return catalogue.start(session, job.id) is not None

    def record_failure(self, session: Session, job_id: str, failure: Failure, now: datetime) -> None:
        """See `hhh.services.work.Work`."""
        with contextlib.suppress(NotFound):  # an operator has removed the row: nothing is left to tell
            catalogue.finish(session, job_id, Outcome(BackupStatus(failure.state.upper()), now, error=failure.text))

    def recorded(self, session: Session, job_id: str) -> bool:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job_id)
        return row is not None and row.status == BackupStatus.SUCCESS

    def sweep(self, worker: str) -> None:
        """See `hhh.services.work.Work`: what has no manifest is no backup, and hurts nobody."""

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Takes the backup and records it as SUCCESS.

        Raises:
            HHHError: it failed; no object of it is left, and the row is as it was.
        """
        target = self._targets.find(attempt.target)
        backup = self._read(attempt)
        keys = ArtifactKeys(
            self._identity.installation, target.name, backup.backup_file, backup.attempt, bool(self._recipients)
        )
        run.report(Progress("snapshot"))
        with (
            scratch_folder(self._settings.scratch_dir, attempt.worker) as scratch,
            Publication(self._destinations, keys, self._recipients, run) as publication,
        ):
            workplace = Workplace(scratch, self._settings.pg_bin_dir)
            manifest = self._store(backup, target, workplace, publication, run)
            signed = sign_manifest(manifest, self._identity.signing_key)
            run.raise_if_cancelled()
            publication.publish(signed)
            self._record(backup, manifest, signed, publication)
        log.info("backup_stored", backup_id=backup.id, target=target.name, backup_file=backup.backup_file)

    def _read(self, attempt: Attempt) -> _Backup:
        with self._database.snapshot() as session:
            row = rows.get(session, attempt.job_id)
            if row is None:
                raise NotFound("The backup is no longer in the catalogue")
            return _Backup(row.id, attempt.number, row.backup_file, row.created_at)

    def _store(
        self, backup: _Backup, target: Target, workplace: Workplace, publication: Publication, run: Run
    ) -> Manifest:
        with target.engine.dump(target.url, workplace, run) as dump:
            stored, result = publication.store_dump(dump)
        run.report(Progress("finalise", stored.raw_size, stored.size, stored.raw_size))
        facts = publication.store_facts(result.facts)
        attachments = tuple(publication.store_attachment(each) for each in result.attachments)
        return Manifest(
            installation=self._identity.installation,
            backup_id=backup.id,
            target=target.name,
            backup_file=backup.backup_file,
            attempt=backup.attempt,
            engine=target.engine.kind,
            created_at=backup.created_at,
            finished_at=utcnow(),
            object=stored,
            facts=facts,
            attachments=attachments,
            recipients=tuple(self._settings.age_recipients),
            versions={**result.versions, "hhh": version("hhh-backup")},
            warnings=result.warnings,
        )

    def _record(self, backup: _Backup, manifest: Manifest, signed: bytes, publication: Publication) -> None:
        # A commit that fails, or that an interrupt comes after, may have been done: what is stored stays until the
        # database says that it was not.
        publication.keep()
        try:
            self._write_success(backup, manifest, signed)
        except BaseException as error:
            recorded = self._is_recorded(backup)
            if recorded is False:
                publication.withdraw(error)
                raise
            if not isinstance(error, HHHError):
                raise
            if recorded is None:
                raise OutcomeUnknown(str(error), withdraw=functools.partial(_withdraw, publication, backup)) from error

    def _write_success(self, backup: _Backup, manifest: Manifest, signed: bytes) -> None:
        outcome = self._success(manifest, signed)
        try:
            with self._database.transaction() as session:
                if not job_rows.finish(
                    session,
                    backup.id,
                    backup.attempt,
                    state=JobState.SUCCESS,
                    error=None,
                    now=outcome.finished_at,
                ):
                    raise LeaseLost("The backup was given up while it ran; another worker may have it now")
                catalogue.finish(session, backup.id, outcome)
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"The catalogue refused the backup: {last_line(error)}") from error

    def _success(self, manifest: Manifest, signed: bytes) -> Outcome:
        stored = manifest.object
        return Outcome(
            BackupStatus.SUCCESS,
            utcnow(),
            stored_size=stored.size,
            raw_size=stored.raw_size,
            sha256=stored.sha256,
            manifest=json.loads(signed),
            copies=[
                BackupCopy(
                    storage=destination.name, key=stored.key, status="stored", size=stored.size, sha256=stored.sha256
                )
                for destination in self._destinations
            ],
        )

    def _is_recorded(self, backup: _Backup) -> bool | None:
        """Whether the catalogue has this backup as stored; None when it can't be asked, or does not know yet."""
        try:
            with self._database.transaction() as session:
                job = job_rows.settled(session, backup.id)
                return job is not None and job.state == JobState.SUCCESS
        except (HHHError, SQLAlchemyError):
            return None


def _withdraw(publication: Publication, backup: _Backup) -> None:
    reason = DatabaseUnavailable("The backup was stored, but not recorded")
    publication.withdraw(reason)
    left_behind = getattr(reason, "__notes__", None)
    log.warning("backup_withdrawn", backup_id=backup.id, left_behind=left_behind)
