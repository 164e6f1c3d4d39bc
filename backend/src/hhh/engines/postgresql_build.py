"""Builds what a restore restores: as a plain role, beside its destination, owners and privileges last."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from hhh.core.errors import EngineError
from hhh.core.run import Progress, Run
from hhh.engines.base import Workplace
from hhh.engines.postgresql_admin import Administration, administration, database_row, url_of
from hhh.engines.postgresql_archive import Archive, Entry
from hhh.engines.postgresql_building import Building, restore_at_once, restore_in_turns
from hhh.engines.postgresql_connection import mapped_errors
from hhh.engines.postgresql_create import (
    create_database,
    create_extensions,
    grant_what_extensions_have,
    likeness,
    open_tablespaces,
    wanted_extensions,
)
from hhh.engines.postgresql_finish import give_privileges, give_to_owners, set_owner, set_properties
from hhh.engines.postgresql_names import restore_name
from hhh.engines.postgresql_notes import Notes
from hhh.engines.postgresql_objects import identity, objects
from hhh.engines.postgresql_passes import restorable
from hhh.engines.postgresql_selection import select
from hhh.engines.postgresql_worker import SignedIn, drop_worker, make_worker, operator_signed_in
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts

#: Relations that must not be there yet; all else of a selection may be, and is then left as it is.
_ALWAYS_NEW = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"})
#: What is said about another entry.
_ABOUT_ANOTHER = frozenset({"COMMENT", "SECURITY LABEL", "SEQUENCE OWNED BY", "SEQUENCE SET"})


def build(source: RestoreSource, destination: Destination, workplace: Workplace, run: Run) -> Built:
    """Restores beside the destination; see `Restorer.build`.

    Raises:
        EngineError: it could not be done.
        Cancelled, LeaseLost: the run is over.
    """
    run.report(Progress(stage="restore", expected_bytes=source.raw_size))
    with administration(destination.url, workplace) as admin:
        building = _begin(source, destination, workplace, run, admin)
        if building.selection is not None and building.live is not None:
            facts, database = _build_into_live(building), destination.name
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


def _build_beside(building: Building, database: str) -> PostgresqlFacts:
    admin, worker, notes = building.admin, building.worker, building.notes
    create_database(admin, database, likeness(building.live or building.facts.database), worker)
    with operator_signed_in(admin, database) as operator:
        made = _make_extensions(building, operator)
        wanted = restorable(building.wanted)
        passes = building.arrange([entry for entry in wanted if not _is_schema(entry, made)])
        with_tablespaces = open_tablespaces(admin, passes.entries, worker, notes)
        facts = restore_in_turns(building, passes, operator, with_tablespaces=with_tablespaces)
        if notes.errors:
            return facts  # the restore has failed: nobody gets anything of it
        entries = [*passes.entries, *(entry for entry in wanted if _is_schema(entry, made))]
        owner = give_to_owners(building, operator, [entry for entry in entries if entry not in passes.last])
        set_owner(building, database, owner)
        left_out = {identity(entry) for entry in wanted} - {identity(entry) for entry in entries}
        restored = {identity(entry) for entry in entries}
        is_whole = building.selection is None
        schema = give_privileges(
            building, operator, lambda each: each not in left_out if is_whole else each in restored, defaults=is_whole
        )
        as_operator = building.pg_restore(operator, with_tablespaces=with_tablespaces)
        building.note(as_operator.restore(passes.last, building.run))
    if building.destination.mode is not RestoreMode.REPLACE:
        set_properties(building, database, schema)
    if worker.is_temporary:
        drop_worker(admin, building.destination.token, [database])
    return facts


def _build_into_live(building: Building) -> PostgresqlFacts:
    admin, worker, notes = building.admin, building.worker, building.notes
    database = building.destination.name
    with operator_signed_in(admin, database) as operator:
        _make_extensions(building, operator)
        entries = _not_there_yet(building, operator)
        if worker.is_temporary:
            _let_in(building, operator, entries)
        passes = building.arrange(entries, by_superuser=False)
        with_tablespaces = open_tablespaces(admin, passes.entries, worker, notes)
        only = {
            f"{entry.namespace}.{entry.tag}" for entry in passes.entries if entry.description in {"TABLE", "SEQUENCE"}
        }
        facts = restore_at_once(building, passes, database, only, with_tablespaces=with_tablespaces)
        if notes.errors:
            return facts
        give_to_owners(building, operator, passes.entries)
        restored = {identity(entry) for entry in passes.entries}
        give_privileges(building, operator, restored.__contains__, defaults=False)
    if worker.is_temporary:
        drop_worker(admin, building.destination.token, [database])
    return facts


def _make_extensions(building: Building, operator: SignedIn) -> frozenset[str]:
    """Makes the extensions; returns the schemas that were made for them."""
    wanted = wanted_extensions(building.wanted, building.facts.extensions)
    made = create_extensions(operator.connection, wanted, building.worker, building.notes)
    if building.worker.is_temporary and building.live is None:
        grant_what_extensions_have(operator.connection, building.worker)
    return made


def _is_schema(entry: Entry, names: frozenset[str]) -> bool:
    return entry.description == "SCHEMA" and entry.tag in names


def _not_there_yet(building: Building, operator: SignedIn) -> list[Entry]:
    """What a live database lacks of a selection: types, functions, sequences that it has are left as they are."""
    with mapped_errors("The database could not be looked at"):
        there = objects(operator.connection)
    wanted = restorable(building.wanted)
    kept = [entry for entry in wanted if entry.description not in _ALWAYS_NEW and identity(entry) in there]
    ids = {entry.dump_id for entry in kept}
    for entry in kept:
        if entry.description != "SCHEMA":
            building.notes.add_warning(
                f"Left as it is, since it was there: {entry.description.lower()} {entry.namespace}.{entry.tag}"
            )
    return [
        entry
        for entry in wanted
        if entry.dump_id not in ids
        and not (entry.description in _ABOUT_ANOTHER and any(each in ids for each in entry.dependencies))
    ]


def _let_in(building: Building, operator: SignedIn, entries: Sequence[Entry]) -> None:
    """Lets the worker create in a live database; dropping the role takes it back."""
    database, role = sql.Identifier(building.destination.name), building.worker.identifier
    with mapped_errors("The role for the restore could not be given its rights"):
        there = {key.name for key in objects(operator.connection) if key.kind == "SCHEMA"}
        operator.connection.execute(sql.SQL("GRANT CONNECT, CREATE ON DATABASE {} TO {}").format(database, role))
        for schema in sorted({entry.namespace for entry in entries} & there):
            operator.connection.execute(
                sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role)
            )
