"""One backup, from the target to the catalogue.

target → engine → stream → stores → manifest → catalogue row. Whatever fails on the way leaves no object behind.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import Manifest, sign_manifest
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.publication import Destination, Publication
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database, last_line
from hhh.core.errors import DatabaseUnavailable, HHHError, LeaseLost, OutcomeUnknown
from hhh.core.run import Progress, Run
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.models import BackupCopy, BackupStatus, JobState
from hhh.repositories import jobs as job_rows
from hhh.services import catalogue
from hhh.services.catalogue import Outcome
from hhh.services.installation import Identity
from hhh.services.targets import Target, TargetService

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one backup, held under a lease."""

    backup_id: str
    number: int
    target: str
    backup_file: str
    created_at: datetime
    #: Who works on it; names the scratch folder.
    worker: str


class BackupService:
    """Takes backups."""

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

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Takes the backup and records it as SUCCESS.

        Raises:
            HHHError: it failed; no object of it is left, and the row is as it was.
        """
        target = self._targets.find(attempt.target)
        keys = ArtifactKeys(
            self._identity.installation, target.name, attempt.backup_file, attempt.number, bool(self._recipients)
        )
        run.report(Progress("snapshot"))
        with (
            scratch_folder(self._settings.scratch_dir, attempt.worker) as scratch,
            Publication(self._destinations, keys, self._recipients, run) as publication,
        ):
            workplace = Workplace(scratch, self._settings.pg_bin_dir)
            manifest = self._store(attempt, target, workplace, publication, run)
            signed = sign_manifest(manifest, self._identity.signing_key)
            run.raise_if_cancelled()
            publication.publish(signed)
            self._record(attempt, manifest, signed, publication)

    def _store(
        self, attempt: Attempt, target: Target, workplace: Workplace, publication: Publication, run: Run
    ) -> Manifest:
        with target.engine.dump(target.url, workplace, run) as dump:
            stored, result = publication.store_dump(dump)
        run.report(Progress("finalise", stored.raw_size, stored.size, stored.raw_size))
        facts = publication.store_facts(result.facts)
        attachments = tuple(publication.store_attachment(each) for each in result.attachments)
        return Manifest(
            installation=self._identity.installation,
            backup_id=attempt.backup_id,
            target=target.name,
            backup_file=attempt.backup_file,
            attempt=attempt.number,
            engine=target.engine.kind,
            created_at=attempt.created_at,
            finished_at=utcnow(),
            object=stored,
            facts=facts,
            attachments=attachments,
            recipients=tuple(self._settings.age_recipients),
            versions={**result.versions, "hhh": version("hhh-backup")},
            warnings=result.warnings,
        )

    def _record(self, attempt: Attempt, manifest: Manifest, signed: bytes, publication: Publication) -> None:
        # A commit that fails, or that an interrupt comes after, may have been done: what is stored stays until the
        # database says that it was not.
        publication.keep()
        try:
            self._write_success(attempt, manifest, signed)
        except BaseException as error:
            recorded = self._is_recorded(attempt)
            if recorded is False:
                publication.withdraw(error)
                raise
            if not isinstance(error, HHHError):
                raise
            if recorded is None:
                raise OutcomeUnknown(str(error), withdraw=functools.partial(_withdraw, publication, attempt)) from error

    def _write_success(self, attempt: Attempt, manifest: Manifest, signed: bytes) -> None:
        outcome = self._success(manifest, signed)
        try:
            with self._database.transaction() as session:
                if not job_rows.finish(
                    session,
                    attempt.backup_id,
                    attempt.number,
                    state=JobState.SUCCESS,
                    error=None,
                    now=outcome.finished_at,
                ):
                    raise LeaseLost("The backup was given up while it ran; another worker may have it now")
                catalogue.finish(session, attempt.backup_id, outcome)
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

    def _is_recorded(self, attempt: Attempt) -> bool | None:
        """Whether the catalogue has this backup as stored; None when it can't be asked, or does not know yet."""
        try:
            with self._database.transaction() as session:
                job = job_rows.settled(session, attempt.backup_id)
                return job is not None and job.state == JobState.SUCCESS
        except (HHHError, SQLAlchemyError):
            return None


def _withdraw(publication: Publication, attempt: Attempt) -> None:
    reason = DatabaseUnavailable("The backup was stored, but not recorded")
    publication.withdraw(reason)
    left_behind = getattr(reason, "__notes__", None)
    log.warning("backup_withdrawn", backup_id=attempt.backup_id, target=attempt.target, left_behind=left_behind)
