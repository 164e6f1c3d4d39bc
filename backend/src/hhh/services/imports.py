"""Dumps that somebody else made, taken in: stored, signed and recorded, so that they are restored like any backup."""

from __future__ import annotations

import uuid
from pathlib import Path

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import Manifest, sign_manifest
from hhh.artifacts.naming import valid_target_name
from hhh.artifacts.publication import Publication
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database, last_line
from hhh.core.errors import DatabaseUnavailable, HHHError, InvalidInput
from hhh.core.run import Run
from hhh.core.scratch import scratch_folder
from hhh.engines.base import EngineKind, Workplace
from hhh.models import Action
from hhh.repositories import backups as rows
from hhh.services import audit, catalogue, storing
from hhh.services.catalogue import Outcome
from hhh.services.foreign_files import ForeignFile
from hhh.services.installation import Identity
from hhh.services.policies import PolicyService
from hhh.services.stores import StoreService
from hhh.services.storing import Draft

log = structlog.get_logger(__name__)


class Imports:
    """Takes in custom-format dumps of PostgreSQL, and SQLite files."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        identity: Identity,
        stores: StoreService,
        policies: PolicyService,
    ) -> None:
        self._settings = settings
        self._database = database
        self._identity = identity
        self._stores = stores
        self._policies = policies
        self._recipients = Recipients(settings.age_recipients)

    def take_in(self, file: Path, target: str, run: Run) -> str:
        """Stores a file as a backup of that target, which need not be registered.

        Plain SQL is never taken: psql would run the commands of its machine that stand in it.

        Returns:
            The id of the backup.

        Raises:
            InvalidInput: the name can't be one of a target, or the file is of another kind.
            EngineError: it is damaged, or changed meanwhile; for a dump, no pg_restore is here that reads it.
            StorageError, ScratchError: it can't be stored.
            DatabaseUnavailable: it can't be recorded.
        """
        if not valid_target_name(target):
            raise InvalidInput(
                f"{target!r} is no name for a target", hint="such as `shop`; see `hhh target add --help`"
            )
        foreign = ForeignFile.look(file)
        draft = self._draft(target, foreign.kind)
        with (
            scratch_folder(self._settings.scratch_dir, "import") as scratch,
            storing.publication(draft, run, self._settings, self._stores, self._policies) as publication,
        ):
            workplace = Workplace(scratch, self._settings.pg_bin_dir)
            fingerprint = self._policies.of(target).proof.fingerprint
            dumping = foreign.dumping(workplace, run, fingerprint=fingerprint)
            manifest = storing.store(draft, dumping, publication, run)
            signed = sign_manifest(manifest, self._identity.signing_key)
            publication.publish(signed)
            self._record(manifest, signed, publication)
        log.info("backup_imported", backup_id=draft.backup_id, target=target, backup_file=draft.backup_file)
        return draft.backup_id

    def _draft(self, target: str, kind: EngineKind) -> Draft:
        now = utcnow()
        with self._database.snapshot() as session:
            backup_file = catalogue.free_file(session, target, now)
        return Draft(
            installation=self._identity.installation,
            backup_id=str(uuid.uuid4()),
            target=target,
            backup_file=backup_file,
            attempt=1,
            engine=kind,
            created_at=now,
            recipients=self._recipients,
        )

    def _record(self, manifest: Manifest, signed: bytes, publication: Publication) -> None:
        outcome = storing.success(manifest, signed, publication)
        refused = False

        def write() -> None:
            nonlocal refused
            try:
                self._write_success(manifest, outcome)
            except IntegrityError:
                refused = True
                raise DatabaseUnavailable(
                    f"Another backup of {manifest.target!r} took the name {manifest.backup_file}", hint="try again"
                ) from None
            except SQLAlchemyError as error:
                raise DatabaseUnavailable(f"The catalogue refused the backup: {last_line(error)}") from error

        storing.record(
            publication,
            write,
            is_recorded=lambda: self._is_recorded(manifest.backup_id, refused=refused),
            uncertain=_uncertain,
        )

    def _write_success(self, manifest: Manifest, outcome: Outcome) -> None:
        backup_id, target, file = manifest.backup_id, manifest.target, manifest.backup_file
        with self._database.transaction() as session:
            catalogue.begin(session, backup_id, target=target, created_at=manifest.created_at, backup_file=file)
            catalogue.finish(session, backup_id, outcome)
            detail = {"file": file, "bytes": outcome.stored_size}
            audit.record(session, Action.BACKUP_IMPORT, backup_id, target=target, detail=detail)

    def _is_recorded(self, backup_id: str, *, refused: bool) -> bool | None:
        try:
            with self._database.transaction() as session:
                if rows.get(session, backup_id) is not None:
                    return True
        except (HHHError, SQLAlchemyError):
            return None
        # On a server, a commit whose connection was lost may still come; one that was refused does not.
        return None if self._database.file is None and not refused else False


def _uncertain(error: HHHError) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"It is stored, and whether it is in the catalogue is not known: {error}",
        hint="`hhh catalogue rebuild` adds it if it is not",
    )
