"""The catalogue, rebuilt from a store: manifests say what there is, the catalogue only remembers it.

Safe to run at any time, also beside backups: it adds what is missing and takes nothing away.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from sqlalchemy.orm import Session

from hhh.artifacts.destinations import Destination
from hhh.artifacts.manifest import Manifest, StoredObject, parse_manifest
from hhh.artifacts.naming import backup_file_name, is_manifest, valid_target_name
from hhh.artifacts.retrieval import FoundManifest, manifests
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, ManifestInvalid, ObjectMissing
from hhh.core.run import Run, Unattended
from hhh.models import Action, BackupCopy, BackupLog, BackupStatus
from hhh.repositories import backups as rows
from hhh.repositories import jobs as job_rows
from hhh.services import audit
from hhh.services.installation import Identity
from hhh.services.inventory import Inventory
from hhh.storages.base import ObjectInfo, Storage
from hhh.storages.keys import checked_key

#: Manifests in one transaction: short enough that a backup which ends meanwhile does not wait.
_BATCH = 200
#: Characters that the catalogue has room for.
_LONGEST_FILE = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """A manifest that was left out."""

    key: str
    #: What is wrong with it.
    reason: str
    #: The public key (base64) that it is signed by, if nothing else is wrong than that it is not trusted.
    signed_by: str | None = None


class Found(Enum):
    """What the catalogue has of a backup that is in the store."""

    NEW = auto()  #: nothing
    FAILED = auto()  #: a row that says that it failed: it was killed after its manifest was written
    UNFINISHED = auto()  #: a row that says that it has not ended, and no job that is on it
    WITHOUT_COPY = auto()  #: the backup, but not that it is in this store
    KNOWN = auto()  #: all of it
    BUSY = auto()  #: a job is on it, and will record it
    REMOVED = auto()  #: a tombstone: it is being removed, and what is found is what is left of it


#: What is completed by what a store has.
_COMPLETED = (Found.FAILED, Found.UNFINISHED, Found.WITHOUT_COPY)
_NOT_STORED = frozenset({Found.NEW, Found.FAILED, Found.UNFINISHED})


@dataclass(slots=True)
class RebuildReport:
    """What was found in the store, and what came of it."""

    #: Manifests that there are to read.
    expected: int = 0
    #: Manifests of other installations, not asked for.
    of_others: int = 0
    #: Backups that the catalogue did not have.
    added: int = 0
    #: Backups that it had as failed or unfinished, or without this copy.
    completed: int = 0
    #: Backups that it had.
    known: int = 0
    #: Backups whose job has not ended; it records them itself.
    busy: int = 0
    #: Backups that are being removed; they stay so.
    removed: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Manifests that were read so far."""
        return self.added + self.completed + self.known + self.busy + self.removed + len(self.problems)

    def take(self, counted: Counter[Found], problems: Sequence[Problem]) -> None:
        """Counts a batch that is recorded."""
        self.added += counted[Found.NEW]
        self.completed += sum(counted[each] for each in _COMPLETED)
        self.known += counted[Found.KNOWN]
        self.busy += counted[Found.BUSY]
        self.removed += counted[Found.REMOVED]
        self.problems += problems


