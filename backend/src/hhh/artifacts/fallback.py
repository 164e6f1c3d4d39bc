"""A backup that several stores have: read from the first whose copy is good."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest, StoredObject
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.errors import ArtifactDamaged, StorageError
from hhh.core.run import Run
from hhh.schemas.facts import Facts
from hhh.storages.base import Storage

_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


class AnyCopy(StoredBackup):
    """What reads a whole object goes on with the next copy where one is missing, damaged, or not to be reached.

    A copy that was given up is not asked again. `packed` and `plain`, which hand out what they have read so far, read
    the one that is current.

    Args:
        storages: that have it, in the order in which they are tried; at least one.
        manifest: of it, its signature checked.
        identities: to open it with.
    """

    def __init__(self, storages: Sequence[Storage], manifest: Manifest, identities: Identities) -> None:
        super().__init__(storages[0], manifest, identities)
        self._others = list(storages[1:])

    def choose(self) -> None:
        """Goes to the first copy whose objects are all there, as far as their sizes tell; asks nothing of a single one.

        Raises:
            StorageError: none has; the last one stays current.
        """
        if self._others:
            self._from_a_good_one(self._look)

    def verify(self, run: Run) -> None:
        """See `StoredBackup.verify`: one copy is good."""
        self._from_a_good_one(functools.partial(super().verify, run))

    def facts(self) -> Facts:
        """See `StoredBackup.facts`."""
        return self._from_a_good_one(super().facts)

    def fetch(self, stored: StoredObject, path: Path, run: Run, *, stage: str = "download") -> None:
        """See `StoredBackup.fetch`: of a copy that was not good, no file is left."""
        self._from_a_good_one(functools.partial(super().fetch, stored, path, run, stage=stage))

    def copy(self, stored: StoredObject, path: Path, run: Run, *, stage: str = "download") -> None:
        """See `StoredBackup.copy`."""
        self._from_a_good_one(functools.partial(super().copy, stored, path, run, stage=stage))

    def _look(self) -> None:
        for stored in self.manifest.objects:
            if (size := self.storage.head(stored.key).size) != stored.size:
                raise ArtifactDamaged(f"{stored.key} has {size} bytes, stored were {stored.size}")

    def _from_a_good_one(self, read: Callable[[], _Answer]) -> _Answer:
        while True:
            try:
                return read()
            except StorageError as error:
                if not self._others:
                    raise
                log.warning("copy_not_readable", address=self.storage.address, error=str(error))
                self.storage = self._others.pop(0)
