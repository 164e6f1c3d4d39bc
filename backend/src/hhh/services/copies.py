"""The copies of a backup that the catalogue knows, to be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import structlog

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import parse_manifest
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.config import Settings
from hhh.core.errors import NotFound, StorageError
from hhh.models import CopyStatus
from hhh.services.catalogue import Catalogue
from hhh.services.installation import Identity
from hhh.services.stores import StoreService
from hhh.services.trust import trusted_keys

_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


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
        backup = self._catalogue.get(backup_id)
        if backup.manifest is None:
            raise NotFound(f"The backup holds nothing: it is {backup.status}", hint="see `hhh backup show`")
        manifest = parse_manifest(json.dumps(backup.manifest).encode(), trusted_keys(self._settings, self._identity))
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