def rebuild(
    database: Database,
    identity: Identity,
    destination: Destination,
    *,
    trusted_keys: Collection[str],
    all_installations: bool = False,
    run: Run | None = None,
    observe: Callable[[RebuildReport], None] | None = None,
) -> RebuildReport:
    """Adds to the catalogue what a store has and it has not. A second run adds nothing.

    Args:
        database: the catalogue.
        identity: who we are.
        destination: the store, and what it is called in the copies of a backup.
        trusted_keys: whose signature counts (`hhh.services.trust`).
        all_installations: also backups of others; of a catalogue without any backup they are always taken, since that
            is how one begins anew who has lost everything but the store.
        run: may cancel between batches; what was added until then stays.
        observe: told of the report after each batch.

    Raises:
        StorageError: the store does not answer.
        DatabaseUnavailable: the catalogue does not.
    """
    run = run or Unattended()
    installation = None if all_installations or _has_no_backup(database) else identity.installation
    report = RebuildReport()
    inventory = Inventory(_counted(destination.storage, installation, report))
    found = manifests(destination.storage, trusted_keys, installation or "")
    for batch in batches(found):
        run.raise_if_cancelled()
        recorded = add_found(database, destination, batch, inventory, trusted_keys=trusted_keys)
        report.take(Counter(recorded.states.values()), recorded.problems)
        if observe is not None:
            observe(report)
    return report


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of some manifests."""

    #: By their keys: what the catalogue had of those that hold.
    states: Mapping[str, Found]
    #: Why the others were left out.
    problems: Sequence[Problem]


def add_found(
    database: Database,
    destination: Destination,
    batch: Sequence[FoundManifest],
    inventory: Inventory,
    *,
    trusted_keys: Collection[str],
    dry_run: bool = False,
) -> Recorded:
    """Adds backups to the catalogue whose manifests were found.

    Args:
        database: the catalogue.
        destination: the store that they were found in.
        batch: for one transaction.
        inventory: of that store.
        trusted_keys: whose signature counts.
        dry_run: only tell what would come of them.

    Raises:
        StorageError, DatabaseUnavailable: as for `rebuild`.
    """
    entries, problems = _checked(batch, inventory, destination.storage, trusted_keys)
    if dry_run:
        with database.snapshot() as session:
            states = _states(session, entries, destination.name)
    else:
        with database.transaction() as session:
            states = _record(session, entries, destination.name)
    keys = {entry.manifest.backup_id: entry.key for entry in entries}
    return Recorded({keys[backup_id]: state for backup_id, state in states.items()}, problems)


def _counted(storage: Storage, installation: str | None, report: RebuildReport) -> Iterator[ObjectInfo]:
    for info in storage.list():
        if installation is not None and not info.key.startswith(f"{installation}/"):
            report.of_others += is_manifest(info.key)
        elif is_manifest(info.key):
            report.expected += 1
        else:
            yield info


def _has_no_backup(database: Database) -> bool:
    with database.snapshot() as session:
        return rows.is_empty(session)


def batches(found: Iterable[FoundManifest]) -> Iterator[list[FoundManifest]]:
    """As many as `add_found` takes at once."""
    source = iter(found)
    while batch := list(itertools.islice(source, _BATCH)):
        yield batch


# ------------------------------------------------------------------------------------------------ what is there


def reason_against(stored: StoredObject, inventory: Inventory, storage: Storage) -> str | None:
    """Why an object can't be what its manifest says, as far as its size tells.

    Raises:
        StorageError: the store does not answer; it is asked where the inventory says otherwise, and may be older.
    """
    size = inventory.size(stored.key)
    if size != stored.size:
        try:
            size = storage.head(stored.key).size
        except ObjectMissing:
            return f"Its object {stored.key} is missing"
    return None if size == stored.size else f"Its object {stored.key} has {size} bytes instead of {stored.size}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A backup that is there."""

    #: Of its manifest.
    key: str
    manifest: Manifest
    #: As stored, signature included.
    document: dict[str, Any]


def _checked(
    batch: Sequence[FoundManifest], inventory: Inventory, storage: Storage, trusted_keys: Collection[str]
) -> tuple[list[_Entry], list[Problem]]:
    entries, problems = [], []
    for found in batch:
        if found.manifest is None:
            problems.append(_unusable(found, trusted_keys))
        elif reason := _reason_against(found.manifest, inventory, storage):
            problems.append(Problem(found.key, reason))
        else:
            entries.append(_Entry(found.key, found.manifest, json.loads(found.content)))
    return entries, problems


def _unusable(found: FoundManifest, trusted_keys: Collection[str]) -> Problem:
    problem = Problem(found.key, found.problem or "It can't be read")
    try:
        parse_manifest(found.content, None)
    except ManifestInvalid:
        return problem
    if found.signer in trusted_keys:
        return problem
    return Problem(found.key, f"It is signed by a key that is not trusted here: {found.signer}", signed_by=found.signer)


def _reason_against(manifest: Manifest, inventory: Inventory, storage: Storage) -> str | None:
    if not _fits(manifest):
        return "It holds a name that no backup of ours has"
    reasons = (reason_against(stored, inventory, storage) for stored in manifest.objects)
    return next(filter(None, reasons), None)


