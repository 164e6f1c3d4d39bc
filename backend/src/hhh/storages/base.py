"""What every store can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a store."""

    #: Its key below the store's prefix, with ``/`` between the parts.
    key: str
    #: Bytes.
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A write that was neither finished nor dropped: a killed process left it, or it is still under way."""

    #: The key that it is for; of a folder, which does not tell, where its file aside is.
    key: str
    #: When it was begun; of a folder, when it was last written to.
    modified_at: datetime
    #: What the store calls it.
    upload: str


class ObjectWriter(ABC):
    """An object being written; it exists only once its block was left without an error."""

    @abstractmethod
    def write(self, chunk: bytes) -> None:
        """Takes the next bytes. They are immutable and may be kept until the upload is finished.

        Raises:
            StorageError: the store failed; the object will not exist, also if the caller goes on.
        """


class Storage(ABC):
    """A store of objects under one prefix. Thread-safe.

    Keys are relative to the prefix, use ``/``, and hold no empty part, ``.``, ``..`` or control character; every
    method raises `InvalidInput` for others (`hhh.storages.keys`). A key below another object's key (``a`` and then
    ``a/b``) is not for all stores.
    """

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the store is, for people and the manifest; without secrets."""

    @abstractmethod
    def open_writer(
        self, key: str, *, expected_size: int | None = None, writers: int = 1
    ) -> AbstractContextManager[ObjectWriter]:
        """Writes one large object in pieces.

        Left without an error, the object is there, whole and durable; left by an exception (also
        ``KeyboardInterrupt``), nothing is there. An object that was under the key before is replaced only by a whole
        one.

        Args:
            key: the object's key.
            expected_size: an estimate, from which part sizes grow; None means unknown.
            writers: how many writers, this one among them, share the memory that one may take.

        Raises:
            StorageFull: no space is left.
            StorageUnavailable: the store does not take it.
        """

    @abstractmethod
    def create(self, key: str, content: bytes) -> None:
        """Writes a small object if, and only if, there is none under the key.

        Raises:
            ObjectExists: there is one; it is as it was.
            StorageFull, StorageUnavailable: as for `open_writer`.
        """

    @abstractmethod
    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in pieces, from its beginning. Errors show when a piece is asked for.

        Raises:
            ObjectMissing: there is none under the key.
            StorageUnavailable: the store does not answer, at the start or in the middle.
        """

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> Iterator[bytes]:
        """Some of the object's bytes, in pieces; fewer where it ends before. Errors show when a piece is asked for.

        Args:
            key: the object's key.
            start: of the first byte; there must be one.
            length: how many, at least 1.

        Raises:
            ObjectMissing: there is none under the key.
            StorageUnavailable: the store does not answer, or the object ends before ``start``.
        """

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """The object's size and time.

        Raises:
            ObjectMissing: there is none under the key.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects under a folder (``""`` for all), in no particular order; unfinished writes are not among them.

        The prefix is a folder, not the beginning of a string: ``a/b`` has ``a/b/x`` in it, but not ``a/bc/x``. A folder
        that does not exist is empty.

        Raises:
            StorageUnavailable: the store does not answer, at the start or in the middle.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Removes an object; a no-op if there is none.

        Raises:
            StorageUnavailable: the store does not answer, or keeps the object.
        """

    @abstractmethod
    def unfinished(self, prefix: str = "") -> Iterator[Unfinished]:
        """All unfinished writes under a folder, as for `list`; none where the store drops them by itself.

        Raises:
            StorageUnavailable: the store does not answer, or does not let us see them.
        """

    @abstractmethod
    def drop(self, unfinished: Unfinished) -> None:
        """Drops an unfinished write; a no-op if it has ended. What it was for is as it was.

        Raises:
            StorageUnavailable: the store does not answer, or keeps it.
        """
