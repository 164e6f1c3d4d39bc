"""The databases that are backed up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database, shown
from hhh.core.errors import BackupInProgress, ConfigurationError, HHHError, InUse, InvalidInput, NotFound
from hhh.core.scratch import scratch_folder
from hhh.core.text import listed
from hhh.engines.base import Engine, EngineKind, Workplace
from hhh.engines.registry import engine_for
from hhh.models import Action, Schedule
from hhh.models import Target as TargetRow
from hhh.models.audit import Detail
from hhh.repositories import policies as policy_rows
from hhh.repositories import sealing
from hhh.repositories import targets as rows
from hhh.schemas.policy import PolicyFields
from hhh.schemas.target import RemovedSchedule, RemovedTarget, TargetResource, TestedTarget
from hhh.schemas.verification import Level
from hhh.services import audit, policies
from hhh.services.jobs_database import refuse_as_target
from hhh.services.local_addresses import refuse_local_target
from hhh.services.sealing import Sealing, target_owner
from hhh.services.target_urls import with_kept_password

#: See there; most know it from here.
APP = policies.APP
_NO_CHANGE = PolicyFields()


@dataclass(frozen=True, slots=True)
class ListedTarget:
    """A target as it may be shown."""

    name: str
    engine: EngineKind
    #: Without its password; None if it can't be opened.
    url: str | None
    #: Why it can't be opened, and what to do.
    problem: str | None
    #: None for `APP`, as the next one.
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Target:
    """A database that can be backed up."""

    name: str
    #: With its password.
    url: str = field(repr=False)
    engine: Engine
    #: None for `APP`, as the next one.
    created_at: datetime | None
    updated_at: datetime | None = None

    @property
    def masked_url(self) -> str:
        """The URL as it may be shown."""
        return shown(make_url(self.url))

    @property
    def listed(self) -> ListedTarget:
        """What may be shown of it."""
        return ListedTarget(self.name, self.engine.kind, self.masked_url, None, self.created_at, self.updated_at)


class TargetService:
    """Registers, finds, changes and tries targets."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        own = database.url.set(drivername=database.url.get_backend_name())
        self._app_url = own.render_as_string(hide_password=False)
        self._settings = settings
        self._sealing = Sealing(settings)

    def find(self, name: str) -> Target:
        """The target of that name.

        Raises:
            NotFound: there is none.
            InvalidInput: ``HHH_REFUSE_LOCAL_ADDRESSES`` forbids where it is.
        """
        with self._database.snapshot() as session:
            row = self._row(session, name, locked=False)
        if row is None:
            return self._app()
        target = self._opened(row)
        refuse_local_target(self._settings, target.url)
        return target

    def get(self, name: str) -> ListedTarget:
        """The target of that name as it may be shown, also one that can't be opened.

        Raises:
            NotFound: there is none.
        """
        with self._database.snapshot() as session:
            row = self._row(session, name, locked=False)
        return self._app().listed if row is None else self._listed(row)

    def list(self) -> list[ListedTarget]:
        """`APP`, then all registered ones in the order of their names; one that can't be opened says so."""
        with self._database.snapshot() as session:
            registered = rows.all_by_name(session)
        return [self._app().listed, *(self._listed(row) for row in registered)]

    def names(self) -> Sequence[str]:
        """The names of all targets, in the order of `list`; asks for no secret."""
        with self._database.snapshot() as session:
            return [APP, *rows.names(session)]

    def names_of_kind(self, engine: EngineKind) -> Sequence[str]:
        """As `names`, of those that are databases of that kind."""
        with self._database.snapshot() as session:
            registered = rows.names_of(session, engine)
        return [APP, *registered] if self._app().engine.kind is engine else registered

    def page(self, search: str, *, limit: int, offset: int) -> tuple[Sequence[ListedTarget], int]:
        """Some of those whose names hold what is searched for, in the order of `list`, and how many there are."""
        with self._database.snapshot() as session:
            found = [name for name in [APP, *rows.names(session)] if search.lower() in name]
            shown = found[offset : offset + limit]
            registered = {row.name: row for row in rows.among(session, shown)}
        return [self._listed(registered[name]) if name != APP else self._app().listed for name in shown], len(found)

    def add(self, name: str, url: str, policy: PolicyFields = _NO_CHANGE) -> Target:
        """Registers a database; its URL is kept encrypted. The database itself is not opened.

        A target whose URL can't be opened any more, since ``HHH_SECRET_KEY`` was lost, is registered anew by it.

        Args:
            name: to call it by.
            url: with its password.
            policy: what is not set in it is the default, or as it was for a removed target of that name.

        Raises:
            InvalidInput: the name, the URL or the policy can't be used, or the name is taken.
        """
        if not valid_target_name(name):
            raise InvalidInput(
                f"{name!r} is no name for a target",
                hint="lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit, at most 63",
            )
        normal_url = self._checked_url(url)
        taken = InvalidInput(f"A target named {name!r} exists already", hint="choose another name")
        if name == APP:
            raise taken
        try:
            with self._database.transaction() as session:
                known = rows.find(session, name)
                if known is not None and self._listed(known).problem is None:
                    raise taken
                row = known or TargetRow(id=str(uuid.uuid4()), name=name)
                row.created_at = utcnow()
                self._write_url(session, row, normal_url)
                session.add(row)
                session.flush()
                policies.apply(session, name, policy, whole=False, now=row.created_at)
                detail = {"url": shown(make_url(normal_url)), **_told(policy, whole=False)}
                audit.record(session, Action.TARGET_ADD, name, target=name, detail=detail)
        except IntegrityError:  # another one of that name came between
            raise taken from None
        return self._opened(row)

    def update(self, name: str, url: str | None, policy: PolicyFields, *, whole: bool) -> ListedTarget:
        """Changes a target.

        Args:
            name: of the target.
            url: None leaves it as it is; for what it may lack see `with_kept_password`.
            policy: of what is not set in it, see `whole`.
            whole: what is not set in the policy becomes the default, instead of staying as it is.

        Raises:
            NotFound: there is no such target.
            InvalidInput: the URL or the policy can't be used, or the URL of `APP` was to be changed.
            InUse: it would no longer be PostgreSQL, and drills use its server.
        """
        if name == APP and url is not None:
            raise InvalidInput(
                f"The target {APP!r} is the service's own database: its URL can't be changed",
                hint="set HHH_DATABASE_URL",
            )
        with self._database.transaction() as session:
            sealing.lock_for_writing(session)
            row, detail = self._row(session, name, locked=True), _told(policy, whole=whole)
            if row is not None and url is not None:
                whole_url = with_kept_password(engine_for(url), url, self._known_url(row))
                normal_url = self._checked_url(whole_url)
                self._write_url(session, row, normal_url)
                detail["url"] = shown(make_url(normal_url))
            policies.apply(session, name, policy, whole=whole, now=utcnow())
            audit.record(session, Action.TARGET_CHANGE, name, target=name, detail=detail)
        return self.get(name)

    def remove(self, name: str) -> RemovedTarget:
        """Registers a target no more. Its backups stay, and its policy with them, so that retention goes on.

        Raises:
            NotFound: there is no such target.
            InvalidInput: it is `APP`.
            BackupInProgress: a job waits or runs for it.
            InUse: drills of other targets use its server.
        """
        if name == APP:
            raise InvalidInput(f"The target {APP!r} is the service's own database, and always there")
        with self._database.transaction() as session:
            sealing.lock_for_writing(session)
            self._row(session, name, locked=True)
            if kinds := rows.active_kinds(session, name):
                raise BackupInProgress(
                    f"The target {name!r} is busy: {', '.join(sorted(kinds))}", hint="wait for its end, or cancel it"
                )
            _refuse_without_its_server(session, name)
            backups, policy = rows.stored_backups(session, name), policy_rows.find(session, name)
            if policy is not None and not backups:
                policy_rows.remove(session, name)
            schedules = rows.remove_schedules(session, name)
            rows.remove(session, name)
            detail = {"backups_kept": backups, "schedules_removed": len(schedules)}
            audit.record(session, Action.TARGET_REMOVE, name, target=name, detail=detail)
        return RemovedTarget(
            name=name,
            backups_kept=backups,
            policy_kept=policy is not None and bool(backups),
            schedules_removed=[_removed_schedule(each) for each in schedules],
        )

    def test(self, name: str) -> TestedTarget:
        """Opens a target, and looks at it; that it can't be opened is told, too.

        Raises:
            NotFound: there is no such target.
        """
        try:
            target = self.find(name)
        except (ConfigurationError, InvalidInput) as error:
            return _failed(name, error)
        return self._tried(name, target.url)

    def try_url(self, name: str, url: str) -> TestedTarget:
        """As `test`, of a URL that is not kept.

        Args:
            name: what it is to be called; of one that is registered, the URL may lack what `with_kept_password` says.
            url: of the database.

        Raises:
            InvalidInput: the URL can't be used.
        """
        engine = engine_for(url)
        with self._database.snapshot() as session:
            row = rows.find(session, name) if valid_target_name(name) else None
        whole = with_kept_password(engine, url, self._known_url(row)) if row is not None else url
        return self._tried(name, self._checked_url(whole))

    def _tried(self, name: str, url: str) -> TestedTarget:
        try:
            with scratch_folder(self._settings.scratch_dir, "test") as scratch:
                found = engine_for(url).inspect(url, Workplace(scratch, self._settings.pg_bin_dir))
        except HHHError as error:
            return _failed(name, error)
        return TestedTarget(name=name, ok=True, description=found.description, size=found.size, error=None)

    def _checked_url(self, url: str) -> str:
        normal = engine_for(url).validate(url)
        refuse_as_target(self._settings, normal)
        refuse_local_target(self._settings, normal)
        return normal

    def _write_url(self, session: Session, row: TargetRow, url: str) -> None:
        kind = engine_for(url).kind
        if row.engine == EngineKind.POSTGRESQL and kind != row.engine:
            _refuse_without_its_server(session, row.name)
        row.engine, row.updated_at = kind, utcnow()
        row.sealed_url = self._sealing.seal(session, url, owner=target_owner(row.name))

    def _row(self, session: Session, name: str, *, locked: bool) -> TargetRow | None:
        """None for `APP`, which has none."""
        if name == APP:
            return None
        # Another name may hold what no database takes as a text.
        row = rows.find(session, name, locked=locked) if valid_target_name(name) else None
        if row is None:
            raise NotFound(f"No target is named {name!r}", hint="see `hhh target list`")
        return row

    def _known_url(self, row: TargetRow) -> str | None:
        try:
            return self._opened(row).url
        except ConfigurationError:
            return None

    def _app(self) -> Target:
        return Target(APP, self._app_url, engine_for(self._app_url), created_at=None)

    def _listed(self, row: TargetRow) -> ListedTarget:
        try:
            return self._opened(row).listed
        except ConfigurationError as error:
            return ListedTarget(row.name, EngineKind(row.engine), None, str(error), row.created_at, row.updated_at)

    def _opened(self, row: TargetRow) -> Target:
        url = self._sealing.open(row.sealed_url, owner=target_owner(row.name))
        return Target(row.name, url, engine_for(url), row.created_at, row.updated_at)


