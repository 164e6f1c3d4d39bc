"""Which URL opens which store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from hhh.core.errors import InvalidInput
from hhh.storages.base import Storage
from hhh.storages.keys import checked_folder
from hhh.storages.local import LocalStorage
from hhh.storages.objectstore import Patience, Place, open_azure, open_gcs, open_s3
from hhh.storages.options import NONE, Options, check_options, identity_of

Opener = Callable[[SplitResult, Patience, Options, bool], Storage]

#: It may become a part of a host's name.
_BUCKET = re.compile(r"[A-Za-z0-9$._-]+")
_EXAMPLES = "file:///folder, s3://bucket/prefix, az://container/prefix, gs://bucket/prefix"


def _open_local(url: SplitResult, *, must_exist: bool) -> LocalStorage:
    folder = Path(unquote(url.path))
    if url.netloc or not folder.is_absolute() or ".." in folder.parts or "\0" in str(folder):
        raise InvalidInput("A file:// storage URL needs three slashes and an absolute path", hint="e.g. file:///folder")
    return LocalStorage(folder, must_exist=must_exist)


def _place(url: SplitResult) -> Place:
    if _BUCKET.fullmatch(url.netloc) is None:
        raise InvalidInput(
            f"The {url.scheme}:// storage URL names no bucket or container", hint=f"known are {_EXAMPLES}"
        )
    return Place(bucket=url.netloc, prefix=checked_folder(unquote(url.path).removeprefix("/")))


OPENERS: dict[str, Opener] = {
    "file": lambda url, _, __, must_exist: _open_local(url, must_exist=must_exist),
    "s3": lambda url, patience, options, _: open_s3(_place(url), patience, options),
    "az": lambda url, patience, options, _: open_azure(_place(url), patience, options),
    "gs": lambda url, patience, options, _: open_gcs(_place(url), patience, options),
}


def open_storage(url: str, *, options: Options = NONE, retry_seconds: float = 60, must_exist: bool = False) -> Storage:
    """The store of a URL. Nothing is written and nobody is asked; a bucket that is missing shows at first use.

    Args:
        url: ``file:///folder``, ``s3://bucket/prefix``, ``az://container/prefix`` or ``gs://bucket/prefix``.
        options: who may enter, and another endpoint (`hhh.storages.options`). Without credentials among them both are
            read from the process's environment (``AWS_…``, ``AZURE_…``, ``GOOGLE_…``).
        retry_seconds: how long a failed request is sent again before the store counts as unavailable.
        must_exist: whether a folder that is not there is a store that is unavailable; if not, it is empty, and the
            first write makes it. A bucket always has to be there.

    Raises:
        InvalidInput: the URL is not of these forms, or has a user, a password, a query or a fragment; or an option is
            not one of its kind of store.
        StorageUnavailable: the values for this kind of store can't be used.
        ConfigurationError: the environment holds what can't be kept apart from the options.
    """
    parts = _parsed(url)
    check_options(parts.scheme, options)
    return OPENERS[parts.scheme](parts, Patience(retry_seconds), options, must_exist)


def make_place(url: str) -> None:
    """Makes the folder of a ``file://`` URL, if it is not there; nothing is made for others.

    Raises:
        InvalidInput: as for `open_storage`.
        StorageFull, StorageUnavailable: it can't be made.
    """
    parts = _parsed(url)
    if parts.scheme == "file":
        _open_local(parts, must_exist=False).make_root()


def scheme_of(url: str) -> str:
    """The kind of store that a URL is of.

    Raises:
        InvalidInput: as for `open_storage`.
    """
    return _parsed(url).scheme


def identity(url: str, options: Options = NONE) -> tuple[str, ...]:
    """What two URLs of one place have in common; see `identity_of`.

    Raises:
        InvalidInput: as for `open_storage`.
    """
    return identity_of(_parsed(url), options)


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidInput("The storage URL is not a URL", hint=f"known are {_EXAMPLES}") from None
    if not parts.scheme:
        raise InvalidInput(
            "The storage URL names no kind of store", hint=f"a folder is file:///folder; known are {_EXAMPLES}"
        )
    if parts.scheme not in OPENERS:
        raise InvalidInput(f"Unknown kind of store {parts.scheme!r} in the storage URL", hint=f"known are {_EXAMPLES}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            "A storage URL holds no user, password, query or fragment",
            hint="credentials are options of a registered store, or read from the environment: AWS_…, AZURE_…, "
            "GOOGLE_…",
        )
    return parts
