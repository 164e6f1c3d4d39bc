"""The copies of a backup that the catalogue knows, to be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import structlog

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.config import Settings
from hhh.core.errors import NotFound, StorageError
from hhh.models import CopyStatus
from hhh.schemas.backup import BackupResource
from hhh.services.catalogue import Catalogue
from hhh.services.installation import Identity
from hhh.services.stores import StoreService
from hhh.services.trust import trusted_keys

_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KnownCopy:
    """One copy that the catalogue knows, in whatever state."""

    #: The name of its store.
    storage: str
    #: Bytes of all its objects.
    size: int
    #: None where no store of that name is known here, or it can't be opened.
    backup: StoredBackup | None


class Copies:
    """Finds them; reads no store by itself."""

    def __init__(self, settings: Settings, identity: Identity, catalogue: Catalogue, stores: StoreService) -> None:
        self._settings = settings
        self._identity = identity
        self._catalogue = catalogue
        self._stores = stores

    def of(self, backup_id: str) -> Sequence[StoredBackup]:
        """All good copies of a backup in stores that are known here; those that are not, only where no good one is.

        Raises:
            NotFound: no backup has that id, it has not succeeded, or no store that is known here has it.
            ManifestInvalid: its manifest is damaged, or signed by a key that is not trusted.
            ConfigurationError: the identity file, or a trusted key, can't be used.
        """
        backup, manifest = self._held(backup_id)
        status = {copy.storage: copy.status for copy in backup.copies}
        known = [store for store in self._stores.all() if store.name in status]
        good = [store for store in known if status[store.name] == CopyStatus.STORED]
        found = [StoredBackup(store.storage, manifest, self._identities) for store in good or known]
        if not found:
            names = status.keys()
            raise NotFound(
                f"The backup is in stores that are not known here: {', '.join(sorted(names)) or 'none'}",
                hint="see `hhh storage list`; `hhh restore --from` reads any",
            )
        return found

    def every(self, backup_id: str) -> Sequence[KnownCopy]:
        """All copies of a backup that the catalogue knows: those that it has as stored first.

        Raises:
            NotFound: no backup has that id, it has not succeeded, or the catalogue knows no copy of it.
            ManifestInvalid, ConfigurationError: as for `of`.
        """
        backup, manifest = self._held(backup_id)
        stores = {store.name: store.storage for store in self._stores.all()}
        size = sum(each.size for each in manifest.objects)
        found = [
            KnownCopy(
                copy.storage,
                size,
                StoredBackup(stores[copy.storage], manifest, self._identities) if copy.storage in stores else None,
            )
            for copy in sorted(backup.copies, key=lambda copy: (copy.status != CopyStatus.STORED, copy.storage))
        ]
        if not found:
            raise NotFound("The catalogue knows no copy of the backup", hint="see `hhh catalogue rebuild`")
        return found

    @property
    def trusted_keys(self) -> frozenset[str]:
        """Those whose signature on a manifest counts.

        Raises:
            ConfigurationError: one can't be used.
        """
        return trusted_keys(self._settings, self._identity)

    def _held(self, backup_id: str) -> tuple[BackupResource, Manifest]:
        """A backup that holds something, and its manifest in the catalogue."""
        backup = self._catalogue.get(backup_id)
        if backup.manifest is None:
            raise NotFound(f"The backup holds nothing: it is {backup.status}", hint="see `hhh backup show`")
        return backup, parse_manifest(json.dumps(backup.manifest).encode(), self.trusted_keys)

    @cached_property
    def _identities(self) -> Identities:
        return Identities.load(self._settings.age_identity_file)


def first_that_answers(copies: Sequence[StoredBackup], read: Callable[[StoredBackup], _Answer]) -> _Answer:
    """What the first copy gives that is there and undamaged.

    Raises:
        StorageError: none is; the error is that of the last one.
    """
    *others, last = copies
    for copy in others:
        try:
            return read(copy)
        except StorageError as error:
            log.warning("copy_not_readable", address=copy.storage.address, error=str(error))
    return read(last)
