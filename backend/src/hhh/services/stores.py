"""The stores that backups go to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.artifacts.destinations import Destination
from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import (
    ConfigurationError,
    HHHError,
    InUse,
    InvalidInput,
    NotFound,
    StorageError,
    StorageUnavailable,
)
from hhh.core.text import listed
from hhh.models import Action, Store
from hhh.models.audit import Detail
from hhh.repositories import policies as policy_rows
from hhh.repositories import sealing
from hhh.repositories import stores as rows
from hhh.repositories.stores import CopyCounts
from hhh.schemas.storage import CopiesOfStore, RemovedStorage, StorageResource, StorageStep, TestedStorage
from hhh.services import audit, store_options
from hhh.services.local_addresses import refuse_local_store
from hhh.services.opened_stores import OpenedStores
from hhh.services.sealing import Sealing
from hhh.storages.base import Storage
from hhh.storages.check import check_storage
from hhh.storages.options import NONE, Options
from hhh.storages.registry import identity, make_place, open_storage

#: The name of the store of ``HHH_STORAGE_URL``; it is always there.
DEFAULT_STORE = "default"
#: Seconds for which a store that is tried is asked again: somebody sits in front of it.
_TEST_PATIENCE = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreChange:
    """What is to be another in a store."""

    #: None: as it is.
    url: str | None = None
    #: By name; None takes one away.
    options: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    #: Whether options that are no secret and not named here go.
    whole: bool = False
    #: Whether the objects are in the new place, where it is another one.
    objects_moved: bool = False


class StoreService:
    """Registers, finds, opens, changes and tries stores. Only `test` reads and writes in one by itself.

    The folder of a ``file://`` store is made when it is registered, or becomes another, and never later: one that is
    gone is on a disk that is not mounted.

    Args:
        settings: have the key that credentials are sealed with.
        database: has the registered ones.
        default: what `DEFAULT_STORE` is.
    """

    def __init__(self, settings: Settings, database: Database, default: Storage) -> None:
        self._settings = settings
        self._database = database
        self._default = Destination(DEFAULT_STORE, default)
        self._sealing = Sealing(settings)
        self._opened = OpenedStores(settings, self._sealing)

    def all(self) -> Sequence[Destination]:
        """`DEFAULT_STORE`, then every registered one that can be opened; one that can't is logged."""
        with self._database.snapshot() as session:
            registered = rows.all_by_name(session)
        return [self._default, *self._opened.those_that_open(registered)]

    def find(self, name: str) -> Destination:
        """The store of that name.

        Raises:
            NotFound: there is none.
            ConfigurationError: its credentials can't be opened.
        """
        if name == DEFAULT_STORE:
            return self._default
        with self._database.snapshot() as session:
            row = self._row(session, name)
        return self._opened.one(row)

    def named(self, names: Iterable[str]) -> Sequence[Destination]:
        """The stores of these names, in their order; no name at all is `DEFAULT_STORE`.

        Raises:
            NotFound, ConfigurationError: as for `find`.
        """
        return [self.find(name) for name in names] or [self._default]

    def list(self) -> Sequence[StorageResource]:
        """`DEFAULT_STORE`, then all registered ones in the order of their names; one that can't be opened says so."""
        with self._database.snapshot() as session:
            registered = rows.all_by_name(session)
        return [self._listed_default(), *map(self._listed, registered)]

    def get(self, name: str) -> StorageResource:
        """The store of that name as it may be shown, also one that can't be opened.

        Raises:
            NotFound: there is none.
        """
        if name == DEFAULT_STORE:
            return self._listed_default()
        with self._database.snapshot() as session:
            return self._listed(self._row(session, name))

    def add(self, name: str, url: str, options: Options = NONE) -> StorageResource:
        """Registers a store; its options are kept encrypted. The store itself is not asked; a folder is made.

        Raises:
            InvalidInput: the name, the URL or the options can't be used, or the name or the place is taken.
            ConfigurationError: the environment holds what can't be kept apart from its options.
        """
        if not valid_target_name(name):
            raise InvalidInput(
                f"{name!r} is no name for a store",
                hint="lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit, at most 63",
            )
        self._refuse_unusable(url, options)
        taken = InvalidInput(f"A store named {name!r} exists already", hint="choose another name")
        if name == DEFAULT_STORE:
            raise taken
        now = utcnow()
        row = Store(id=str(uuid.uuid4()), name=name, url=url, created_at=now, updated_at=now)
        try:
            with self._database.transaction() as session:
                sealing.lock_stores(session)
                self._refuse_taken(session, name, identity(url, options))
                row.sealed_options = store_options.sealed(self._sealing, session, name, options)
                session.add(row)
                audit.record(session, Action.STORE_ADD, name, detail=_told(url, options))
        except IntegrityError:
            raise taken from None
        _make_folder(name, url)
        return self._listed(row)

    def update(self, name: str, change: StoreChange) -> StorageResource:
        """Changes a store; secrets that are not named are kept, as far as that is safe (`merged`).

        Raises:
            NotFound: there is no such store.
            InvalidInput: it is `DEFAULT_STORE`, or the URL or the options can't be used, or the place is taken.
            InUse: there are copies of backups in it, and the place would be another one.
            ConfigurationError: as for `add`.
        """
        _refuse_default(name)
        with self._database.transaction() as session:
            sealing.lock_stores(session)
            row = self._row(session, name)
            known, url = self._known_options(row), change.url or row.url
            options = store_options.merged(row, known or NONE, url, change.options, whole=change.whole)
            self._refuse_unusable(url, options)
            moved = self._is_moved(row, known, url, options)
            if moved:
                self._refuse_taken(session, name, identity(url, options))
                if not change.objects_moved:
                    _refuse_move(name, rows.count_copies(session, name))
            # Others know by it that theirs is outdated.
            row.url, row.updated_at = url, max(utcnow(), row.updated_at + timedelta(microseconds=1))
            row.sealed_options = store_options.sealed(self._sealing, session, name, options)
            audit.record(session, Action.STORE_CHANGE, name, detail=_told(url, options))
        if moved and not change.objects_moved:  # where objects were moved to, a folder is
            _make_folder(name, url)
        return self._listed(row)

    def remove(self, name: str, copies: CopiesOfStore | None = None) -> RemovedStorage:
        """Registers a store no more. Nothing is removed from the store itself.

        Args:
            name: of the store.
            copies: what becomes of the copies in it: None refuses if there are any; ``forget`` takes them out of the
                catalogue, and refuses if a backup is nowhere else; ``forget-backups`` takes those backups out as well.

        Raises:
            NotFound: there is no such store.
            InvalidInput: it is `DEFAULT_STORE`.
            InUse: a policy names it, or there are copies in it.
        """
        _refuse_default(name)
        with self._database.transaction() as session:
            sealing.lock_stores(session)
            row = self._row(session, name)
            if targets := policy_rows.naming(session, name):
                raise InUse(
                    f"The store {name!r} is where backups of these targets go: {listed(targets)}",
                    hint="change that first: `hhh target set NAME --storage …`",
                )
            counts = rows.count_copies(session, name)
            _refuse_loss(name, counts, copies)
            backups = rows.forget_backups_only_in(session, name) if counts.only_there else 0
            forgotten = rows.forget_copies(session, name)
            session.delete(row)
            detail = {"url": row.url, "copies_forgotten": forgotten + backups, "backups_forgotten": backups}
            audit.record(session, Action.STORE_REMOVE, name, detail=detail)
        return RemovedStorage(name=name, copies_forgotten=forgotten + backups, backups_forgotten=backups)

    def test(self, name: str) -> TestedStorage:
        """Writes, reads, lists and removes in a store as a backup does; that something fails is told, too.

        Raises:
            NotFound: there is no such store.
        """
        with self._database.snapshot() as session:
            row = self._row(session, name) if name != DEFAULT_STORE else None
        return _tried(name, lambda: self._to_be_tried(row))

    def try_new(self, name: str, url: str, options: Options = NONE) -> TestedStorage:
        """As `test`, of a store that is not registered.

        Raises:
            InvalidInput: the URL or the options can't be used.
            ConfigurationError: as for `add`.
        """
        self._refuse_unusable(url, options)
        return _tried(name, lambda: open_storage(url, options=options, retry_seconds=_TEST_PATIENCE))

    def try_change(self, name: str, change: StoreChange) -> TestedStorage:
        """As `test`, of a store as it would be after a change.

        Raises:
            NotFound: there is no such store.
            InvalidInput: it is `DEFAULT_STORE`, or the URL or the options can't be used.
            ConfigurationError: as for `add`.
        """
        _refuse_default(name)
        with self._database.snapshot() as session:
            row = self._row(session, name)
        url = change.url or row.url
        options = store_options.merged(row, self._known_options(row) or NONE, url, change.options, whole=change.whole)
        self._refuse_unusable(url, options)
        there = url == row.url or change.objects_moved
        return _tried(name, lambda: open_storage(url, options=options, retry_seconds=_TEST_PATIENCE, must_exist=there))

    def missing_copies(self) -> Mapping[str, int]:
        """By name of a store: how many copies of backups it lacks; those that lack none are not there."""
        with self._database.snapshot() as session:
            return rows.missing_copies(session)

    def _to_be_tried(self, row: Store | None) -> Storage:
        if row is None:
            return open_storage(self._settings.default_storage_url, retry_seconds=_TEST_PATIENCE)
        options = store_options.opened(self._sealing, row)
        refuse_local_store(self._settings, options)
        return open_storage(row.url, options=options, retry_seconds=_TEST_PATIENCE, must_exist=True)

    def _refuse_unusable(self, url: str, options: Options) -> None:
        try:
            open_storage(url, options=options)
        except StorageUnavailable as error:  # nobody was asked yet: it is what was given
            raise InvalidInput(error.message, hint=error.hint) from None
        refuse_local_store(self._settings, options)

    def _row(self, session: Session, name: str) -> Store:
        # Another name may hold what no database takes as a text.
        row = rows.find(session, name) if valid_target_name(name) else None
        if row is None:
            raise NotFound(f"No store is named {name!r}", hint="see `hhh storage list`")
        return row

    def _known_options(self, row: Store) -> Options | None:
        try:
            return store_options.opened(self._sealing, row)
        except ConfigurationError:
            return None

    def _is_moved(self, row: Store, known: Options | None, url: str, options: Options) -> bool:
        if known is None:  # its server is not known any more
            return url != row.url
        return identity(url, options) != identity(row.url, known)

    def _refuse_taken(self, session: Session, name: str, place: tuple[str, ...]) -> None:
        places = {DEFAULT_STORE: identity(self._settings.default_storage_url)}
        for row in rows.all_by_name(session):
            if (options := self._known_options(row)) is not None:
                places[row.name] = identity(row.url, options)
        for other, taken in places.items():
            if other != name and taken == place:
                raise InvalidInput(
                    f"The store {other!r} is the same place",
                    hint="two copies in one place are one; name another prefix",
                )

    def _listed_default(self) -> StorageResource:
        return _resource(DEFAULT_STORE, self._settings.default_storage_url)

    def _listed(self, row: Store) -> StorageResource:
        try:
            options, secrets = store_options.shown(row.url, store_options.opened(self._sealing, row))
        except ConfigurationError as error:
            return _resource(row.name, row.url, row=row, problem=str(error))
        return _resource(row.name, row.url, options, secrets, row=row)


