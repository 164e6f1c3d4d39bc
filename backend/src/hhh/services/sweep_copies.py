"""The copies that the catalogue has in a store, held against what is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from hhh.artifacts.copying import manifest_bytes
from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import parse_manifest
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.errors import ArtifactDamaged, ManifestInvalid, ObjectExists, ObjectMissing
from hhh.models import CopyStatus
from hhh.repositories import copies as copy_rows
from hhh.repositories import retention as retention_rows
from hhh.repositories import sweeping as rows
from hhh.repositories.sweeping import CopyRow
from hhh.services.inventory import Inventory
from hhh.services.sweep_report import FindingKind
from hhh.services.sweep_scope import Scope

#: Copies that are read at once, with their manifests.
_BATCH = 500


def check_copies(scope: Scope, inventory: Inventory) -> None:
    """Tells of copies that are not whole; all that the catalogue names is taken out of the inventory.

    An incomplete copy is marked as missing, so that it is made again from another one; a manifest that alone is gone is
    written again from the catalogue. Nothing is removed.

    Raises:
        StorageError: the store does not answer.
    """
    for row in _rows(scope):
        scope.run.raise_if_cancelled()
        named = _named(row)
        whole = all(inventory.size(key) == size for key, size in named.items())
        has_manifest = inventory.size(_manifest_key(row)) is not None
        for key in (*named, _manifest_key(row)):
            inventory.take_out(key)
        if row.removed:
            continue
        if row.status == CopyStatus.STORED and not (whole and has_manifest):
            _examine(scope, row, named)
        elif row.status == CopyStatus.MISSING and whole and has_manifest:
            _take_back(scope, row)


def _rows(scope: Scope) -> Iterator[CopyRow]:
    after = ""
    while True:
        with scope.database.snapshot() as session:
            page = rows.copies_in(session, scope.store, after=after, limit=_BATCH)
        yield from page
        if len(page) < _BATCH:
            return
        after = page[-1].backup_id


def _named(row: CopyRow) -> Mapping[str, int]:
    """The keys and sizes of all objects."""
    document: Mapping[str, Any] = row.manifest or {}
    stored = (document.get("object"), document.get("facts"), *document.get("attachments", ()))
    return {row.key: row.size} | {each["key"]: each["size"] for each in stored if each}


def _manifest_key(row: CopyRow) -> str:
    # Not of the row's own file name: of a backup of another installation it may be another.
    document: Mapping[str, Any] = row.manifest or {}
    folder = row.key.rpartition("/")[0]
    return f"{folder}/{document.get('backup_file', row.backup_file)}.json"


def _examine(scope: Scope, row: CopyRow, named: Mapping[str, int]) -> None:
    """Asks for each object by itself: it may be newer than the listing."""
    problem = next(filter(None, (_problem(scope, key, size) for key, size in named.items())), None)
    has_manifest = _size(scope, _manifest_key(row)) is not None
    if problem is None and has_manifest:
        return
    with scope.database.snapshot() as session:
        if not rows.still_stored(session, row.backup_id, scope.store):
            return
    if problem is None:
        _write_manifest(scope, row)
    else:
        _mark_missing(scope, row, problem)


def _problem(scope: Scope, key: str, size: int) -> str | None:
    found = _size(scope, key)
    if found is None:
        return f"Its object {key} is gone"
    return None if found == size else f"Its object {key} has {found} bytes instead of {size}"


def _size(scope: Scope, key: str) -> int | None:
    try:
        return scope.storage.head(key).size
    except ObjectMissing:
        return None


def _mark_missing(scope: Scope, row: CopyRow, problem: str) -> None:
    if not scope.repair:
        scope.report.incomplete.add((row.backup_id, scope.store))
    else:
        with scope.database.transaction() as session:
            copy_rows.set_status(session, row.backup_id, scope.store, CopyStatus.MISSING, f"The sweep: {problem}")
    detail = f"{problem}, of {row.backup_file} of {row.target}"
    done = "marked as missing: it is made again from another copy, if there is one"
    scope.tell(FindingKind.COPY_INCOMPLETE, row.backup_id, detail, done=done)


def _write_manifest(scope: Scope, row: CopyRow) -> None:
    content = manifest_bytes(row.manifest or {})
    detail = f"The manifest of {row.backup_file} of {row.target} is gone, its objects are there"
    try:
        parse_manifest(content, scope.trusted_keys)
    except ManifestInvalid as error:
        scope.tell(FindingKind.COPY_WITHOUT_MANIFEST, row.backup_id, f"{detail}; that in the catalogue: {error}")
        return
    if scope.repair:
        key = _manifest_key(row)
        with contextlib.suppress(ObjectExists):
            scope.storage.create(key, content)
        with scope.database.transaction() as session:
            wanted = retention_rows.hold(session, row.backup_id)
        if not wanted:  # it was removed meanwhile, before this came
            scope.storage.delete(key)
            return
    scope.tell(FindingKind.COPY_WITHOUT_MANIFEST, row.backup_id, detail, done="written again from the catalogue")


def _take_back(scope: Scope, row: CopyRow) -> None:
    """A copy that is there again, as after a disk was not mounted; where another is good, that one is copied."""
    with scope.database.snapshot() as session:
        if rows.has_good_copy(session, row.backup_id):
            return
    detail = f"The missing copy of {row.backup_file} of {row.target} is there again, and the only one"
    if scope.repair:
        try:
            _read_all(scope, row)
        except (ArtifactDamaged, ManifestInvalid, ObjectMissing):
            return  # it is told as lost
        with scope.database.transaction() as session:
            copy_rows.set_status(session, row.backup_id, scope.store, CopyStatus.STORED, None)
    scope.tell(FindingKind.COPY_FOUND, row.backup_id, detail, done="read, found to be undamaged, and taken back")


def _read_all(scope: Scope, row: CopyRow) -> None:
    manifest = parse_manifest(manifest_bytes(row.manifest or {}), scope.trusted_keys)
    backup = StoredBackup(scope.storage, manifest, Identities([]))
    for stored in manifest.objects:
        for _ in backup.packed(stored):
            scope.run.raise_if_cancelled()