def _fits(manifest: Manifest) -> bool:
    """Whether its names fit into the catalogue; one that another service signed may hold anything."""
    try:
        is_id = str(uuid.UUID(manifest.backup_id)) == manifest.backup_id
    except ValueError:
        return False
    file = manifest.backup_file
    is_file = file.isprintable() and "/" not in file and 0 < len(file) <= _LONGEST_FILE
    return is_id and is_file and valid_target_name(manifest.target) and all(map(_is_key, manifest.objects))


def _is_key(stored: StoredObject) -> bool:
    try:
        checked_key(stored.key)
    except InvalidInput:
        return False
    return True


# ----------------------------------------------------------------------------------------------- what is recorded


def _states(session: Session, entries: Sequence[_Entry], store: str) -> dict[str, Found]:
    ids = [entry.manifest.backup_id for entry in entries]
    known = {row.id: row for row in rows.among(session, ids)}
    busy = {job.id for job in job_rows.active_among(session, ids)}
    return {key: Found.BUSY if key in busy else _state(known.get(key), store) for key in ids}


def _record(session: Session, entries: Sequence[_Entry], store: str) -> dict[str, Found]:
    if not entries:
        return {}
    rows.lock_totals(session)  # of two rebuilds at once, the second sees what the first has added
    states = _states(session, entries, store)
    by_id = {entry.manifest.backup_id: entry for entry in entries}
    known = {row.id: row for row in rows.among(session, by_id)}
    taken = rows.taken_files(session, [(each.manifest.target, each.manifest.backup_file) for each in entries])
    for backup_id, state in states.items():
        if state in {Found.BUSY, Found.KNOWN, Found.REMOVED}:
            continue
        entry = by_id[backup_id]
        row = _new_row(session, entry.manifest, taken) if state is Found.NEW else known[backup_id]
        if state in _NOT_STORED:
            _mark_stored(row, entry)
        _add_copy(row, entry.manifest.object, store)
    counted = Counter(states.values())
    rows.add_found_to_totals(
        session,
        new=counted[Found.NEW] + counted[Found.UNFINISHED],
        not_failed=counted[Found.FAILED],
        stored_bytes=sum(by_id[key].manifest.object.size for key in states if states[key] in _NOT_STORED),
    )
    _tell(session, store, counted)
    return states


def _tell(session: Session, store: str, counted: Counter[Found]) -> None:
    detail = {"added": counted[Found.NEW], "completed": sum(counted[each] for each in _COMPLETED)}
    if any(detail.values()):
        audit.record(session, Action.CATALOGUE, store, detail=detail)


def _state(row: BackupLog | None, store: str) -> Found:
    if row is None:
        return Found.NEW
    if row.deleted_at is not None:
        return Found.REMOVED
    if row.finished_at is None:
        return Found.UNFINISHED
    if row.status != BackupStatus.SUCCESS:
        return Found.FAILED
    return Found.KNOWN if any(copy.storage == store for copy in row.copies) else Found.WITHOUT_COPY


def _new_row(session: Session, manifest: Manifest, taken: set[tuple[str, str]]) -> BackupLog:
    file = manifest.backup_file
    if (manifest.target, file) in taken:
        # Targets of two installations may have the same name, and then backups of one second.
        names = (backup_file_name(manifest.created_at, ordinal) for ordinal in itertools.count(2))
        file = rows.first_free_file(session, manifest.target, names)
    taken.add((manifest.target, file))
    row = BackupLog(
        id=manifest.backup_id,
        target=manifest.target,
        backup_file=file,
        created_at=manifest.created_at,
        pinned=False,
        copies=[],
    )
    rows.add(session, row)
    return row


def _mark_stored(row: BackupLog, entry: _Entry) -> None:
    stored = entry.manifest.object
    row.status = BackupStatus.SUCCESS
    row.finished_at = entry.manifest.finished_at
    row.error = None
    row.backup_size = stored.size
    row.raw_size = stored.raw_size
    row.sha256 = stored.sha256
    row.manifest = entry.document


def _add_copy(row: BackupLog, stored: StoredObject, store: str) -> None:
    row.copies.append(
        BackupCopy(storage=store, key=stored.key, status="stored", size=stored.size, sha256=stored.sha256)
    )
