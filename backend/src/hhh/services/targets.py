"""The databases that are backed up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError

from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database, shown
from hhh.core.errors import ConfigurationError, InvalidInput, NotFound
from hhh.core.secretbox import SecretBox
from hhh.engines.base import Engine, EngineKind
from hhh.engines.registry import engine_for
from hhh.models import Target as TargetRow
from hhh.repositories import targets as rows

#: The target that is the service's own database; it is always there.
APP = "app"


@dataclass(frozen=True, slots=True)
class ListedTarget:
    """A target as it may be shown."""

    name: str
    engine: EngineKind
    #: Without its password; None if it can't be opened.
    url: str | None
    #: Why it can't be opened, and what to do.
    problem: str | None
    #: None for `APP`.
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Target:
    """A database that can be backed up."""

    name: str
    #: With its password.
    url: str = field(repr=False)
    engine: Engine
    #: None for `APP`.
    created_at: datetime | None

    @property
    def masked_url(self) -> str:
        """The URL as it may be shown."""
        return shown(make_url(self.url))

    @property
    def listed(self) -> ListedTarget:
        """What may be shown of it."""
        return ListedTarget(self.name, self.engine.kind, self.masked_url, None, self.created_at)


class TargetService:
    """Registers and finds targets."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        own = database.url.set(drivername=database.url.get_backend_name())
        self._app_url = own.render_as_string(hide_password=False)
        self._settings = settings

    def find(self, name: str) -> Target:
        """The target of that name.

        Raises:
            NotFound: there is none.
        """
        if name == APP:
            return self._app()
        row = None
        if valid_target_name(name):  # another one may hold what no database takes as a text
            with self._database.snapshot() as session:
                row = rows.find(session, name)
        if row is None:
            raise NotFound(f"No target is named {name!r}", hint="see `hhh target list`")
        return self._opened(row)

    def list(self) -> list[ListedTarget]:
        """`APP`, then all registered ones in the order of their names; one that can't be opened says so."""
        with self._database.snapshot() as session:
            registered = rows.all_by_name(session)
        return [self._app().listed, *(self._listed(row) for row in registered)]

    def names(self) -> Sequence[str]:
        """The names of all targets, in the order of `list`; asks for no secret."""
        with self._database.snapshot() as session:
            return [APP, *(row.name for row in rows.all_by_name(session))]

    def add(self, name: str, url: str) -> Target:
        """Registers a database; its URL is kept encrypted. The database itself is not opened.

        A target whose URL can't be opened any more, since ``HHH_SECRET_KEY`` was lost, is registered anew by it.

        Raises:
            InvalidInput: the name or the URL can't be used, or the name is taken.
        """
        if not valid_target_name(name):
            raise InvalidInput(
                f"{name!r} is no name for a target",
                hint="lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit, at most 63",
            )
        engine = engine_for(url)
        normal_url = engine.validate(url)
        row = TargetRow(
            id=str(uuid.uuid4()),
            name=name,
            engine=engine.kind,
            sealed_url=self._box.seal(normal_url, owner=_owner(name)),
            created_at=(now := utcnow()),
            updated_at=now,
        )
        self._insert(row)
        return Target(name, normal_url, engine, row.created_at)

    def _insert(self, row: TargetRow) -> None:
        taken = InvalidInput(f"A target named {row.name!r} exists already", hint="choose another name")
        if row.name == APP:
            raise taken
        try:
            with self._database.transaction() as session:
                session.add(row)
        except IntegrityError:
            if not self._replace_closed(row):
                raise taken from None

    def _replace_closed(self, row: TargetRow) -> bool:
        with self._database.transaction() as session:
            known = rows.find(session, row.name)
            if known is None or self._listed(known).problem is None:
                return False
            known.engine, known.sealed_url = row.engine, row.sealed_url
            known.created_at, known.updated_at = row.created_at, row.updated_at
            return True

    @property
    def _box(self) -> SecretBox:
        return SecretBox(self._settings.secret)

    def _app(self) -> Target:
        return Target(APP, self._app_url, engine_for(self._app_url), created_at=None)

    def _listed(self, row: TargetRow) -> ListedTarget:
        try:
            return self._opened(row).listed
        except ConfigurationError as error:
            return ListedTarget(row.name, EngineKind(row.engine), None, str(error), row.created_at)

    def _opened(self, row: TargetRow) -> Target:
        url = self._box.open(row.sealed_url, owner=_owner(row.name))
        return Target(row.name, url, engine_for(url), row.created_at)


def _owner(name: str) -> str:
    return f"target {name}"
