"""Which keys a store takes: the same on every kind, so that a backup can be moved from one to another."""

from __future__ import annotations

import unicodedata

from hhh.core.errors import InvalidInput

#: Bytes of UTF-8 in one part: what file systems take, less the few that a name aside adds.
LONGEST_PART = 200
#: Bytes of UTF-8 in a whole key. S3 and GCS take 1,024, of which the prefix needs some.
LONGEST_KEY = 800
#: How the name of an unfinished write begins. No key has such a part, so that no object is taken for a left-over.
UNFINISHED = ".hhh-unfinished-"


def checked_key(key: str) -> str:
    """The key itself, if every store can hold it.

    Raises:
        InvalidInput: it is empty, too long, absolute, has an empty part, ``.`` or ``..``, or holds a control character.
    """
    if not key:
        raise InvalidInput("A store's key is empty")
    if reason := _problem(key):
        raise InvalidInput(f"A store can't hold the key {key[:100]!r}: {reason}")
    return key


def checked_folder(prefix: str) -> str:
    """The folder's name without a slash at its end; ``""`` is the whole store.

    Raises:
        InvalidInput: as for `checked_key`.
    """
    folder = prefix.removesuffix("/")
    return checked_key(folder) if folder else ""


def _problem(key: str) -> str | None:
    parts = key.split("/")
    if not all(parts):
        return "it has an empty part"
    if any(part in {".", ".."} for part in parts):
        return "a part of it is '.' or '..'"
    if any(part.startswith(UNFINISHED) for part in parts):
        return f"{UNFINISHED!r} begins the names of unfinished writes"
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in key):
        return "it holds a control character"
    if len(key.encode()) > LONGEST_KEY or any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"it is longer than {LONGEST_KEY} bytes, or a part of it than {LONGEST_PART}"
    return None
