"""The service brought back on an empty machine: from a store, a backup of its own database in it, and its keys.

Nothing is there afterwards, or all of it: the database is built beside its place, its keys are compared with those of
the machine, and only then it is put in place. What was stored since comes back from the manifests of all stores.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh import migrations
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import (
    ArtifactDamaged,
    HHHError,
    InvalidInput,
    ManifestInvalid,
    NotFound,
    ObjectMissing,
    RestoreUnsafe,
)
from hhh.core.run import Run
from hhh.engines.base import EngineKind
from hhh.engines.registry import engine_for, restorer_for
from hhh.engines.restoring import Built, RestoreMode
from hhh.models import Action
from hhh.repositories import own_backups as own_rows
from hhh.repositories import users as user_rows
from hhh.repositories import workers as worker_rows
from hhh.services import audit
from hhh.services.choosing import Choice, ChosenBackup, choose
from hhh.services.container import Services, assemble
from hhh.services.own_database import make_ready
from hhh.services.rebuild import RebuildReport, rebuild
from hhh.services.restoration import acknowledge, refusal
from hhh.services.service_recovery_alone import alone
from hhh.services.service_recovery_checks import SECRET_KEY, SIGNING_KEY, check_keys, place
from hhh.services.standalone import Aim, known_keys, standalone
from hhh.services.targets import APP
from hhh.services.trust import trusted_keys

log = structlog.get_logger(__name__)

#: Checks of the store's objects: what does not hold there holds in an older backup, perhaps.
_OF_OBJECTS = frozenset({"object", "facts"})
#: The newest that can be used is meant; what is newer is told.
_ACCEPTED = frozenset({"newest"})
#: Of every recovery, so that the next one finds what a killed one has left.
_TOKEN = "recovery"  # noqa: S105  it is in names


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to recover from."""

    #: Of the store; None: the store of the settings.
    url: str | None = None
    #: Where there are several in the store.
    installation: str | None = None
    #: None: the newest that can be used.
    backup_file: str | None = None
    #: Public keys whose signature counts, beside those of the settings.
    trusted: tuple[str, ...] = ()
    #: Instead of the settings' own.
    identity_file: Path | None = None
    #: Names of checks that the operator accepts.
    acknowledged: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FoundInStore:
    """What a store had beside what the restored catalogue knew."""

    store: str
    #: None where it could not be read; see `problem`.
    report: RebuildReport | None
    problem: str | None = None


@dataclass(slots=True)
class Recovered:
    """What came back."""

    #: The backup, and when it was taken.
    backup_file: str
    taken_at: datetime
    installation: str
    #: The store that it was in.
    store: str
    #: Newer ones that can't be used, each with the reason.
    passed_over: Sequence[str]
    #: How many jobs of its time were ended.
    interrupted: int = 0
    users: int = 0
    targets: int = 0
    found: list[FoundInStore] = field(default_factory=list)
    #: Stores with a newer backup of the own database, and of which moment.
    newer_in: dict[str, datetime] = field(default_factory=dict)
    #: Of a newer backup, if there is any: the target of the newest one of all, and when that was taken, by the lost
    #: machine or one that still runs.
    newest: tuple[str, datetime] | None = None
    #: What does not open with this machine's keys: ``target shop: …``
    unopened: list[str] = field(default_factory=list)
    #: Why the last steps were not done: the database is in place all the same.
    unfinished: str | None = None


def recover(settings: Settings, wanted: Wanted, run: Run) -> Recovered:
    """Brings the service back.

    Args:
        settings: of the new machine: where its database is to be, its store, and its keys.
        wanted: which backup.
        run: who is told, and may cancel.

    Raises:
        InUse: there is a database already, or another recovery is at work.
        NotFound, InvalidInput, ManifestInvalid, StorageError: no backup can be chosen (`hhh.services.choosing`).
        RestoreUnsafe: the keys are others, or something else stands against it; nothing was left.
        ConfigurationError: the backup is of a newer version of this service.
        HHHError: it could not be restored.
    """
    with alone(settings):
        recovered = _restore(settings, wanted, run)
        try:
            with contextlib.closing(Database(settings.own_database_url)) as database:
                _bring_up_to_date(assemble(settings, database), wanted, recovered)
        except (HHHError, SQLAlchemyError) as error:
            recovered.unfinished = str(error)
    return recovered


def _restore(settings: Settings, wanted: Wanted, run: Run) -> Recovered:
    url, mode, tables = place(settings)
    accepted = _ACCEPTED | wanted.acknowledged - {SECRET_KEY, SIGNING_KEY}  # those two are looked at by ourselves
    aim = Aim(url, mode, tables=tables, acknowledged=accepted, token=_TOKEN)
    keys = known_keys(settings, wanted.trusted)
    choice = Choice(wanted.url or settings.default_storage_url, wanted.installation, APP, wanted.backup_file)
    passed_over: list[str] = []
    while True:
        chosen = _choose(choice, keys, passed_over)
        try:
            return _restore_one(settings, wanted, chosen, aim, run, passed_over)
        except (ArtifactDamaged, ObjectMissing, RestoreUnsafe) as error:
            if wanted.backup_file is not None or not _is_of_objects(error):
                raise
            file = chosen.manifest.backup_file
            log.warning("own_backup_passed_over", backup_file=file, reason=error.message)
            passed_over.append(f"{file}: {error.message}")
            choice = replace(choice, without=choice.without | {file})


