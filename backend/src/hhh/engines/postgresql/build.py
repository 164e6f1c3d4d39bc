"""Builds what a restore restores: as a plain role, beside its destination, owners and privileges last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from hhh.core.errors import EngineError
from hhh.core.run import Progress, Run
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import Administration, administration, database_row, url_of
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.building import Building, make_extensions, restore_in_turns, restore_last
from hhh.engines.postgresql.create import (
    create_database,
    grant_what_extensions_have,
    likeness,
    open_tablespaces,
)
from hhh.engines.postgresql.definitions import is_content
from hhh.engines.postgresql.finish import (
    give_large_objects,
    give_privileges,
    give_to_owners,
    set_owner,
    set_properties,
)
from hhh.engines.postgresql.into_live import build_into_live
from hhh.engines.postgresql.names import restore_name
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.objects import Identity, identity
from hhh.engines.postgresql.offsets import fill_offsets
from hhh.engines.postgresql.passes import restorable
from hhh.engines.postgresql.selection import select
from hhh.engines.postgresql.worker import drop_worker, make_worker, operator_signed_in
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts


def build(
    source: RestoreSource, destination: Destination, workplace: Workplace, run: Run, *, without_rows: bool = False
) -> Built:
    """Restores beside the destination; see `Restorer.build`.

    Args:
        source: what to restore.
        destination: where to.
        workplace: where to work.
        run: who is told, and may cancel.
        without_rows: the definitions alone, and no large objects; the facts are those of the source then.

    Raises:
        EngineError: it could not be done.
        Cancelled, LeaseLost: the run is over.
    """
    run.report(Progress(stage="restore", expected_bytes=source.raw_size))
    with administration(destination.url, workplace) as admin:
        building = _begin(source, destination, workplace, run, admin)
        if without_rows:
            building = _without_rows(building)
        if building.selection is not None and building.live is not None:
            facts, database = build_into_live(building), destination.name
        else:
            database = restore_name(destination.name, destination.token)
            facts = _build_beside(building, database)
        notes = building.notes
        return Built(url=url_of(destination.url, database), facts=facts, errors=notes.errors, warnings=notes.warnings)


def discard_worker(destination: Destination, workplace: Workplace) -> None:
    """Removes the role that an unfinished restore made, and what that still owns; a no-op without one.

    Raises:
        EngineError: it can't be removed.
    """
    with administration(destination.url, workplace) as admin:
        is_live = database_row(admin.connection, destination.name) is not None
        into_live = destination.mode is RestoreMode.TABLES and is_live
        drop_worker(admin, destination.token, [destination.name] if into_live else [])


def _begin(
    source: RestoreSource, destination: Destination, workplace: Workplace, run: Run, admin: Administration
) -> Building:
    if source.dump is None or not isinstance(source.facts, PostgresqlFacts):
        raise EngineError("There is no dump of a PostgreSQL database to restore")
    archive = Archive.read(source.dump)
    fill_offsets(source.dump, archive, run)
    selection = select(archive, destination.tables) if destination.mode is RestoreMode.TABLES else None
    notes = Notes(destination.acknowledged)
    for text in selection.left_out if selection else ():
        notes.add_warning(text)
    return Building(
        source=source,
        facts=source.facts,
        dump=source.dump,
        archive=archive,
        destination=destination,
        workplace=workplace,
        run=run,
        admin=admin,
        worker=make_worker(admin, destination.token),
        live=database_row(admin.connection, destination.name),
        selection=selection,
        notes=notes,
    )


def _without_rows(building: Building) -> Building:
    definitions = tuple(entry for entry in building.archive.entries if not is_content(entry))
    return replace(building, archive=replace(building.archive, entries=definitions), is_empty=True)


def _build_beside(building: Building, database: str) -> PostgresqlFacts:
    admin, worker, notes = building.admin, building.worker, building.notes
    create_database(admin, database, likeness(building.live or building.facts.database), worker)
    with operator_signed_in(admin, database) as operator:
        made = make_extensions(building, operator)
        if worker.is_temporary:
            grant_what_extensions_have(operator.connection, worker)
        wanted = restorable(building.wanted)
        passes = building.arrange([entry for entry in wanted if not _is_schema(entry, made)])
        with_tablespaces = open_tablespaces(admin, passes.entries, worker, notes)
        facts = restore_in_turns(building, passes, operator, with_tablespaces=with_tablespaces)
        if notes.errors:
            return facts  # the restore has failed: nobody gets anything of it
        there = [*passes.before_last, *(entry for entry in wanted if _is_schema(entry, made))]
        set_owner(building, database, give_to_owners(building, operator, there))
        schema = give_privileges(
            building, operator, _has_privileges(building, wanted, there), defaults=building.selection is None
        )
        facts = give_large_objects(building, operator, facts)
    if worker.is_temporary:
        drop_worker(admin, building.destination.token, [database])
    restore_last(building, passes, database)
    if building.destination.mode is not RestoreMode.REPLACE:
        set_properties(building, database, schema)
    return facts


def _has_privileges(building: Building, wanted: Iterable[Entry], there: Iterable[Entry]) -> Callable[[Identity], bool]:
    """Of a whole dump, also what it has no entry for: schema public, what extensions made."""
    restored = {identity(entry) for entry in there}
    left_out = {identity(entry) for entry in wanted} - restored
    return restored.__contains__ if building.selection is not None else lambda each: each not in left_out


def _is_schema(entry: Entry, names: frozenset[str]) -> bool:
    return entry.description == "SCHEMA" and entry.tag in names
