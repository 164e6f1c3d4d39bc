"""One repair: which copies are missing, which are good, and what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from hhh.artifacts.copying import SourceFailed, copy_objects, manifest_bytes, publish_copy, remove_copy
from hhh.artifacts.destinations import Destination
from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.database import Database
from hhh.core.errors import (
    ArtifactDamaged,
    ConfigurationError,
    ManifestInvalid,
    NotFound,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from hhh.core.run import Progress, Run
from hhh.models import BackupCopy, BackupLog, CopyStatus
from hhh.repositories import backups as backup_rows
from hhh.repositories import copies as rows
from hhh.repositories import retention as retention_rows
from hhh.services.stores import StoreService

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Backup:
    """A backup that lacks copies."""

    row: BackupLog
    manifest: Manifest
    #: The manifest as it is stored.
    content: bytes


class CopyRepair:
    """One run over many backups; remembers which stores are down.

    Args:
        database: the catalogue.
        stores: what copies are in.
        keys: whose signature on a manifest counts.
        run: is told, and may cancel at any piece.
    """

    def __init__(self, database: Database, stores: StoreService, keys: Collection[str], run: Run) -> None:
        self._database = database
        self._stores = stores
        self._keys = keys
        self._run = run
        #: How many copies were made.
        self.made = 0
        #: Why each copy that could not be made was not.
        self.failed: list[str] = []
        #: By name of a store that does not answer, or is full, what it said.
        self.down: dict[str, StorageError] = {}

    def repair(self, backup_id: str) -> None:
        """Makes the copies that a backup lacks; what can't be made is in `failed`.

        Raises:
            Cancelled, LeaseLost, Interrupted: the run is over.
            DatabaseUnavailable: the catalogue does not answer.
        """
        self._run.raise_if_cancelled()
        with self._database.snapshot() as session:
            row = backup_rows.get(session, backup_id)
        if row is None or row.manifest is None:
            return
        try:
            content = manifest_bytes(row.manifest)
            backup = _Backup(row, parse_manifest(content, self._keys), content)
        except ManifestInvalid as error:
            self._fail(row, f"its manifest in the catalogue can't be used: {error}")
            return
        done: set[str] = set()
        # A source that is found damaged is missing from then on.
        while missing := [copy for copy in self._missing(backup_id) if copy.storage not in done]:
            done.add(missing[0].storage)
            self._make(backup, missing[0].storage)

    def _make(self, backup: _Backup, name: str) -> None:
        try:
            store = self._stores.find(name)
        except (NotFound, ConfigurationError) as error:
            self._fail(backup.row, f"{name}: {error}")
            return
        if name in self.down:
            self._fail(backup.row, f"{name}: {self.down[name]}")
            return
        try:
            if self._copy(backup, store):
                self._publish(backup, store)
        except StorageError as error:
            if isinstance(error, StorageUnavailable | StorageFull):
                self.down[name] = error
            self._note(backup.row.id, name, CopyStatus.MISSING, str(error))
            self._fail(backup.row, f"{name}: {error}")

    def _copy(self, backup: _Backup, store: Destination) -> bool:
        """Whether a good copy was found, and its objects are in the store now."""
        progress = self._progress(backup)
        for copy in self._copies(backup.row.id, CopyStatus.STORED):
            if copy.storage in self.down:
                continue
            try:
                storage = self._stores.find(copy.storage).storage
                copy_objects(StoredBackup(storage, backup.manifest, Identities([])), store.storage, progress)
            except (NotFound, ConfigurationError):
                continue
            except SourceFailed as failure:
                self._blame(backup, copy.storage, failure.error)
            else:
                return True
        reason = "No good copy is left to make it from"
        self._note(backup.row.id, store.name, CopyStatus.MISSING, reason)
        self._fail(backup.row, f"{store.name}: {reason}")
        return False

    def _blame(self, backup: _Backup, name: str, error: StorageError) -> None:
        """A source that is not what was stored is marked; one that does not answer is only not asked again."""
        log.warning("copy_not_readable", store=name, backup_id=backup.row.id, error=str(error))
        if isinstance(error, ArtifactDamaged | ObjectMissing):
            self._note(backup.row.id, name, CopyStatus.MISSING, str(error))
        else:
            self.down[name] = error

    def _publish(self, backup: _Backup, store: Destination) -> None:
        publish_copy(backup.manifest, backup.content, store.storage, self._keys)
        with self._database.transaction() as session:
            wanted = retention_rows.hold(session, backup.row.id)
            if wanted:
                rows.set_status(session, backup.row.id, store.name, CopyStatus.STORED, None)
        if not wanted:  # it was removed meanwhile, here as well, before this came
            remove_copy(backup.manifest, store.storage)
            return
        self.made += 1
        log.info("copy_made", store=store.name, backup_id=backup.row.id, backup_file=backup.row.backup_file)

    def _progress(self, backup: _Backup) -> Callable[[int], None]:
        total, copied = sum(each.size for each in backup.manifest.objects), 0

        def count(size: int) -> None:
            nonlocal copied
            copied += size
            self._run.raise_if_cancelled()
            self._run.report(Progress("copy", min(copied, total), copied, total))

        return count

    def _missing(self, backup_id: str) -> Sequence[BackupCopy]:
        return self._copies(backup_id, CopyStatus.MISSING)

    def _copies(self, backup_id: str, status: CopyStatus) -> Sequence[BackupCopy]:
        with self._database.snapshot() as session:
            row = backup_rows.get(session, backup_id)
            return [copy for copy in row.copies if copy.status == status] if row is not None else ()

    def _note(self, backup_id: str, storage: str, status: CopyStatus, error: str | None) -> None:
        with self._database.transaction() as session:
            rows.set_status(session, backup_id, storage, status, error)

    def _fail(self, row: BackupLog, reason: str) -> None:
        self.failed.append(f"{row.backup_file}: {reason}")
        log.warning("copy_not_made", backup_id=row.id, backup_file=row.backup_file, error=reason)