def _told(policy: PolicyFields, *, whole: bool) -> Detail:
    """What the audit log tells of a change of a policy."""
    return policy.model_dump(mode="json", include={*PolicyFields.model_fields}, exclude_unset=not whole)


def _refuse_without_its_server(session: Session, name: str) -> None:
    # Nobody can change the policy of what is registered no more.
    users = [each for each in policy_rows.drilling_on(session, name) if each == APP or rows.find(session, each)]
    if others := [each for each in users if each != name]:
        raise InUse(
            f"Drills of these targets use the server of {name!r}: {listed(others)}",
            hint="change that first: `hhh target set NAME --drill-server …`",
        )


def _removed_schedule(row: Schedule) -> RemovedSchedule:
    return RemovedSchedule(
        cron=row.cron, time_zone=row.time_zone, paused=row.paused, verify=cast("Level | None", row.verify_level)
    )


def _failed(name: str, error: HHHError) -> TestedTarget:
    return TestedTarget(name=name, ok=False, description=None, size=None, error=str(error))


def resource(target: ListedTarget, policy: policies.TargetPolicy) -> TargetResource:
    """What is told of a target and its policy."""
    return TargetResource(
        name=target.name,
        engine=target.engine,
        url=target.url,
        problem=target.problem,
        created_at=target.created_at,
        updated_at=target.updated_at,
        storages=list(policies.resolved(policy)),
        minimum_copies=policy.minimum_copies,
        retries=policy.retries,
        time_limit_seconds=policy.time_limit_seconds,
        retention=policy.retention,
        **policy.proof.model_dump(),
    )
