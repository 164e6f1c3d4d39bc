"""One dump, stored: what a backup and an import have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import Manifest
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.publication import Destination, Publication
from hhh.core.clock import utcnow
from hhh.core.errors import HHHError
from hhh.core.run import Progress, Run
from hhh.engines.base import Dump, EngineKind
from hhh.models import BackupCopy, BackupStatus
from hhh.services.catalogue import Outcome


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a backup before it is stored."""

    installation: str
    backup_id: str
    target: str
    backup_file: str
    attempt: int
    engine: EngineKind
    created_at: datetime
    recipients: Recipients

    @property
    def keys(self) -> ArtifactKeys:
        """Where its objects go."""
        return ArtifactKeys(self.installation, self.target, self.backup_file, self.attempt, bool(self.recipients))


def store(draft: Draft, dumping: AbstractContextManager[Dump], publication: Publication, run: Run) -> Manifest:
    """Stores the dump, its facts and attachments; the manifest that tells of them is not published yet.

    Raises:
        EngineError: the dump failed.
        StorageError: a destination failed.
        Cancelled, LeaseLost: the run is over.
    """
    with dumping as dump:
        stored, result = publication.store_dump(dump)
    run.report(Progress("finalise", stored.raw_size, stored.size, stored.raw_size))
    facts = publication.store_facts(result.facts)
    attachments = tuple(publication.store_attachment(each) for each in result.attachments)
    return Manifest(
        installation=draft.installation,
        backup_id=draft.backup_id,
        target=draft.target,
        backup_file=draft.backup_file,
        attempt=draft.attempt,
        engine=draft.engine,
        created_at=draft.created_at,
        finished_at=utcnow(),
        object=stored,
        facts=facts,
        attachments=attachments,
        recipients=draft.recipients.names,
        versions={**result.versions, "hhh": version("hhh-backup")},
        warnings=result.warnings,
    )


def success(manifest: Manifest, signed: bytes, destinations: Sequence[Destination]) -> Outcome:
    """What the row of a stored backup says."""
    stored = manifest.object
    return Outcome(
        BackupStatus.SUCCESS,
        utcnow(),
        stored_size=stored.size,
        raw_size=stored.raw_size,
        sha256=stored.sha256,
        manifest=json.loads(signed),
        copies=[
            BackupCopy(
                storage=destination.name, key=stored.key, status="stored", size=stored.size, sha256=stored.sha256
            )
            for destination in destinations
        ],
    )


def record(
    publication: Publication,
    write: Callable[[], None],
    *,
    is_recorded: Callable[[], bool | None],
    uncertain: Callable[[HHHError], HHHError],
) -> None:
    """Records what is published, and takes it back only if the database says that it is not recorded.

    A commit that fails, or that an interrupt comes after, may have been done.

    Args:
        publication: of what is stored.
        write: records it.
        is_recorded: whether it is; None when the database can't be asked, or does not know yet.
        uncertain: what to raise for an error that leaves that open.
    """
    publication.keep()
    try:
        write()
    except BaseException as error:
        recorded = is_recorded()
        if recorded is False:
            publication.withdraw(error)
            raise
        if not isinstance(error, HHHError):
            raise
        if recorded is None:
            raise uncertain(error) from error
