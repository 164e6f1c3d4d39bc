"""What time it is for a store: objects are as old as its clock says, and that may be another than ours."""

from __future__ import annotations

import contextlib
import secrets
from datetime import datetime

from hhh.core.errors import StorageError
from hhh.storages.base import Storage
from hhh.storages.check import FOLDER


def store_time(storage: Storage) -> datetime:
    """Now, by the time that the store gives to an object; one is written and removed to learn it.

    Raises:
        StorageError: the store does not answer, or may not be written to.
    """
    key = f"{FOLDER}/{secrets.token_hex(8)}.clock"
    try:
        storage.create(key, b"")
        return storage.head(key).modified_at
    finally:
        with contextlib.suppress(StorageError):
            storage.delete(key)
