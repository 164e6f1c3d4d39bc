"""Publish or leave nothing: the objects of a backup, and last its manifest, in every destination."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import StoredAttachment, StoredObject
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.stream import StreamResult, copy_stream
from hhh.core.errors import ObjectMissing, StorageError
from hhh.core.run import Progress, Run
from hhh.engines.base import Attachment, Dump, DumpResult
from hhh.schemas.facts import Facts
from hhh.storages.base import ObjectWriter, Storage


@dataclass(frozen=True, slots=True)
class Destination:
    """A store that a backup goes to."""

    #: What the operator calls it.
    name: str
    storage: Storage


class Publication:
    """One attempt at a backup, in all its destinations. A context manager.

    Left by an exception of any kind (also after `publish`), it removes what it has put, the manifest first. What can't
    be removed is told in a note of that exception; without a manifest it is no backup, and the sweep takes it.
    """

    def __init__(
        self, destinations: Sequence[Destination], keys: ArtifactKeys, recipients: Recipients, run: Run
    ) -> None:
        self._destinations = destinations
        self._keys = keys
        self._recipients = recipients
        self._run = run
        self._kept = False
        self._objects: list[str] = []
        self._manifests: list[tuple[Destination, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not self._kept:
            self.withdraw(error)

    def keep(self) -> None:
        """Leaves everything where it is, whatever comes but `withdraw`: for when it may be recorded already."""
        self._kept = True

    def store_dump(self, dump: Dump) -> tuple[StoredObject, DumpResult]:
        """Streams the dump to every destination; it is there only if the tool has ended well.

        Raises:
            EngineError: the dump failed.
            StorageError: a destination failed.
        """
        key, expected = self._keys.object, dump.expected_size
        with self._writers(key, expected) as writers:
            result = copy_stream(
                dump.stdout,
                writers,
                recipients=self._recipients,
                run=self._run,
                form=dump.form,
                expected_size=expected,
            )
            finished = dump.finish()
            self._run.raise_if_cancelled()
        return self._stored(key, result), finished

    def store_attachment(self, attachment: Attachment) -> StoredAttachment:
        """Stores a further file of the engine, compressed, and encrypted if there are recipients."""
        key, size = self._keys.attachment(attachment.suffix), attachment.path.stat().st_size
        with attachment.path.open("rb", buffering=0) as file, self._writers(key, size) as writers:
            source = cast("io.RawIOBase", file)
            result = copy_stream(source, writers, recipients=self._recipients, run=_OnlyCancelled(self._run))
        return StoredAttachment(name=attachment.suffix, **self._stored(key, result).model_dump())

    def store_facts(self, facts: Facts) -> StoredObject:
        """Stores the facts, encrypted if there are recipients: they tell of the content."""
        key, raw = self._keys.facts, facts.model_dump_json().encode()
        content = self._recipients.encrypt(raw) if self._recipients else raw
        with self._writers(key, len(content)) as writers:
            for writer in writers:
                writer.write(content)
        result = StreamResult(len(raw), len(content), hashlib.sha256(content).hexdigest())
        return self._stored(key, result, compressed=False)

    def publish(self, manifest: bytes) -> None:
        """Creates the manifest in every destination: from then on it is a backup.

        Raises:
            ObjectExists: another attempt was faster.
            StorageError: a destination failed.
        """
        for destination in self._destinations:
            self._run.raise_if_cancelled()
            self._manifests.append((destination, manifest))
            destination.storage.create(self._keys.manifest, manifest)

    @contextlib.contextmanager
    def _writers(self, key: str, expected_size: int | None) -> Iterator[Sequence[ObjectWriter]]:
        self._objects.append(key)
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(destination.storage.open_writer(key, expected_size=expected_size))
                for destination in self._destinations
            ]

    def _stored(self, key: str, result: StreamResult, *, compressed: bool = True) -> StoredObject:
        return StoredObject(
            key=key,
            size=result.stored_size,
            sha256=result.sha256,
            raw_size=result.raw_size,
            compression="zstd" if compressed else None,
            encryption="age" if self._recipients else None,
        )

    def withdraw(self, error: BaseException) -> None:
        """Removes what was put, the manifest first; what can't be removed is told in a note of that error."""
        manifests = {destination.name: content for destination, content in self._manifests}
        for destination in self._destinations:
            try:
                if destination.name in manifests:
                    self._remove_manifest(destination.storage, manifests[destination.name])
                # Not reached if the manifest may still be there: a backup is better whole than without its objects.
                for key in self._objects:
                    destination.storage.delete(key)
            except StorageError as left:
                error.add_note(f"In {destination.name} something is left of {self._keys.backup_file}: {left}")

    def _remove_manifest(self, storage: Storage, ours: bytes) -> None:
        """Removes it only if it is this attempt's own: after a failed create, another one's may stand there."""
        with contextlib.suppress(ObjectMissing):
            if b"".join(storage.read(self._keys.manifest)) == ours:
                storage.delete(self._keys.manifest)


class _OnlyCancelled:
    """A run whose progress is that of the dump, and not of the small files after it."""

    def __init__(self, run: Run) -> None:
        self.raise_if_cancelled = run.raise_if_cancelled

    def report(self, progress: Progress) -> None:
        """Drops it."""
