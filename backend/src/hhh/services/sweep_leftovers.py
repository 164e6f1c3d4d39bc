"""What is in a store and in no row of the catalogue: backups, and what attempts have left that did not publish.

Nothing is removed unless all of this holds: it is in this installation's folder, named like an object of a backup,
older than the safe age by the store's clock and by ours, of no backup or repair that is under way, and no manifest
names it, nor is there one that can't be read. All of it is asked right before each removal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hhh.artifacts.naming import BackupPlace, is_manifest, place_of
from hhh.artifacts.retrieval import FoundManifest, read_manifest
from hhh.core.errors import ObjectMissing, StorageError
from hhh.core.text import minute
from hhh.repositories import sweeping as rows
from hhh.services.inventory import Inventory
from hhh.services.rebuild import Found, add_found, batches
from hhh.services.sweep_report import FindingKind
from hhh.services.sweep_scope import Scope
from hhh.storages.base import Unfinished

#: So many removals may fail one after the other before the store is given up.
_PATIENCE = 3
#: What the catalogue had of a backup that the sweep adds, or completes.
_ADDED = frozenset({Found.NEW, Found.FAILED, Found.UNFINISHED, Found.WITHOUT_COPY})


def add_backups(scope: Scope, inventory: Inventory) -> None:
    """Adds the backups to the catalogue whose manifests are left; what they name is taken out of the inventory.

    Raises:
        StorageError: the store does not answer.
    """
    for batch in batches(_manifests(scope, inventory)):
        scope.run.raise_if_cancelled()
        recorded = add_found(
            scope.database,
            scope.destination,
            batch,
            inventory,
            trusted_keys=scope.trusted_keys,
            dry_run=not scope.repair,
        )
        for found in batch:
            if found.manifest is not None:
                for stored in found.manifest.objects:
                    inventory.take_out(stored.key)
        for key, state in recorded.states.items():
            if state in _ADDED:
                detail = f"A backup that the catalogue has not, or not as stored there: {state.name.lower()}"
                scope.tell(FindingKind.MANIFEST_WITHOUT_ROW, key, detail, done="added to the catalogue")
            elif state is not Found.KNOWN:
                scope.report.left_alone += 1
        for problem in recorded.problems:
            scope.tell(FindingKind.MANIFEST_UNUSABLE, problem.key, f"{problem.reason}. What it may name is kept")


def remove_objects(scope: Scope, inventory: Inventory) -> None:
    """Removes the objects that are left.

    Raises:
        StorageError: the store does not answer, or lets nothing be removed.
    """
    failed = 0
    for key in _own(scope, inventory):
        scope.run.raise_if_cancelled()
        if is_manifest(key):
            continue
        place = place_of(key)
        if place is None:
            detail = "It is named like no object of a backup, and left alone"
            scope.tell(FindingKind.UNKNOWN_OBJECT, key, detail)
        elif not _may_go(scope, key, place):
            scope.report.left_alone += 1
        else:
            failed = 0 if _removed(scope, key) else failed + 1
            if failed == _PATIENCE:
                raise StorageError(f"{scope.storage.address} lets nothing be removed")


def drop_uploads(scope: Scope) -> None:
    """Drops unfinished uploads.

    Raises:
        StorageError: the store does not let us see them, or keeps one.
    """
    for upload in scope.storage.unfinished(scope.installation):
        scope.run.raise_if_cancelled()
        if not _may_be_dropped(scope, upload):
            scope.report.left_alone += 1
            continue
        if scope.repair:
            scope.storage.drop(upload)
        detail = f"An upload that was begun {minute(upload.modified_at)} and is not under way"
        scope.tell(FindingKind.UNFINISHED_UPLOAD, upload.key, detail, done="dropped")


def _own(scope: Scope, inventory: Inventory) -> Iterator[str]:
    within = f"{scope.installation}/"
    return (key for key in inventory.keys() if key.startswith(within))  # noqa: SIM118  it is no mapping


def _manifests(scope: Scope, inventory: Inventory) -> Iterator[FoundManifest]:
    for key in _own(scope, inventory):
        if is_manifest(key):
            with contextlib.suppress(ObjectMissing):  # it was deleted since it was listed
                yield read_manifest(scope.storage, key, scope.trusted_keys)


def _may_go(scope: Scope, key: str, place: BackupPlace) -> bool:
    with scope.database.snapshot() as session:
        file = place.backup_file
        if rows.is_wanted(session, scope.store, target=place.target, backup_file=file, stem=place.stem):
            return False
    try:
        # Not of the listing: a repair may have written it again since.
        if scope.storage.head(key).modified_at > scope.safe_before:
            return False
    except ObjectMissing:
        return False
    return not _is_named(scope, key, place)


def _is_named(scope: Scope, key: str, place: BackupPlace) -> bool:
    """Whether the manifest of its backup names it, or is one that can't be used: who knows what it names."""
    try:
        manifest = read_manifest(scope.storage, place.manifest, scope.trusted_keys).manifest
    except ObjectMissing:
        return False
    return manifest is None or any(stored.key == key for stored in manifest.objects)


def _removed(scope: Scope, key: str) -> bool:
    detail = f"No manifest names it, and it is older than {scope.safe_age.total_seconds() / 3600:g} hours"
    if scope.repair:
        try:
            scope.storage.delete(key)
        except StorageError as error:
            scope.report.refuse(scope.store, key, str(error))
            return False
    scope.tell(FindingKind.OBJECT_WITHOUT_MANIFEST, key, detail, done="removed")
    return True


def _may_be_dropped(scope: Scope, upload: Unfinished) -> bool:
    installation, _, rest = upload.key.partition("/")
    target, slash, _ = rest.partition("/")
    if installation != scope.installation or not slash or upload.modified_at > scope.safe_before:
        return False
    with scope.database.snapshot() as session:
        return not rows.is_busy(session, target)
