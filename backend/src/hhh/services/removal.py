"""What has a tombstone, removed: in every store the manifest, then the objects; last the row.

Killed at any moment, it is gone on with from the row: what is gone already is no error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.artifacts.retrieval import manifest_key
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, HHHError, InvalidInput, ManifestInvalid, NotFound, StorageError
from hhh.core.run import Run
from hhh.models import BackupLog
from hhh.repositories import retention as rows
from hhh.services.stores import StoreService
from hhh.storages.base import Storage

#: For so long what a store keeps is not tried again by itself: a lock of days is not waited for by the minute.
_PAUSE = timedelta(days=1)
#: The same where a store was down.
_SHORT_PAUSE = timedelta(minutes=15)
#: A store that takes so many seconds to fail is down, and not asked again in the same run: a refusal is quick.
_PATIENCE_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Left:
    """A copy that is still there."""

    storage: str
    #: What its store said.
    error: str


@dataclass(frozen=True, slots=True)
class Removed:
    """What came of one removal."""

    backup_id: str
    backup_file: str
    #: Copies that are still there, to be tried again; none: the backup is gone.
    left: Sequence[Left]
    #: Names of stores that are not known any more: their copies were not touched.
    unknown: Sequence[str]


class Removal:
    """One run over many backups; remembers which stores are down.

    Args:
        database: the catalogue.
        stores: what copies are in.
        run: may end it between two copies.
    """

    def __init__(self, database: Database, stores: StoreService, run: Run) -> None:
        self._database = database
        self._stores = stores
        self._run = run
        #: By name: why a store is not asked any more.
        self._down: dict[str, str] = {}

    def remove(self, backup_id: str) -> Removed | None:
        """Removes what can be removed of a backup with a tombstone; None if it has none, or somebody was faster.

        Raises:
            Cancelled, LeaseLost, Interrupted: the run is over; the rest is gone on with later.
            DatabaseUnavailable: the catalogue does not answer.
        """
        with self._database.snapshot() as session:
            row = rows.get_removed(session, backup_id)
        if row is None:
            return None
        left, unknown = [], []
        for copy in row.copies:
            self._run.raise_if_cancelled()
            try:
                storage = self._stores.find(copy.storage).storage
            except NotFound:
                unknown.append(copy.storage)
                continue
            except (ConfigurationError, InvalidInput, StorageError) as error:
                problem: str | None = str(error)
            else:
                problem = self._empty(copy.storage, storage, row)
            if problem is not None:
                left.append(Left(copy.storage, problem))
            self._note(row, copy.storage, problem)
        return self._end(Removed(row.id, row.backup_file, left, unknown))

    def _empty(self, name: str, storage: Storage, row: BackupLog) -> str | None:
        """Removes one copy; answers why something of it is left."""
        if name in self._down:
            return self._down[name]
        try:
            manifest = _manifest_of(row)
        except ManifestInvalid as error:
            return f"Its manifest in the catalogue can't be used: {error}"
        began = time.monotonic()
        try:
            # The objects stay with a manifest that can't be removed: a backup is better whole than without them.
            storage.delete(manifest_key(manifest))
        except (StorageError, InvalidInput) as error:
            return self._problem(name, error, began)
        problems = list(self._remove_objects(name, storage, manifest))
        return problems[0] if problems else None

    def _remove_objects(self, name: str, storage: Storage, manifest: Manifest) -> Iterator[str]:
        for stored in manifest.objects:
            began = time.monotonic()
            try:
                storage.delete(stored.key)
            except (StorageError, InvalidInput) as error:
                yield self._problem(name, error, began)
                if name in self._down:
                    return

    def _problem(self, name: str, error: HHHError, began: float) -> str:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            self._down[name] = str(error)
        return str(error)

    def _note(self, row: BackupLog, storage: str, problem: str | None) -> None:
        with self._database.transaction() as session:
            if problem is None:
                rows.forget_copy(session, row.id, storage)
            else:
                rows.note_undeletable(session, row.id, storage, problem)

    def _end(self, removed: Removed) -> Removed:
        with self._database.transaction() as session:
            gone = rows.forget(session, removed.backup_id, keeping=removed.unknown)
            if not gone:
                pause = _SHORT_PAUSE if any(left.storage in self._down for left in removed.left) else _PAUSE
                rows.postpone_removal(session, removed.backup_id, until=utcnow() + pause)
        said = {"backup_id": removed.backup_id, "backup_file": removed.backup_file}
        if removed.unknown:
            log.warning("copies_in_unknown_stores_left", stores=list(removed.unknown), **said)
        if gone:
            log.info("backup_removed", **said)
        for left in removed.left:
            log.warning("copy_not_removed", store=left.storage, error=left.error, **said)
        return removed


def _manifest_of(row: BackupLog) -> Manifest:
    """What the backup consists of, and nothing that is another one's.

    Raises:
        ManifestInvalid: it is damaged, or names what is not of this backup.
    """
    manifest = parse_manifest(json.dumps(row.manifest).encode(), None)
    if manifest.backup_id != row.id:
        raise ManifestInvalid(f"It is that of the backup {manifest.backup_id}")
    beside = manifest_key(manifest).removesuffix("json")
    for stored in manifest.objects:
        if not stored.key.startswith(beside):
            raise ManifestInvalid(f"It names {stored.key!r}, which is no object of this backup")
    return manifest
