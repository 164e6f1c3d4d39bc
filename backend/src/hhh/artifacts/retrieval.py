"""The way back of a backup: store → sha256 → age → zstd → a private file. Nothing of it is ever whole in memory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from hhh.artifacts.decompression import decompressed
from hhh.artifacts.decryption import decrypted
from hhh.artifacts.identities import IDENTITY_HINT, Identities
from hhh.artifacts.manifest import Manifest, StoredObject, parse_manifest
from hhh.artifacts.naming import ArtifactKeys, is_manifest
from hhh.artifacts.pipeline import Pipeline
from hhh.core.errors import (
    ArtifactDamaged,
    IdentityMissing,
    InvalidInput,
    ManifestInvalid,
    ObjectMissing,
    ScratchError,
)
from hhh.core.files import NO_ROOM, begin_write_back
from hhh.core.run import Progress, Run
from hhh.schemas.facts import Facts
from hhh.storages.base import Storage

#: Far more than any manifest has.
_LARGEST_MANIFEST = 16 << 20
#: Bytes after which the disk is asked to begin: a restored SQLite file is to be durable before it gets its name.
_WRITE_BACK = 16 << 20
_FACTS: TypeAdapter[Facts] = TypeAdapter(Annotated[Facts, Field(discriminator="engine")])


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest in a store."""

    key: str
    #: As stored, signature included.
    content: bytes
    #: None where it can't be read; see `problem`.
    manifest: Manifest | None
    problem: str | None

    @property
    def signer(self) -> str:
        """The public key (base64) that it is signed by; to be asked only of one whose signature holds."""
        return str(json.loads(self.content)["signature"]["public_key"])


def manifests(storage: Storage, trusted_keys: Collection[str] | None, prefix: str = "") -> Iterator[FoundManifest]:
    """All manifests under a folder, also those that are damaged or not trusted.

    Raises:
        StorageError: the store does not answer.
    """
    for info in storage.list(prefix):
        if is_manifest(info.key):
            with contextlib.suppress(ObjectMissing):  # it was deleted since it was listed
                yield read_manifest(storage, info.key, trusted_keys)


def read_manifest(storage: Storage, key: str, trusted_keys: Collection[str] | None) -> FoundManifest:
    """One manifest, also if it is damaged or not trusted.

    Raises:
        ObjectMissing: it is gone.
        StorageError: the store does not answer.
    """
    try:
        content = _beginning(storage.read(key), _LARGEST_MANIFEST)
    except InvalidInput as error:  # of a name that no store of ours would give
        return FoundManifest(key, b"", None, str(error))
    try:
        manifest = parse_manifest(content, trusted_keys)
    except ManifestInvalid as error:
        return FoundManifest(key, content, None, str(error))
    if key != manifest_key(manifest):
        # Its signature holds there too: somebody may want one backup to be taken for another.
        return FoundManifest(key, content, None, f"It was moved here: it is the manifest of {manifest_key(manifest)}")
    if stray := _stray(manifest):
        # Who removes the backup removes its objects: they must not be those of another.
        return FoundManifest(key, content, None, f"It names {stray!r}, which is no object of this backup")
    return FoundManifest(key, content, manifest, None)


def manifest_key(manifest: Manifest) -> str:
    """Where the manifest is in its store."""
    return _keys(manifest).manifest


def _keys(manifest: Manifest) -> ArtifactKeys:
    return ArtifactKeys(
        manifest.installation, manifest.target, manifest.backup_file, manifest.attempt, bool(manifest.recipients)
    )


def _stray(manifest: Manifest) -> str | None:
    """The key of an object that is not where those of this backup are."""
    keys = _keys(manifest)
    found = [(manifest.object.key, keys.object), (manifest.facts.key, keys.facts)]
    found += [(each.key, keys.attachment(each.name)) for each in manifest.attachments]
    return next((key for key, expected in found if key != expected), None)


