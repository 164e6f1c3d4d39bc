"""One backup, from the target to the catalogue.

target → engine → stream → stores → manifest → catalogue row. Whatever fails on the way leaves no object behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import Manifest, sign_manifest
from hhh.artifacts.publication import Publication
from hhh.core.config import Settings
from hhh.core.database import Database, last_line
from hhh.core.errors import DatabaseUnavailable, HHHError, LeaseLost, NotFound, OutcomeUnknown
from hhh.core.run import Progress, Run
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.models import BackupStatus, Job, JobKind, JobState
from hhh.repositories import audit as audit_rows
from hhh.repositories import backups as rows
from hhh.repositories import jobs as job_rows
from hhh.services import catalogue, job_ends, storing
from hhh.services.audit_noted import AUDIT
from hhh.services.catalogue import Outcome
from hhh.services.claims import JobClaim
from hhh.services.installation import Identity
from hhh.services.own_backups import OwnBackups
from hhh.services.policies import APP, PolicyService
from hhh.services.stores import StoreService
from hhh.services.storing import Draft
from hhh.services.targets import Target, TargetService
from hhh.services.work import Attempt, Failure, NewJob

log = structlog.get_logger(__name__)


class BackupService:
    """Takes backups: the `hhh.services.work.Work` of `JobKind.BACKUP`."""

    repeatable = True

    def __init__(
        self,
        settings: Settings,
        database: Database,
        identity: Identity,
        targets: TargetService,
        stores: StoreService,
        policies: PolicyService,
    ) -> None:
        self._settings = settings
        self._database = database
        self._identity = identity
        self._targets = targets
        self._stores = stores
        self._policies = policies
        self._recipients = Recipients(settings.age_recipients)
        self._own_backups = OwnBackups(settings, database)

    def request(self, target: str, *, schedule_id: str | None = None) -> NewJob:
        """A backup of the target, to be handed to a queue.

        Only one that a schedule asks for is tried again: of any other, somebody waits to hear that it failed.

        Raises:
            NotFound: no such target.
            ConfigurationError: the target's URL can't be opened.
        """
        self._targets.find(target)
        policy = self._policies.of(target)

        def write(session: Session, backup_id: str, now: datetime) -> None:
            catalogue.begin(session, backup_id, target=target, created_at=now)

        return NewJob(
            JobKind.BACKUP,
            target,
            write,
            retries=policy.retries if schedule_id is not None else 0,
            time_limit_seconds=policy.time_limit_seconds,
            schedule_id=schedule_id,
        )

    def begin(self, session: Session, job: Job) -> bool:
        """See `hhh.services.work.Work`."""
        return catalogue.start(session, job.id) is not None

    def record_failure(self, session: Session, job_id: str, failure: Failure, now: datetime) -> None:
        """See `hhh.services.work.Work`."""
        with contextlib.suppress(NotFound):  # an operator has removed the row: nothing is left to tell
            catalogue.finish(session, job_id, Outcome(BackupStatus(failure.state.upper()), now, error=failure.text))

    def requeue(self, session: Session, job_id: str) -> None:
        """See `hhh.services.work.Work`."""
        catalogue.wait(session, job_id)

    def recorded(self, session: Session, job_id: str) -> bool:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job_id)
        return row is not None and row.status == BackupStatus.SUCCESS

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: people and schedules ask, but for the service's own database."""
        if not self._own_backups.is_due():
            return ()
        return (dataclasses.replace(self.request(APP), retries=self._policies.of(APP).retries),)

    def sweep(self, worker: str) -> None:
        """See `hhh.services.work.Work`: what has no manifest is no backup, and hurts nobody."""

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Takes the backup and records it as SUCCESS.

        Raises:
            HHHError: it failed; no object of it is left, and the row is as it was.
        """
        target = self._targets.find(attempt.target)
        draft = self._draft(attempt, target)
        claim = JobClaim(self._database, attempt, self._identity.signing_key.public_key)
        run.report(Progress("snapshot"))
        with (
            scratch_folder(self._settings.scratch_dir, attempt.worker) as scratch,
            storing.publication(draft, run, self._settings, self._stores, self._policies) as publication,
        ):
            publication.remove_earlier(claim)
            workplace = Workplace(scratch, self._settings.pg_bin_dir)
            fingerprint = self._policies.of(target.name).proof.fingerprint
            dumping = target.engine.dump(target.url, workplace, run, fingerprint=fingerprint)
            manifest = storing.store(draft, dumping, publication, run)
            signed = sign_manifest(manifest, self._identity.signing_key)
            publication.publish(signed, claim)
            self._record(manifest, signed, publication)
        log.info("backup_stored", backup_id=draft.backup_id, target=target.name, backup_file=draft.backup_file)

    def _draft(self, attempt: Attempt, target: Target) -> Draft:
        with self._database.snapshot() as session:
            row = rows.get(session, attempt.job_id)
            if row is None:
                raise NotFound("The backup is no longer in the catalogue")
            # Before the copy is taken: what it has of the log is never less than what its manifest tells.
            end = {AUDIT: str(audit_rows.head(session))} if target.name == APP else {}
        return Draft(
            installation=self._identity.installation,
            backup_id=row.id,
            target=target.name,
            backup_file=row.backup_file,
            attempt=attempt.number,
            engine=target.engine.kind,
            created_at=row.created_at,
            recipients=self._recipients,
            further_versions=end,
        )

    def _record(self, manifest: Manifest, signed: bytes, publication: Publication) -> None:
        outcome = storing.success(manifest, signed, publication)
        storing.record(
            publication,
            functools.partial(self._write_success, manifest, outcome),
            is_recorded=functools.partial(self._is_recorded, manifest),
            uncertain=lambda error: OutcomeUnknown(
                str(error), withdraw=functools.partial(_withdraw, publication, manifest.backup_id)
            ),
        )

    def _write_success(self, manifest: Manifest, outcome: Outcome) -> None:
        try:
            with self._database.transaction() as session:
                if not job_ends.finish(
                    session,
                    manifest.backup_id,
                    manifest.attempt,
                    state=JobState.SUCCESS,
                    error=None,
                    now=outcome.finished_at,
                    detail={"file": manifest.backup_file, "bytes": outcome.stored_size},
                ):
                    raise LeaseLost("The backup was given up while it ran; another worker may have it now")
                catalogue.finish(session, manifest.backup_id, outcome)
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"The catalogue refused the backup: {last_line(error)}") from error

    def _is_recorded(self, manifest: Manifest) -> bool | None:
        """Whether the catalogue has this backup as stored by this attempt.

        None when it can't be asked, or does not know yet.
        """
        try:
            with self._database.transaction() as session:
                job = job_rows.settled(session, manifest.backup_id)
                return job is not None and (job.state, job.attempt) == (JobState.SUCCESS, manifest.attempt)
        except (HHHError, SQLAlchemyError):
            return None


def _withdraw(publication: Publication, backup_id: str) -> None:
    reason = DatabaseUnavailable("The backup was stored, but not recorded")
    publication.withdraw(reason)
    left_behind = getattr(reason, "__notes__", None)
    log.warning("backup_withdrawn", backup_id=backup_id, left_behind=left_behind)
