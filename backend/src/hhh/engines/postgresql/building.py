"""One restore of PostgreSQL under way: what it is given, and how its parts are done."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from hhh.core.run import Run
from hhh.engines.base import Workplace
from hhh.engines.fingerprints import methods_of
from hhh.engines.postgresql.admin import Administration, DatabaseRow
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.connection import EVENT_TRIGGERS_OFF_SINCE, Connection, mapped_errors
from hhh.engines.postgresql.create import create_extensions, wanted_extensions
from hhh.engines.postgresql.fingerprints import Wanted
from hhh.engines.postgresql.guard import definitions_refused
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.passes import Passes, arrange
from hhh.engines.postgresql.restored import look
from hhh.engines.postgresql.selection import Selection
from hhh.engines.postgresql.superuser import SUPERUSER_CHECK
from hhh.engines.postgresql.tool import PgRestore, Told, find_pg_restore, pg_restore_environment
from hhh.engines.postgresql.worker import SignedIn, Worker, operator_signed_in, signed_in
from hhh.engines.restoring import Destination, RestoreSource
from hhh.schemas.facts import PostgresqlFacts


@dataclass(frozen=True, slots=True)
class Building:
    """What a restore is given."""

    source: RestoreSource
    facts: PostgresqlFacts
    dump: Path
    archive: Archive
    destination: Destination
    workplace: Workplace
    run: Run
    admin: Administration
    worker: Worker
    #: The database of the destination's name; None where there is none.
    live: DatabaseRow | None
    #: With `RestoreMode.TABLES`: which.
    selection: Selection | None
    notes: Notes
    #: Whether no rows are restored, so that there is nothing to look at.
    is_empty: bool = False

    @property
    def wanted(self) -> tuple[Entry, ...]:
        """The entries that are asked for."""
        return self.archive.entries if self.selection is None else self.selection.entries

    @property
    def fingerprint(self) -> Wanted:
        """Fingerprints that are to be taken of what was restored, as those of the source were."""
        return methods_of(self.facts.tables) if self.destination.with_fingerprints else "off"

    def arrange(self, entries: Sequence[Entry], *, by_superuser: bool = True) -> Passes:
        """Puts entries into passes, as `hhh.engines.postgresql.passes.arrange` does it."""
        acknowledged = self.destination.acknowledged
        allowed = by_superuser and self.admin.is_superuser and SUPERUSER_CHECK in acknowledged
        return arrange(self.archive, entries, by_superuser=allowed, acknowledged=acknowledged, notes=self.notes)

    def pg_restore(self, by: SignedIn, *, with_tablespaces: bool) -> PgRestore:
        """pg_restore as the role of a connection, into its database.

        Raises:
            ToolMissing: there is none.
        """
        tool, warning = find_pg_restore(self.admin.server_version, self.workplace)
        if warning:
            self.notes.add_warning(warning)
        return PgRestore(
            tool=tool,
            dump=self.dump,
            environment=pg_restore_environment(by.password_file, by.connection),
            scratch=self.workplace.scratch,
            without_tablespaces=not with_tablespaces,
        )

    def note(self, told: Told) -> None:
        """Takes what pg_restore told."""
        self.notes.add_errors(told.errors)
        for warning in told.warnings:
            self.notes.add_warning(warning)


def make_extensions(building: Building, operator: SignedIn) -> frozenset[str]:
    """Makes the extensions that are asked for; returns the schemas that were made for them.

    Raises:
        EngineError: the server refused or was lost.
    """
    wanted = wanted_extensions(building.wanted, building.facts.extensions)
    return create_extensions(operator.connection, wanted, building.worker, building.notes)


def restore_in_turns(
    building: Building, passes: Passes, operator: SignedIn, *, with_tablespaces: bool
) -> PostgresqlFacts:
    """Restores all but the last pass, into the operator's database, and looks at it.

    Raises:
        EngineError: it could not be done.
        Cancelled, LeaseLost: the run is over.
    """
    run = building.run
    with (
        _guarded(building, operator),
        signed_in(building.worker, operator.connection.info.dbname, building.workplace.scratch) as plain,
    ):
        as_worker = building.pg_restore(plain, with_tablespaces=with_tablespaces)
        as_operator = building.pg_restore(operator, with_tablespaces=with_tablespaces)
        for number, entries in enumerate(passes.turns):
            building.note((as_operator if number % 2 else as_worker).restore(entries, run))
        _silence_subscriptions(operator.connection, passes.entries, building.notes)
        facts = building.facts
        if not building.is_empty:
            facts = look(
                plain,
                run,
                building.notes,
                fingerprint=building.fingerprint,
                with_statistics=building.destination.with_statistics,
            )
        building.note(as_worker.restore(passes.closing, run))
    return facts


def _guarded(building: Building, operator: SignedIn) -> contextlib.AbstractContextManager[None]:
    if not building.worker.is_temporary or SUPERUSER_CHECK in building.destination.acknowledged:
        return contextlib.nullcontext()  # whose code it is, has its rights anyway, or is trusted
    return definitions_refused(operator.connection, building.destination.token)


def restore_last(building: Building, passes: Passes, database: str) -> None:
    """Restores the last pass: nothing that a superuser does in the database may come after event triggers.

    Raises:
        EngineError: it could not be done.
        Cancelled, LeaseLost: the run is over.
    """
    if not passes.last:
        return
    with operator_signed_in(building.admin, database) as operator:
        as_operator = building.pg_restore(operator, with_tablespaces=True)
        if building.admin.server_version >= EVENT_TRIGGERS_OFF_SINCE:  # some are for sign-ins
            as_operator = as_operator.with_option("event_triggers=off")
        building.note(as_operator.restore(passes.last, building.run))
    for entry in passes.last:
        if entry.owner and entry.owner != building.admin.role:
            building.notes.add_warning(
                f"The {entry.description.lower()} {entry.tag} belongs to {building.admin.role} and not to {entry.owner}"
            )


def _silence_subscriptions(connection: Connection, entries: Sequence[Entry], notes: Notes) -> None:
    """pg_dump writes subscriptions so that they are made disabled; but they know the slot of the one that was dumped,
    which would be dropped with them.
    """
    for entry in entries:
        if entry.description != "SUBSCRIPTION":
            continue
        name = sql.Identifier(entry.tag)
        with mapped_errors("A subscription could not be separated from its slot"):
            try:
                connection.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(name))
            except psycopg.errors.UndefinedObject:
                continue  # which pg_restore has told
        notes.add_warning(
            f"The subscription {entry.tag} is disabled and has no slot: to go on with it, ALTER SUBSCRIPTION … "
            "SET (slot_name = …), then ENABLE"
        )
