"""Ends of the audit log that backups of the own database have noted.

A log whose tail was cut off is whole by itself, if the end of the chain was put back as well. But each backup of the
own database notes in its manifest where the log ended as it began. The manifest is signed, and stands in every store:
what was taken away before that end shows, without anybody having noted anything.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from hhh.artifacts.copying import manifest_bytes
from hhh.artifacts.destinations import Destination
from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.artifacts.naming import is_manifest
from hhh.artifacts.retrieval import read_manifest
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, ManifestInvalid, ObjectMissing, StorageError
from hhh.engines.restoring import RestoreMode
from hhh.models import AuditEvent
from hhh.repositories import audit as rows
from hhh.repositories import own_backups
from hhh.repositories.audit import NO_EVENT, Head
from hhh.schemas.audit import AuditEndVerdict
from hhh.services.audit_chain import is_genuine, parse_head
from hhh.services.installation import Identity
from hhh.services.policies import APP
from hhh.services.trust import trusted_keys

#: Under this name the manifest has the end of the log among the versions of what is in the backup.
AUDIT = "audit"
#: How many of the newest manifests are read: not all need to tell something that can be used.
_READ = 3


@dataclass(frozen=True, slots=True)
class NotedEnd:
    """An end of the log, as a backup noted it."""

    head: Head
    #: Its file, and where it is.
    by: str
    #: When that backup began.
    at: datetime


class NotedEnds:
    """Finds them, and looks whether the log still has them."""

    def __init__(self, settings: Settings, database: Database, identity: Identity) -> None:
        self._settings = settings
        self._database = database
        self._identity = identity

    def in_catalogue(self) -> NotedEnd | None:
        """The newest that the catalogue knows; None where no backup noted one.

        Raises:
            DatabaseUnavailable, ConfigurationError: it can't be asked, or the own key can't be used.
        """
        with self._database.snapshot() as session:
            documents = own_backups.newest_manifests(session, APP, limit=_READ)
        return _newest(self._of_contents(map(manifest_bytes, documents)), "the catalogue")

    def in_store(self, store: Destination) -> NotedEnd | None:
        """The newest in a store: who changes the own database does not reach it.

        Raises:
            StorageError: the store does not answer.
            DatabaseUnavailable, ConfigurationError: as for `in_catalogue`.
        """
        folder = f"{self._identity.installation}/{APP}/"
        keys = sorted(info.key for info in store.storage.list(folder) if is_manifest(info.key))
        return _newest(self._of_contents(_contents(store, keys[-_READ:])), f"the store {store.name}")

    def check(self, noted: NotedEnd) -> AuditEndVerdict:
        """Whether the log has that end still, or tells itself why it has not.

        Raises:
            DatabaseUnavailable, ConfigurationError: as for `in_catalogue`.
        """
        keys = trusted_keys(self._settings, self._identity)
        with self._database.snapshot() as session:
            found = rows.get(session, noted.head.seq)
            restores = rows.done_restores(session, APP, since=noted.at)
        if noted.head in {NO_EVENT, found and Head(found.seq, found.hash)}:
            return AuditEndVerdict(noted.by, str(noted.head), noted.at, ok=True)
        restored = next((each for each in restores if is_genuine(each, keys) and _puts_back(each)), None)
        if restored is not None:
            lost = f"the log lost it when the own database was restored: see event {restored.seq}"
            return AuditEndVerdict(noted.by, str(noted.head), noted.at, ok=True, said=lost)
        said = "is missing" if found is None else "is another now"
        reason = f"event {noted.head.seq} {said}, where the log ended at {noted.at:%Y-%m-%d %H:%M} UTC by {noted.by}"
        return AuditEndVerdict(noted.by, str(noted.head), noted.at, ok=False, said=reason)

    def _of_contents(self, contents: Iterator[bytes]) -> Iterator[Manifest]:
        """The manifests that this installation has signed."""
        keys = trusted_keys(self._settings, self._identity)
        for content in contents:
            try:
                manifest = parse_manifest(content, keys)
            except ManifestInvalid:  # the doctor and the sweep tell of it
                continue
            if (manifest.installation, manifest.target) == (self._identity.installation, APP):
                yield manifest


def noted_everywhere(ends: NotedEnds, stores: Iterable[Destination]) -> Iterator[AuditEndVerdict | StorageError]:
    """Looks for what the catalogue and each of the stores know; a store that does not answer is told as its error.

    Raises:
        DatabaseUnavailable, ConfigurationError: the own database can't be asked, or the own key can't be used.
    """
    if (noted := ends.in_catalogue()) is not None:
        yield ends.check(noted)
    for store in stores:
        try:
            noted = ends.in_store(store)
        except StorageError as error:
            yield error
        else:
            if noted is not None:
                yield ends.check(noted)


def _contents(store: Destination, keys: Collection[str]) -> Iterator[bytes]:
    for key in keys:
        try:
            yield read_manifest(store.storage, key, None).content
        except ObjectMissing:  # removed since it was listed
            continue


def _newest(manifests: Iterator[Manifest], where: str) -> NotedEnd | None:
    found = [
        NotedEnd(head, f"{manifest.backup_file} in {where}", manifest.created_at)
        for manifest in manifests
        if (head := _head(manifest.versions.get(AUDIT, ""))) is not None
    ]
    return max(found, key=lambda each: each.at, default=None)


def _head(text: str) -> Head | None:
    try:
        return parse_head(text)
    except InvalidInput:  # a backup of before ends were noted
        return None


def _puts_back(event: AuditEvent) -> bool:
    """Whether a restore put the own database back to what it was."""
    detail = json.loads(event.detail)
    replaced = detail.get("mode") == RestoreMode.REPLACE and not detail.get("dry_run")
    return bool(detail.get("recovered") or detail.get("undo_of") or replaced)
