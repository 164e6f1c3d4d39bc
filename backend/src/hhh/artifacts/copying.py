"""A backup copied from one store to another: objects first, hashed on the way, and last its manifest.

May be killed at any moment and begun again: an object is there as a whole or not at all, and the same bytes each time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Generator, Mapping

from hhh.artifacts.manifest import Manifest, StoredObject, parse_manifest
from hhh.artifacts.retrieval import StoredBackup, manifest_key
from hhh.core.errors import ArtifactDamaged, ManifestInvalid, ObjectExists, StorageError
from hhh.storages.base import Storage


class SourceFailed(Exception):
    """It is the source of a copy that failed, and not the store that it goes to."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(str(error))
        self.error = error


def manifest_bytes(document: Mapping[str, object]) -> bytes:
    """A manifest that the catalogue has, signature included, as `hhh.artifacts.manifest.sign_manifest` made it."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def copy_objects(source: StoredBackup, storage: Storage, copied: Callable[[int], None]) -> None:
    """Copies the objects; each is there only if its size and hash were right.

    Args:
        source: a copy that should be good.
        storage: where to; what stands there is replaced.
        copied: told of the bytes of each piece; may raise to end it.

    Raises:
        SourceFailed: the source is not what was stored, or its store does not answer.
        StorageError: the store that it goes to failed.
    """
    for stored in source.manifest.objects:
        with (
            storage.open_writer(stored.key, expected_size=stored.size) as writer,
            contextlib.closing(_read(source, stored)) as pieces,
        ):
            for piece in pieces:
                writer.write(piece)
                copied(len(piece))


def _read(source: StoredBackup, stored: StoredObject) -> Generator[bytes]:
    try:
        yield from source.packed(stored)
    except StorageError as error:
        raise SourceFailed(error) from error


def publish_copy(manifest: Manifest, content: bytes, storage: Storage, trusted_keys: Collection[str]) -> None:
    """Creates the manifest beside copied objects, and looks whether all is there.

    Args:
        manifest: of the backup.
        content: the same as it is stored.
        storage: has the objects.
        trusted_keys: whose signature counts on a manifest that is there already.

    Raises:
        ObjectExists: the manifest of something else stands there.
        ObjectMissing, ArtifactDamaged: somebody has changed what was copied meanwhile.
        StorageError: of the store.
    """
    key = manifest_key(manifest)
    try:
        storage.create(key, content)
    except ObjectExists:
        there = b"".join(storage.read(key))
        if there != content:
            if not _is_of_another_attempt(there, manifest, trusted_keys):
                raise
            storage.delete(key)
            storage.create(key, content)
    for stored in manifest.objects:
        if (size := storage.head(stored.key).size) != stored.size:
            raise ArtifactDamaged(f"{storage.address}: {stored.key!r} has {size} bytes, {stored.size} were copied")


def remove_copy(manifest: Manifest, storage: Storage) -> None:
    """Removes a copy, its manifest first.

    Raises:
        StorageError: something of it is left.
    """
    storage.delete(manifest_key(manifest))
    for stored in manifest.objects:
        storage.delete(stored.key)


def _is_of_another_attempt(content: bytes, manifest: Manifest, trusted_keys: Collection[str]) -> bool:
    """Whether it is of an attempt at the same backup that came to nothing."""
    try:
        found = parse_manifest(content, trusted_keys)
    except ManifestInvalid:
        return False
    return found.backup_id == manifest.backup_id and found.attempt != manifest.attempt