def _told(url: str, options: Options) -> Detail:
    """What the audit log tells of a store."""
    known, secrets = store_options.shown(url, options)
    return {"url": url, "options": dict(known), "secrets": list(secrets)}


def _resource(
    name: str,
    url: str,
    options: Options = NONE,
    secrets: Sequence[str] = (),
    *,
    row: Store | None = None,
    problem: str | None = None,
) -> StorageResource:
    return StorageResource(
        name=name,
        url=url,
        options=dict(options),
        secrets=list(secrets),
        problem=problem,
        created_at=row.created_at if row is not None else None,
        updated_at=row.updated_at if row is not None else None,
    )


def _tried(name: str, opened: Callable[[], Storage]) -> TestedStorage:
    try:
        steps = check_storage(opened())
    except HHHError as error:
        return TestedStorage(name=name, ok=False, steps=[], error=str(error))
    failed = next((step.detail for step in steps if not step.ok), None)
    shown = [StorageStep(name=step.name, ok=step.ok, detail=step.detail) for step in steps]
    return TestedStorage(name=name, ok=failed is None, steps=shown, error=failed)


def _make_folder(name: str, url: str) -> None:
    """Also where it can't be made the store is registered: `StoreService.test` tells why."""
    try:
        make_place(url)
    except StorageError as error:
        log.warning("store_folder_not_made", store=name, error=str(error))


def _refuse_default(name: str) -> None:
    if name == DEFAULT_STORE:
        raise InvalidInput(
            f"The store {DEFAULT_STORE!r} is that of HHH_STORAGE_URL, and always there", hint="change that setting"
        )


def _refuse_move(name: str, counts: CopyCounts) -> None:
    if counts.copies:
        raise InUse(
            f"{counts.copies} backup(s) are in the store {name!r}, and it would be another place",
            hint="register the new place under another name; or move the objects first, and say that they are moved",
        )


def _refuse_loss(name: str, counts: CopyCounts, copies: CopiesOfStore | None) -> None:
    if counts.copies and copies is None:
        raise InUse(
            f"{counts.copies} backup(s) are in the store {name!r}, {counts.only_there} of them nowhere else",
            hint="`copies=forget` takes its copies out of the catalogue; every object stays in the store",
        )
    if counts.only_there and copies != "forget-backups":
        raise InUse(
            f"{counts.only_there} backup(s) are in the store {name!r} and nowhere else",
            hint="`copies=forget-backups` takes them out of the catalogue as well; every object stays in the store, "
            "and `hhh catalogue rebuild` finds them again once it is registered",
        )
