"""The way back of a backup: store → sha256 → age → zstd → a private file. Nothing of it is ever whole in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest, StoredObject
from hhh.core.run import Run
from hhh.schemas.facts import Facts
from hhh.storages.base import Storage


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest in a store."""

    key: str
    #: As stored, signature included.
    content: bytes
    #: None where it can't be read; see `problem`.
    manifest: Manifest | None
    problem: str | None


def manifests(storage: Storage, trusted_keys: Collection[str] | None, prefix: str = "") -> Iterator[FoundManifest]:
    """All manifests under a folder, also those that are damaged or not trusted.

    Raises:
        StorageError: the store does not answer.
    """
    raise NotImplementedError


class StoredBackup:
    """One backup in one store.

    Args:
        storage: where it is.
        manifest: of it, its signature checked.
        identities: to open it with; may be empty where it is not encrypted.
    """

    def __init__(self, storage: Storage, manifest: Manifest, identities: Identities) -> None:
        self.storage = storage
        self.manifest = manifest
        self._identities = identities

    def verify(self, run: Run) -> None:
        """Reads every object once and compares size and hash; reports the progress of ``checks``.

        Raises:
            ObjectMissing, ArtifactDamaged: it is not what was stored.
            StorageUnavailable: the store does not answer.
        """
        raise NotImplementedError

    def facts(self) -> Facts:
        """The facts of the source.

        Raises:
            IdentityMissing: they are encrypted for somebody else.
            ObjectMissing, ArtifactDamaged: they are not what was stored.
        """
        raise NotImplementedError

    def fetch(self, stored: StoredObject, path: Path, run: Run, *, stage: str = "download") -> None:
        """Writes the plain content of an object to a new private file (0600): one download, hashed on the way.

        It returns only when size and hash are those of the manifest; otherwise no file is left.

        Raises:
            IdentityMissing: it is encrypted for somebody else.
            ObjectMissing, ArtifactDamaged: it is not what was stored.
            ScratchError: the file can't be written.
            StorageUnavailable: the store does not answer.
        """
        raise NotImplementedError

    def plain(self, stored: StoredObject) -> Iterator[bytes]:
        """The plain content of an object in pieces; size and hash are compared at its end.

        Raises:
            IdentityMissing, ObjectMissing, ArtifactDamaged, StorageUnavailable: as for `fetch`, also in the middle.
        """
        raise NotImplementedError
