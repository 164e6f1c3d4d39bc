"""Whether a backup is where the catalogue says: asked of the stores themselves, before others are removed for it."""

from __future__ import annotations

import json

from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.artifacts.retrieval import manifest_key
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, InvalidInput, ManifestInvalid, NotFound, ObjectMissing, StorageError
from hhh.models import CopyStatus
from hhh.repositories import backups as rows
from hhh.services.inventory import Inventory
from hhh.services.rebuild import reason_against
from hhh.services.stores import StoreService
from hhh.storages.base import Storage


def reason_against_all(database: Database, stores: StoreService, backup_id: str) -> str | None:
    """Why no store has a backup as far as can be seen now; None where one has. Sizes are asked, nothing is read.

    Raises:
        DatabaseUnavailable: the catalogue does not answer.
    """
    with database.snapshot() as session:
        row = rows.get(session, backup_id)
    if row is None:
        return "it is not in the catalogue any more"
    try:
        manifest = parse_manifest(json.dumps(row.manifest).encode(), None)
    except ManifestInvalid as error:
        return f"its manifest in the catalogue can't be used: {error}"
    reasons = []
    for copy in row.copies:
        if copy.status == CopyStatus.STORED:
            reason = _reason_in(stores, copy.storage, manifest)
            if reason is None:
                return None
            reasons.append(f"{copy.storage}: {reason}")
    return "; ".join(reasons) or "no store has a copy"


def _reason_in(stores: StoreService, name: str, manifest: Manifest) -> str | None:
    try:
        return _reason_against(manifest, stores.find(name).storage)
    except (ConfigurationError, InvalidInput, NotFound, StorageError) as error:
        return str(error)


def _reason_against(manifest: Manifest, storage: Storage) -> str | None:
    nothing = Inventory()
    reasons = (reason_against(stored, nothing, storage) for stored in manifest.objects)
    if (reason := next(filter(None, reasons), None)) is not None:
        return reason
    try:
        storage.head(manifest_key(manifest))
    except ObjectMissing:
        return "Its manifest is missing"
    return None
