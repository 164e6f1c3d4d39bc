"""One copy of a backup, read back: whether it is what was stored."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from hhh.artifacts.retrieval import StoredBackup, manifest_key, read_manifest
from hhh.core.errors import ArtifactDamaged, ObjectMissing, StorageError
from hhh.schemas.verification import CheckedCopy
from hhh.services.copies import KnownCopy

_Status = Literal["good", "damaged", "missing", "unreachable"]


def check_copy(copy: KnownCopy, trusted_keys: Collection[str], read: Callable[[StoredBackup], object]) -> CheckedCopy:
    """What is found of a copy: its manifest in the store, and all objects.

    Args:
        copy: as the catalogue knows it.
        trusted_keys: whose signature on its manifest counts.
        read: reads every object and compares its hash; any `StorageError` of it is the copy's fault.
    """

    def found(status: _Status, problem: str | None = None) -> CheckedCopy:
        return CheckedCopy(storage=copy.storage, status=status, size=copy.size, problem=problem)

    if copy.backup is None:
        return found("unreachable", f"No store named {copy.storage} can be opened here (see `hhh storage list`)")
    try:
        _check_manifest(copy.backup, trusted_keys)
        read(copy.backup)
    except ObjectMissing as error:
        return found("missing", str(error))
    except ArtifactDamaged as error:
        return found("damaged", str(error))
    except StorageError as error:
        return found("unreachable", str(error))
    return found("good")


def _check_manifest(backup: StoredBackup, trusted_keys: Collection[str]) -> None:
    """Reads it again: without it, or with another, nobody could restore from this store alone.

    Raises:
        ArtifactDamaged: it is not the one that the catalogue has, or its signature does not hold.
        StorageError: it is gone, or the store does not answer.
    """
    found = read_manifest(backup.storage, manifest_key(backup.manifest), trusted_keys)
    where = f"{backup.storage.address}: the manifest {found.key!r}"
    if found.manifest is None:
        raise ArtifactDamaged(f"{where} is damaged: {found.problem}", hint="see `hhh backup repair`")
    if found.manifest != backup.manifest:
        raise ArtifactDamaged(f"{where} is not the one that the catalogue has", hint="see `hhh catalogue rebuild`")
