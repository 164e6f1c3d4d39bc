"""What backups and their objects are called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

#: The suffixes of all further files that engines have.
ATTACHMENTS = ("schema.dump",)
_MANIFEST_KEY = re.compile(r"(?:.*/)?backup_\d{8}_\d{6}(?:_\d+)?\.sql\.json")
_OBJECT_NAME = re.compile(
    r"(?P<file>backup_\d{8}_\d{6}(?:_\d+)?\.sql)\.(?P<attempt>[1-9]\d{0,8})"
    rf"\.(?:zst|facts\.json|(?:{'|'.join(map(re.escape, ATTACHMENTS))})\.zst)(?:\.age)?"
)
_TARGET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def backup_file_name(created_at: datetime, ordinal: int = 1) -> str:
    """The runbook's name of a backup, in UTC: ``backup_20250101_120000.sql``.

    Args:
        created_at: when it was begun.
        ordinal: which one of that second it is; the second is ``backup_20250101_120000_2.sql``.
    """
    more = f"_{ordinal}" if ordinal > 1 else ""
    return f"backup_{created_at.astimezone(UTC):%Y%m%d_%H%M%S}{more}.sql"


def is_manifest(key: str) -> bool:
    """Whether an object of that key is a manifest, in whichever folder it is."""
    return _MANIFEST_KEY.fullmatch(key) is not None


@dataclass(frozen=True, slots=True)
class BackupPlace:
    """Which backup an object belongs to, as far as its key tells."""

    installation: str
    target: str
    backup_file: str
    #: Which attempt at it.
    attempt: int

    @property
    def manifest(self) -> str:
        """The key of the manifest."""
        return f"{self.installation}/{self.target}/{self.backup_file}.json"

    @property
    def stem(self) -> str:
        """How the keys of all objects of the attempt begin."""
        return f"{self.installation}/{self.target}/{self.backup_file}.{self.attempt}."


def place_of(key: str) -> BackupPlace | None:
    """The backup that an object of that key is of; None where it is named like no object of ours, or is a manifest."""
    installation, _, rest = key.partition("/")
    target, _, name = rest.partition("/")
    found = _OBJECT_NAME.fullmatch(name)
    if found is None or not installation or not valid_target_name(target):
        return None
    return BackupPlace(installation, target, found["file"], int(found["attempt"]))


def valid_target_name(name: str) -> bool:
    """Whether a target may be called so: it is a folder in every store, and a part of URLs.

    1 to 63 lower-case letters, digits, ``-``, ``_`` and ``.``, the first a letter or a digit.
    """
    return _TARGET_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class ArtifactKeys:
    """The keys of one attempt at a backup, below a store's prefix."""

    #: The id of this installation: two services in one bucket don't meet.
    installation: str
    #: The name of the target.
    target: str
    #: As `backup_file_name` gives it.
    backup_file: str
    #: Counts from 1; each attempt has its own objects, so that a late one overwrites nothing.
    attempt: int
    #: Whether recipients are set.
    encrypted: bool

    @property
    def object(self) -> str:
        """The dump."""
        return f"{self._attempt}.zst{self._age}"

    @property
    def facts(self) -> str:
        """The facts of the source."""
        return f"{self._attempt}.facts.json{self._age}"

    def attachment(self, suffix: str) -> str:
        """A further file of the engine, e.g. ``schema.dump``."""
        return f"{self._attempt}.{suffix}.zst{self._age}"

    def earlier(self) -> Iterator[str]:
        """Whatever objects the attempts before this one may have; their recipients may have been others."""
        for attempt, encrypted in itertools.product(range(1, self.attempt), (False, True)):
            keys = replace(self, attempt=attempt, encrypted=encrypted)
            yield keys.object
            yield keys.facts
            yield from map(keys.attachment, ATTACHMENTS)

    @property
    def manifest(self) -> str:
        """The manifest: one for all attempts, so that only one of them can publish."""
        return f"{self._folder}/{self.backup_file}.json"

    @property
    def _folder(self) -> str:
        return f"{self.installation}/{self.target}"

    @property
    def _attempt(self) -> str:
        return f"{self._folder}/{self.backup_file}.{self.attempt}"

    @property
    def _age(self) -> str:
        return ".age" if self.encrypted else ""
