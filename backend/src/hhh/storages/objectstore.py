"""Object stores (S3, Azure Blob Storage, Google Cloud Storage) through obstore.

Memory: a writer holds the parts that are under way (`parts_at_once`) and the one being gathered. Parts are 8 MiB for
objects up to 42 GB and grow with the expected size to 52 MiB, so that two of them (104 MiB) carry 545 GB within S3's
10,000 parts. Above 518 GB expected they grow on, and memory with them: 1 TB takes 201 MiB per store. Several writers
of the same pieces share that memory: they have fewer parts under way each, and refer to the same bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import AzureStore, GCSStore, S3Store

from hhh.core.errors import StorageError, StorageUnavailable
from hhh.storages.base import ObjectInfo, ObjectWriter, Storage, Unfinished
from hhh.storages.connections import connection_to
from hhh.storages.keys import checked_folder, checked_key
from hhh.storages.objecterrors import OBSTORE_ERRORS, mapped_errors, may_pass
from hhh.storages.options import NONE, Options
from hhh.storages.unfinished import S3Uploads

if TYPE_CHECKING:  # obstore has these in its stubs only
    from obstore import GetOptions, ObjectMeta, WritableFile
    from obstore.store import BackoffConfig, ClientConfig, ObjectStore, RetryConfig

_MIB = 1 << 20
_SMALLEST_PART = 8 * _MIB
#: 10,000 of them hold 545 GB.
_LARGEST_PLANNED_PART = 52 * _MIB
#: A service at work has 180 MiB beside them, of the 256 that all of it may take.
_PART_MEMORY = 110 * _MIB
#: Seconds for one request up to its answer, and for each further piece of an answer: at 52 MiB, 3.6 Mbit/s.
_REQUEST_SECONDS = 120
_CONNECT_SECONDS = 10
_READ_SIZE = 4 * _MIB
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_ONCE: RetryConfig = {"max_retries": 0}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an object store the objects are."""

    #: The bucket or container.
    bucket: str
    #: The folder all keys are below; may be empty.
    prefix: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store may take."""

    #: Seconds during which a failed request is sent again.
    retry_seconds: float
    #: Seconds for one request.
    request_seconds: float = _REQUEST_SECONDS


def open_s3(place: Place, patience: Patience, options: Options = NONE) -> Storage:
    """S3, or what speaks like it. What `options` leave open: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` …"""
    return _open("s3", S3Store, place, patience, options)


def open_azure(place: Place, patience: Patience, options: Options = NONE) -> Storage:
    """Azure Blob Storage. What `options` leave open: ``AZURE_STORAGE_ACCOUNT_NAME``, ``AZURE_STORAGE_ACCOUNT_KEY`` …"""
    return _open("az", AzureStore, place, patience, options)


def open_gcs(place: Place, patience: Patience, options: Options = NONE) -> Storage:
    """Google Cloud Storage. What `options` leave open: ``GOOGLE_SERVICE_ACCOUNT`` …"""
    return _open("gs", GCSStore, place, patience, options)


def part_size(expected_size: int | None) -> int:
    """Bytes of one part: room for twice the expected size as long as memory allows, and always for all of it.

    An unknown size gets the largest planned parts: they cost memory only once so much has been written.
    """
    if expected_size is None:
        return _LARGEST_PLANNED_PART
    roomy = min(expected_size // 5_000, _LARGEST_PLANNED_PART)
    return max(_SMALLEST_PART, roomy, expected_size // 9_500)


def parts_at_once(part: int, writers: int = 1) -> int:
    """How many parts may be under way: as many as `_PART_MEMORY` holds beside the one being gathered.

    1 to 4. Where several writers share the memory, they hold the same bytes of large parts, since each refers to the
    pieces that all were given, and none is further than its queue behind the others.
    """
    return max(1, min(4, _PART_MEMORY // writers // part - 1))


class ObjectStorage(Storage):
    """A store behind HTTP. Made by `open_s3`, `open_azure` and `open_gcs`.

    Args:
        address: where it is, without secrets.
        store: a client that sends failed requests again.
        once: a client that sends each request once.
        retry_seconds: how long `create` tries.
        uploads: its unfinished uploads; None where it drops them by itself.
    """

    def __init__(
        self,
        address: str,
        store: ObjectStore,
        once: ObjectStore,
        retry_seconds: float,
        uploads: S3Uploads | None = None,
    ) -> None:
        self._address = address
        self._store = store
        self._once = once
        self._retry_seconds = retry_seconds
        self._uploads = uploads

    def __repr__(self) -> str:
        return f"ObjectStorage({self._address})"

    @property
    def address(self) -> str:
        return self._address

    @contextlib.contextmanager
    def open_writer(self, key: str, *, expected_size: int | None = None, writers: int = 1) -> Iterator[ObjectWriter]:
        part = part_size(expected_size)
        at_once = parts_at_once(part, writers)
        file = obstore.open_writer(self._store, checked_key(key), buffer_size=part, max_concurrency=at_once)
        writer = _PartsWriter(file, self._doing("writing", key))
        try:
            yield writer
        except BaseException as error:
            writer.abort(error)
            raise
        writer.commit()

    def create(self, key: str, content: bytes) -> None:
        checked_key(key)
        # Our own retries, since a create must know of them: an answer that was lost may have been a success.
        started = time.monotonic()
        pause = _FIRST_PAUSE
        uncertain = False
        with mapped_errors(self._doing("creating", key)):
            while True:
                try:
                    obstore.put(self._once, key, content, mode="create", use_multipart=False)
                except AlreadyExistsError:
                    if uncertain and self._holds(key, content):
                        return
                    raise
                except OBSTORE_ERRORS as error:
                    if not may_pass(error) or time.monotonic() - started + pause > self._retry_seconds:
                        raise
                    uncertain = True
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                else:
                    return

    def read(self, key: str) -> Iterator[bytes]:
        with self._mapped("reading", key):
            for piece in obstore.get(self._store, checked_key(key)).stream(min_chunk_size=_READ_SIZE):
                yield bytes(piece)

    def read_range(self, key: str, start: int, length: int) -> Iterator[bytes]:
        options: GetOptions = {"range": (start, start + length)}
        with self._mapped("reading", key):
            for piece in obstore.get(self._store, checked_key(key), options=options).stream(min_chunk_size=_READ_SIZE):
                yield bytes(piece)

    def head(self, key: str) -> ObjectInfo:
        with self._mapped("looking at", key):
            return _info(obstore.head(self._store, checked_key(key)))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = checked_folder(prefix)
        with mapped_errors(self._doing("listing", folder)):
            for page in obstore.list(self._store, folder or None):
                yield from map(_info, page)

    def delete(self, key: str) -> None:
        with mapped_errors(self._doing("removing", key)), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, checked_key(key))

    def unfinished(self, prefix: str = "") -> Iterator[Unfinished]:
        folder = checked_folder(prefix)
        return self._uploads.list(folder) if self._uploads is not None else iter(())

    def drop(self, unfinished: Unfinished) -> None:
        checked_key(unfinished.key)
        if self._uploads is not None:
            self._uploads.abort(unfinished)

    def _holds(self, key: str, content: bytes) -> bool:
        return bytes(obstore.get(self._store, key).bytes()) == content

    def _doing(self, what: str, key: str) -> str:
        return f"{self._address}: {what} {key!r}"

    def _mapped(self, what: str, key: str) -> contextlib.AbstractContextManager[None]:
        return mapped_errors(self._doing(what, key), missing=f"{self._address} has no object {key!r}")


class _PartsWriter(ObjectWriter):
    """A multipart upload, or a single PUT of what stays below one part."""

    def __init__(self, file: WritableFile, doing: str) -> None:
        self._file = file
        self._doing = doing
        self._failed = False

    def write(self, chunk: bytes) -> None:
        # After a failure obstore's writer has lost its buffer and its key: what came then would be something else.
        if self._failed:
            raise StorageUnavailable(f"{self._doing} failed before")
        self._failed = True
        with mapped_errors(self._doing):
            self._file.write(chunk)
        self._failed = False

    def commit(self) -> None:
        """Finishes the upload; where that fails, obstore aborts it."""
        if self._failed:
            error = StorageUnavailable(f"{self._doing} failed before")
            self.abort(error)
            raise error
        with mapped_errors(self._doing):
            self._file.close()

    def abort(self, error: BaseException) -> None:
        """Drops the upload. That this failed as well does not hide why."""
        try:
            with mapped_errors(f"{self._doing}: aborting the upload"):
                self._file.__exit__(type(error), error, error.__traceback__)
        except StorageError as abort_error:
            error.add_note(str(abort_error))


def _open(
    scheme: str,
    make: Callable[..., S3Store | AzureStore | GCSStore],
    place: Place,
    patience: Patience,
    options: Options,
) -> Storage:
    connection = connection_to(scheme, place.bucket, options)
    client = _client_options(patience, plain_http=connection.plain_http)
    address = f"{scheme}://{place.bucket}/{place.prefix}".rstrip("/")
    with mapped_errors(f"{address}: opening the store"):
        store, once = (
            make(
                place.bucket,
                prefix=place.prefix or None,
                config=connection.config,
                credential_provider=connection.credentials,
                client_options=client,
                retry_config=retry,
            )
            for retry in (_retries(patience), _ONCE)
        )
    uploads = S3Uploads(place.bucket, place.prefix, options, patience.request_seconds) if scheme == "s3" else None
    return ObjectStorage(address, store, once, patience.retry_seconds, uploads)


def _retries(patience: Patience) -> RetryConfig:
    backoff: BackoffConfig = {
        "init_backoff": timedelta(seconds=_FIRST_PAUSE),
        "max_backoff": timedelta(seconds=_LONGEST_PAUSE),
        "base": 2,
    }
    # Time is the limit, not a count.
    return {
        "backoff": backoff,
        "max_retries": 10_000,
        "retry_timeout": timedelta(seconds=patience.retry_seconds),
    }


def _client_options(patience: Patience, *, plain_http: bool) -> ClientConfig:
    return {
        # Without TLS only where the operator's own endpoint says so.
        "allow_http": plain_http,
        "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, patience.request_seconds)),
        # Bounds a request up to its answer, then each read of the answer: an object may be of any size. The limit of
        # a whole request would be 30 s if nothing were set.
        "read_timeout": timedelta(seconds=patience.request_seconds),
        "timeout": timedelta(days=7),
    }


def _info(meta: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["last_modified"])
