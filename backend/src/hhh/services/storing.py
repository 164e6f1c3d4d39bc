"""One dump, stored: what a backup and an import have in common."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hhh.artifacts.destinations import Destination
from hhh.artifacts.encryption import Recipients
from hhh.artifacts.manifest import Manifest
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.publication import Publication
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError, DatabaseUnavailable, HHHError, NotFound
from hhh.core.run import Progress, Run
from hhh.core.version import PRODUCT_VERSION
from hhh.engines.base import Dump, EngineKind
from hhh.models import BackupCopy, BackupStatus, CopyStatus
from hhh.services.catalogue import Outcome
from hhh.services.policies import PolicyService
from hhh.services.stores import DEFAULT_STORE, StoreService

#: For so long a backup that is done tries to record it: shorter than a lease.
RECORDING_SECONDS = 20.0
_RECORDING_PAUSE = 0.5
#: What a database that is restarted, or not reached, says; one that refuses says something else.
_AWAY = (OperationalError, InterfaceError, PoolTimeout)

log = structlog.get_logger(__name__)


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
    #: What the manifest has among the versions, beside those of the engine and our own.
    further_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> ArtifactKeys:
        """Where its objects go."""
        return ArtifactKeys(self.installation, self.target, self.backup_file, self.attempt, bool(self.recipients))


def publication(
    draft: Draft, run: Run, settings: Settings, stores: StoreService, policies: PolicyService
) -> Publication:
    """Where the policy of the draft's target wants it.

    Raises:
        NotFound, ConfigurationError: a store that is needed can't be opened.
    """
    policy = policies.of(draft.target)
    destinations, unopened = _opened(stores, policy.stores)
    return Publication(
        destinations,
        draft.keys,
        draft.recipients,
        run,
        unopened=unopened,
        minimum=policy.minimum_copies,
        stall_seconds=settings.store_stall_seconds,
    )


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
        versions={**result.versions, "hhh": PRODUCT_VERSION, **draft.further_versions},
        warnings=result.warnings,
    )


def success(manifest: Manifest, signed: bytes, publication: Publication) -> Outcome:
    """What the row of a stored backup says: also in which stores it should be, and is not."""
    stored = manifest.object
    copies: list[tuple[str, CopyStatus, str | None]]
    copies = [(each.name, CopyStatus.STORED, None) for each in publication.stored]
    copies += [(name, CopyStatus.MISSING, str(error)) for name, error in publication.missing.items()]
    return Outcome(
        BackupStatus.SUCCESS,
        utcnow(),
        stored_size=stored.size,
        raw_size=stored.raw_size,
        sha256=stored.sha256,
        manifest=json.loads(signed),
        copies=[
            BackupCopy(storage=name, key=stored.key, status=status, size=stored.size, sha256=stored.sha256, error=error)
            for name, status, error in copies
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

    A commit that fails, or that an interrupt comes after, may have been done. Where the database was only away, it is
    written again for as long as a lease holds: hours of work are not thrown away since a server was restarted.

    Args:
        publication: of what is stored.
        write: records it; a second time it must do no harm.
        is_recorded: whether it is; None when the database can't be asked, or does not know yet.
        uncertain: what to raise for an error that leaves that open.
    """
    publication.keep()
    try:
        insistently(write, is_done=lambda: is_recorded() is True)
    except BaseException as error:
        recorded = is_recorded()
        if recorded is False:
            publication.withdraw(error)
            raise
        if not isinstance(error, HHHError):
            raise
        if recorded is None:
            raise uncertain(error) from error


def insistently(work: Callable[[], None], *, is_done: Callable[[], bool] = lambda: False) -> None:
    """Does something with the own database; again and again while that is away, for `RECORDING_SECONDS`.

    Args:
        work: what to do.
        is_done: whether a try that failed was done nevertheless.

    Raises:
        DatabaseUnavailable: it was away all the time.
        HHHError: the work failed otherwise.
    """
    deadline = time.monotonic() + RECORDING_SECONDS
    while True:
        try:
            work()
        except DatabaseUnavailable as error:
            if is_done():
                return
            if not isinstance(error.__cause__, _AWAY) or time.monotonic() > deadline:
                raise
            log.warning("own_database_away", error=str(error))
            time.sleep(_RECORDING_PAUSE)
        else:
            return


def _opened(stores: StoreService, names: Iterable[str]) -> tuple[list[Destination], dict[str, HHHError]]:
    """The stores of these names that can be opened, and why the others can't."""
    found: list[Destination] = []
    unopened: dict[str, HHHError] = {}
    for name in dict.fromkeys(names) or (DEFAULT_STORE,):
        try:
            found.append(stores.find(name))
        except (NotFound, ConfigurationError) as error:
            unopened[name] = error
    return found, unopened
