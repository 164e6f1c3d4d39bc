"""Publish or leave nothing: the objects of a backup, and last its manifest, in every destination."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, cast

import structlog

from hhh.artifacts.destinations import Destination, Destinations
from hhh.artifacts.encryption import Recipients
from hhh.artifacts.fanout import FanOut
from hhh.artifacts.manifest import StoredAttachment, StoredObject
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.stream import StreamResult, copy_stream
from hhh.core.errors import HHHError, ObjectExists, ObjectMissing, StorageError, StorageUnavailable
from hhh.core.run import Progress, Run
from hhh.engines.base import Attachment, Dump, DumpResult
from hhh.schemas.facts import Facts
from hhh.storages.base import ObjectWriter, Storage

#: As long as a store may take by default, where it is not needed.
_STALL_SECONDS = 60.0
#: Seconds for several stores to remove what is not wanted; what they have not by then they do in the background.
_REMOVAL_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Claim(Protocol):
    """An attempt's right to publish, which a later attempt may have by now. Asked from any thread."""

    def confirm(self) -> None:
        """Raises `LeaseLost` or `Cancelled` if the attempt may not publish any more."""

    def is_earlier(self, manifest: bytes) -> bool:
        """Whether a manifest is of an earlier attempt at the same backup."""


class Publication:
    """One attempt at a backup, in all its destinations. A context manager.

    Of several destinations those that fail, or hang, are dropped, as long as enough are left; what a dropped one has
    got is removed from it in the background.

    Left by an exception of any kind (also after `publish`), it removes what it has put, the manifest first. What can't
    be removed is told in a note of that exception; without a manifest it is no backup, and the sweep takes it.

    Args:
        wanted: where it goes to.
        keys: of its objects.
        recipients: whom to encrypt for.
        run: who is told, and may cancel.
        unopened: further stores that it should go to, and why they could not be opened.
        minimum: how many must get it; None: all.
        stall_seconds: for so long a store that is not needed may keep the others waiting.

    Raises:
        HHHError: one that could not be opened is needed.
    """

    def __init__(
        self,
        wanted: Sequence[Destination],
        keys: ArtifactKeys,
        recipients: Recipients,
        run: Run,
        *,
        unopened: Mapping[str, HHHError] | None = None,
        minimum: int | None = None,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        self._destinations = Destinations(wanted, unopened or {}, minimum=minimum, stall_seconds=stall_seconds, run=run)
        self._keys = keys
        self._recipients = recipients
        self._run = run
        self._kept = False
        self._objects: list[str] = []
        self._manifest: bytes | None = None
        #: Set while nothing may be removed from dropped stores: it may be recorded, and then they are repaired.
        self._settled = threading.Event()
        self._removals: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not self._kept:
            self.withdraw(error)

    @property
    def stored(self) -> Sequence[Destination]:
        """The destinations that have it."""
        return tuple(self._destinations.left)

    @property
    def missing(self) -> Mapping[str, HHHError]:
        """The stores that should have it and have not, by name, and why."""
        return dict(self._destinations.dropped)

    def keep(self) -> None:
        """Leaves everything where it is, whatever comes but `withdraw`: for when it may be recorded already."""
        self._kept = True

    def remove_earlier(self, claim: Claim) -> None:
        """Removes what earlier attempts at the same backup have left; what can't be removed is left to the sweep."""
        if self._keys.attempt > 1:
            self._each(functools.partial(self._remove_earlier, claim))

    def store_dump(self, dump: Dump) -> tuple[StoredObject, DumpResult]:
        """Streams the dump to every destination; it is there only if the tool has ended well.

        Raises:
            EngineError: the dump failed.
            StorageError: a destination failed.
        """
        key, expected = self._keys.object, dump.expected_size
        with self._writer(key, expected) as writer:
            result = copy_stream(
                dump.stdout,
                writer,
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
        with attachment.path.open("rb", buffering=0) as file, self._writer(key, size) as writer:
            source = cast("io.RawIOBase", file)
            result = copy_stream(source, writer, recipients=self._recipients, run=_OnlyCancelled(self._run))
        return StoredAttachment(name=attachment.suffix, **self._stored(key, result).model_dump())

    def store_facts(self, facts: Facts) -> StoredObject:
        """Stores the facts, encrypted if there are recipients: they tell of the content."""
        key, raw = self._keys.facts, facts.model_dump_json().encode()
        content = self._recipients.encrypt(raw) if self._recipients else raw
        with self._writer(key, len(content)) as writer:
            writer.write(content)
        result = StreamResult(len(raw), len(content), hashlib.sha256(content).hexdigest())
        return self._stored(key, result, compressed=False)

    def publish(self, manifest: bytes, claim: Claim | None = None) -> None:
        """Creates the manifest in every destination: from then on it is a backup.

        Args:
            manifest: signed.
            claim: asked right before; where the manifest of an earlier attempt stands, that one is replaced.

        Raises:
            ObjectExists: another attempt was faster.
            LeaseLost, Cancelled: the claim does not hold.
            StorageError: a destination failed, and is needed.
        """
        self._run.raise_if_cancelled()
        if claim is not None:
            claim.confirm()
        self._manifest = manifest
        self._each(lambda destination: self._create(destination.storage, manifest, claim))
        self._settle()

    def withdraw(self, error: BaseException) -> None:
        """Removes what was put, the manifest first; what can't be removed is told in a note of that error."""
        self._settled.clear()
        if self._destinations.alone:
            self._tell(error, self._destinations.all[0], self._attempted(self._destinations.all[0]))
            return
        removals = {
            each: self._destinations.start(each, functools.partial(self._remove, each))
            for each in self._destinations.all
        }
        self._destinations.wait_for_all(_REMOVAL_SECONDS)
        for destination, task in removals.items():
            left = task.error if task.ended else StorageUnavailable("it does not answer; the removal goes on")
            self._tell(error, destination, left)

    @contextlib.contextmanager
    def _writer(self, key: str, expected_size: int | None) -> Iterator[ObjectWriter]:
        self._objects.append(key)
        with self._opened(key, expected_size) as writer:
            yield writer
        self._remove_from_dropped()

    def _opened(self, key: str, expected_size: int | None) -> contextlib.AbstractContextManager[ObjectWriter]:
        if self._destinations.alone:
            return self._destinations.left[0].storage.open_writer(key, expected_size=expected_size)
        return FanOut(self._destinations, key, expected_size, self._run)

    def _each(self, work: Callable[[Destination], None]) -> None:
        """Lets every destination that is left do something, several at once."""
        if self._destinations.alone:
            work(self._destinations.left[0])
            return
        started = [
            (each, self._destinations.start(each, functools.partial(work, each))) for each in self._destinations.left
        ]
        for destination, task in started:
            self._destinations.wait(destination, task)
        self._remove_from_dropped()

    def _create(self, storage: Storage, manifest: bytes, claim: Claim | None) -> None:
        try:
            storage.create(self._keys.manifest, manifest)
        except ObjectExists:
            # Of an attempt that was taken for dead: it was frozen after it had asked whether it may.
            if claim is None or not self._remove_earlier_manifest(storage, claim):
                raise
            storage.create(self._keys.manifest, manifest)

    def _remove_earlier(self, claim: Claim, destination: Destination) -> None:
        storage = destination.storage
        try:
            if self._remove_earlier_manifest(storage, claim):
                for key in self._keys.earlier():
                    storage.delete(key)
        except StorageError as error:
            log.warning(
                "earlier_attempt_not_removed",
                store=destination.name,
                target=self._keys.target,
                backup_file=self._keys.backup_file,
                error=str(error),
            )

    def _remove_earlier_manifest(self, storage: Storage, claim: Claim) -> bool:
        """Whether no manifest is there any more; one that is not of an earlier attempt stays."""
        with contextlib.suppress(ObjectMissing):
            if not claim.is_earlier(b"".join(storage.read(self._keys.manifest))):
                return False
            claim.confirm()
            storage.delete(self._keys.manifest)
        return True

    def _stored(self, key: str, result: StreamResult, *, compressed: bool = True) -> StoredObject:
        return StoredObject(
            key=key,
            size=result.stored_size,
            sha256=result.sha256,
            raw_size=result.raw_size,
            compression="zstd" if compressed else None,
            encryption="age" if self._recipients else None,
        )

    def _attempted(self, destination: Destination) -> BaseException | None:
        try:
            self._remove(destination)
        except StorageError as left:
            return left
        return None

    def _tell(self, error: BaseException, destination: Destination, left: BaseException | None) -> None:
        if left is not None:
            error.add_note(f"In {destination.name} something is left of {self._keys.backup_file}: {left}")

    def _remove_from_dropped(self) -> None:
        """Begins to remove what dropped stores have got; one that hangs does so when it does not any more."""
        for destination in self._destinations.all:
            if destination.name in self._destinations.dropped and destination.name not in self._removals:
                self._removals.add(destination.name)
                self._destinations.start(destination, functools.partial(self._remove, destination))

    def _settle(self) -> None:
        """Ends the removals: what is left is without a manifest, and overwritten or swept."""
        if self._removals:
            self._destinations.wait_for_all(_REMOVAL_SECONDS)
        self._settled.set()

    def _remove(self, destination: Destination) -> None:
        if self._manifest is not None and not self._settled.is_set():
            self._remove_manifest(destination.storage, self._manifest)
        # Not reached if the manifest may still be there: a backup is better whole than without its objects.
        for key in self._objects:
            if self._settled.is_set():
                return
            destination.storage.delete(key)

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