def _beginning(pieces: Iterator[bytes], limit: int) -> bytes:
    content = b""
    for piece in pieces:
        content += piece
        if len(content) > limit:
            break
    return content[:limit]


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
        objects = self.manifest.objects
        total, read = sum(each.size for each in objects), 0
        for stored in objects:
            tally = self._tally(stored)
            with Pipeline(run.raise_if_cancelled) as pipeline:
                for _ in tally.through(pipeline.ahead(self.storage.read(stored.key))):
                    run.raise_if_cancelled()
                    run.report(Progress("checks", read + tally.size, expected_bytes=total))
            tally.check()
            read += stored.size

    def facts(self) -> Facts:
        """The facts of the source.

        Raises:
            IdentityMissing: they are encrypted for somebody else.
            ObjectMissing, ArtifactDamaged: they are not what was stored.
        """
        content = b"".join(self.plain(self.manifest.facts))
        try:
            facts = _FACTS.validate_json(content)
        except ValidationError:
            raise self._damaged(self.manifest.facts, "it does not hold facts of a form that is known here") from None
        if facts.engine != self.manifest.engine:
            raise self._damaged(self.manifest.facts, f"it holds facts of {facts.engine}, not {self.manifest.engine}")
        return facts

    def fetch(self, stored: StoredObject, path: Path, run: Run, *, stage: str = "download") -> None:
        """Writes the plain content of an object to a new private file (0600): one download, hashed on the way.

        It returns only when size and hash are those of the manifest; otherwise no file is left.

        Raises:
            IdentityMissing: it is encrypted for somebody else.
            ObjectMissing, ArtifactDamaged: it is not what was stored.
            ScratchError: the file can't be written.
            StorageUnavailable: the store does not answer.
        """
        tally = self._tally(stored)
        with _new_file(path, stored.raw_size) as write, Pipeline(run.raise_if_cancelled) as pipeline:
            # What is written here was unpacked in a thread: a file takes as long to write as it takes to unpack.
            pieces = pipeline.ahead(self._plain(stored, tally, pipeline))
            _write_all(pieces, write, run, lambda: Progress(stage, tally.size, expected_bytes=stored.size))

    def copy(self, stored: StoredObject, path: Path, run: Run, *, stage: str = "download") -> None:
        """Writes an object as it is stored to a new private file; needs no identity. See `fetch` for the rest."""
        tally = self._tally(stored)
        with _new_file(path, stored.size) as write, Pipeline(run.raise_if_cancelled) as pipeline:
            pieces = tally.through(pipeline.ahead(self.storage.read(stored.key)))
            _write_all(pieces, write, run, lambda: Progress(stage, tally.size, expected_bytes=stored.size))
            tally.check()

    def packed(self, stored: StoredObject) -> Generator[bytes]:
        """An object as it is stored, in pieces; size and hash are compared at its end.

        Raises:
            ObjectMissing, ArtifactDamaged, StorageUnavailable: as for `fetch`, also in the middle.
        """
        tally = self._tally(stored)
        with Pipeline() as pipeline:
            yield from pipeline.ahead(tally.through(self.storage.read(stored.key)))
        tally.check()

    def plain(self, stored: StoredObject, run: Run | None = None) -> Generator[bytes]:
        """The plain content of an object in pieces; size and hash are compared at its end.

        Args:
            stored: which object.
            run: asked for cancellation while a store is waited for; whoever takes the pieces asks it as well.

        Raises:
            IdentityMissing, ObjectMissing, ArtifactDamaged, StorageUnavailable: as for `fetch`, also in the middle.
        """
        with Pipeline(run.raise_if_cancelled if run is not None else lambda: None) as pipeline:
            yield from self._plain(stored, self._tally(stored), pipeline)

    def require_identity(self, stored: StoredObject) -> None:
        """Raises `IdentityMissing` if it is encrypted for somebody else; reads nothing."""
        recipients = self.manifest.recipients
        if stored.encryption and recipients and not set(recipients) & set(self._identities.recipients):
            whom = ", ".join(recipients)
            raise IdentityMissing(
                f"The backup is encrypted for {whom}, and no identity that opens it is here", hint=IDENTITY_HINT
            )

    def _plain(self, stored: StoredObject, tally: _Tally, pipeline: Pipeline) -> Iterator[bytes]:
        self.require_identity(stored)
        arrived = opened = pipeline.ahead(tally.through(self.storage.read(stored.key)))
        if stored.encryption:
            opened = pipeline.ahead(decrypted(arrived, self._identities))
        try:
            yield from self._exactly(stored, decompressed(opened) if stored.compression else opened)
        except (ArtifactDamaged, IdentityMissing) as error:
            # What is wrong is told best by the hash, and that needs the rest.
            for left in (opened, arrived):
                with contextlib.suppress(ArtifactDamaged, IdentityMissing):
                    for _ in left:
                        pass
            tally.check()
            raise self._damaged(stored, error.message) from None
        tally.check()

    def _exactly(self, stored: StoredObject, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, and not one byte more than the manifest tells: a few bytes may unpack to any number of them."""
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > stored.raw_size:
                raise ArtifactDamaged(f"its content is longer than the {stored.raw_size} bytes that were backed up")
            yield piece
        if size < stored.raw_size:
            raise ArtifactDamaged(f"its content has {size} bytes, {stored.raw_size} were backed up")

    def _tally(self, stored: StoredObject) -> _Tally:
        return _Tally(stored, self._damaged)

    def _damaged(self, stored: StoredObject, what: str) -> ArtifactDamaged:
        return ArtifactDamaged(
            f"{self.storage.address}: the object {stored.key!r} is damaged: {what}",
            hint="restore from another copy, or from another backup",
        )


class _Tally:
    """Counts and hashes what a store gives."""

    def __init__(self, stored: StoredObject, damaged: Callable[[StoredObject, str], ArtifactDamaged]) -> None:
        self._stored = stored
        self._damaged = damaged
        self._hash = hashlib.sha256()
        #: Bytes so far.
        self.size = 0

    def through(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._hash.update(piece)
            self.size += len(piece)
            yield piece

    def check(self) -> None:
        if self.size != self._stored.size:
            raise self._damaged(self._stored, f"it has {self.size} bytes, {self._stored.size} were stored")
        if self._hash.hexdigest() != self._stored.sha256:
            said = f"its SHA-256 is {self._hash.hexdigest()}, that of what was stored is {self._stored.sha256}"
            raise self._damaged(self._stored, said)


def _write_all(
    pieces: Iterator[bytes], write: Callable[[bytes], None], run: Run, progress: Callable[[], Progress]
) -> None:
    for piece in pieces:
        write(piece)
        run.raise_if_cancelled()
        run.report(progress())
    run.report(progress())


@contextlib.contextmanager
def _new_file(path: Path, size: int) -> Iterator[Callable[[bytes], None]]:
    """A private file to write to; it is gone if the block raises."""
    with _mapped_errors(path, size):
        if (free := shutil.disk_usage(path.parent).free) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(free))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    written = asked = 0

    def write(piece: bytes) -> None:
        nonlocal written, asked
        with _mapped_errors(path, size):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        written += len(piece)
        if written - asked >= _WRITE_BACK:
            begin_write_back(descriptor, asked, written - asked)
            asked = written

    try:
        yield write
    except BaseException:
        with contextlib.suppress(OSError):  # it must not hide why
            path.unlink()
        raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _mapped_errors(path: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{path} can't be written: {error.strerror}"
        if error.errno not in NO_ROOM:
            taken = isinstance(error, FileExistsError)
            hint = "choose another name, or move it away" if taken else "see who may write where"
            raise ScratchError(message, hint=hint) from error
        raise ScratchError(
            f"{message}; it needs {needed} bytes, {_free(path.parent)} are free",
            hint="free some space, or choose a folder that has it (HHH_SCRATCH_DIR)",
        ) from error


def _free(folder: Path) -> str:
    try:
        return str(shutil.disk_usage(folder).free)
    except OSError:
        return "an unknown number"