def _choose(choice: Choice, keys: Collection[str] | None, passed_over: Sequence[str]) -> ChosenBackup:
    try:
        return choose(choice, keys)
    except (NotFound, ManifestInvalid) as error:
        if not passed_over:
            raise
        raise ArtifactDamaged(
            f"No backup of the service's own database can be used: {'; '.join(passed_over)}",
            hint="is there another store? name it with --from",
        ) from error


def _restore_one(
    settings: Settings, wanted: Wanted, chosen: ChosenBackup, aim: Aim, run: Run, passed_over: Sequence[str]
) -> Recovered:
    manifest = chosen.manifest
    _refuse_other_kind(settings, manifest.engine)
    newer = [check.message for check in chosen.checks if check.name in _ACCEPTED and check.status != "ok"]
    recovered = Recovered(
        manifest.backup_file,
        manifest.created_at,
        manifest.installation,
        chosen.storage.address,
        [*passed_over, *newer],
    )

    def prepare(built: Built) -> None:
        recovered.interrupted = _make_ready(settings, wanted, built.url, chosen.signer)

    with standalone(chosen, aim, settings, identity_file=wanted.identity_file) as restoration:
        restorer_for(manifest.engine).discard(restoration.destination, restoration.workplace)
        with _filling(aim):
            restoration.perform(run, prepare=prepare)
    return recovered


def _make_ready(settings: Settings, wanted: Wanted, url: str, signer: str) -> int:
    with contextlib.closing(Database(url)) as copy:
        interrupted = make_ready(copy)
        with copy.transaction() as session:
            worker_rows.forget_all(session)  # they went with their machine, and are not to be told as lost
            checks = [acknowledge(check, wanted.acknowledged) for check in check_keys(settings, session, signer)]
    if reasons := [check for check in checks if check.status == "unsafe"]:
        raise refusal(reasons)
    return interrupted


@contextlib.contextmanager
def _filling(aim: Aim) -> Iterator[None]:
    """A database that was there and empty is no installation before it is ready, and empty again where that fails."""
    if aim.mode is not RestoreMode.TABLES:
        yield
        return
    with contextlib.closing(Database(aim.to)) as database:
        migrations.begin_filling(database)
        try:
            yield
            migrations.end_filling(database)
        except BaseException as error:
            try:
                migrations.remove_all_tables(database)
            except HHHError as left:
                error.add_note(f"Tables of the restore are left in the database: {left}")
            raise


def _bring_up_to_date(services: Services, wanted: Wanted, recovered: Recovered) -> None:
    if (file := services.database.file) is not None:
        file.chmod(0o600)
    services.identity.agree()
    detail = {"backup_file": recovered.backup_file, "taken_at": recovered.taken_at.isoformat(), "recovered": True}
    audit.record_alone(services.database, Action.RESTORE, APP, target=APP, detail=detail)
    targets, stores = services.targets.list(), services.stores.list()
    recovered.targets = len(targets)
    with services.database.snapshot() as session:
        recovered.users = len(user_rows.all_by_email(session))
    recovered.unopened = [f"target {each.name}: {each.problem}" for each in targets if each.problem]
    recovered.unopened += [f"store {each.name}: {each.problem}" for each in stores if each.problem]
    recovered.found = [*_found(services, wanted)]
    _compare_with_stores(services, recovered)


def _compare_with_stores(services: Services, recovered: Recovered) -> None:
    with services.database.snapshot() as session:
        by_store, newest = own_rows.newest_by_store(session, APP), own_rows.newest_of_all(session)
        # A manifest tells whole seconds: by its word each backup is newer than itself.
        own = own_rows.taken_at(session, APP, recovered.backup_file) or recovered.taken_at
    if newest is not None and newest[1] > own:
        recovered.newest = newest
    for store in services.stores.all():
        taken_at = by_store.get(store.name)
        if store.storage.address != recovered.store and taken_at is not None and taken_at > own:
            recovered.newer_in[store.name] = taken_at


def _found(services: Services, wanted: Wanted) -> Iterator[FoundInStore]:
    keys = trusted_keys(services.settings, services.identity) | {*wanted.trusted}
    for store in services.stores.all():
        try:
            report = rebuild(services.database, services.identity, store, trusted_keys=keys)
        except HHHError as error:
            yield FoundInStore(store.name, None, str(error))
        else:
            yield FoundInStore(store.name, report)


def _is_of_objects(error: HHHError) -> bool:
    if isinstance(error, RestoreUnsafe):
        return any(reason["name"] in _OF_OBJECTS for reason in error.reasons)
    return True


def _refuse_other_kind(settings: Settings, kind: EngineKind) -> None:
    if engine_for(settings.own_database_url).kind is not kind:
        raise InvalidInput(
            f"The service's own database was one of {kind.value}, and HHH_DATABASE_URL is of another kind",
            hint="set it to an empty PostgreSQL database, or for SQLite to none: then it is in HHH_DATA_DIR",
        )
