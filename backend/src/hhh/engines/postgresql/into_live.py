"""Restores some tables straight into a live database, in one transaction that happens or does not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from psycopg import sql

from hhh.engines.postgresql.archive import Entry
from hhh.engines.postgresql.building import Building, make_extensions
from hhh.engines.postgresql.connection import Connection, mapped_errors
from hhh.engines.postgresql.create import open_tablespaces
from hhh.engines.postgresql.finish import give_privileges, give_to_owners
from hhh.engines.postgresql.objects import DatabaseObject, Identity, identity, objects
from hhh.engines.postgresql.passes import Passes, restorable
from hhh.engines.postgresql.restored import look
from hhh.engines.postgresql.worker import Worker, drop_worker, operator_signed_in, signed_in
from hhh.schemas.facts import PostgresqlFacts

#: Relations that must not be there yet; all else of a selection may be, and is then left as it is.
_ALWAYS_NEW = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"})
#: What is said about another entry.
_ABOUT_ANOTHER = frozenset({"COMMENT", "SECURITY LABEL", "SEQUENCE OWNED BY", "SEQUENCE SET"})
#: What the worker needs on objects that are there, by the first word of `DatabaseObject.target`, and how to ask.
_NEEDED = {
    "TYPE": ("USAGE", sql.SQL("SELECT pg_catalog.has_type_privilege(%(role)s, %(name)s, %(right)s)")),
    "DOMAIN": ("USAGE", sql.SQL("SELECT pg_catalog.has_type_privilege(%(role)s, %(name)s, %(right)s)")),
    "ROUTINE": ("EXECUTE", sql.SQL("SELECT pg_catalog.has_function_privilege(%(role)s, %(name)s, %(right)s)")),
    "SCHEMA": ("CREATE, USAGE", None),
}


def build_into_live(building: Building) -> PostgresqlFacts:
    """Restores a selection into the database of the destination's name, and gives it to its owners.

    Raises:
        EngineError: it could not be done.
        Cancelled, LeaseLost: the run is over.
    """
    admin, worker, notes = building.admin, building.worker, building.notes
    database = building.destination.name
    with operator_signed_in(admin, database) as operator:
        make_extensions(building, operator)
        with mapped_errors("The database could not be looked at"):
            there = objects(operator.connection)
        entries = _not_there_yet(building, there)
        if worker.is_temporary:
            _let_in(operator.connection, database, worker, _needed(building.wanted, there))
        passes = building.arrange(entries, by_superuser=False)
        with_tablespaces = open_tablespaces(admin, passes.entries, worker, notes)
        facts = _restore_at_once(building, passes, database, with_tablespaces=with_tablespaces)
        if notes.errors:
            return facts
        give_to_owners(building, operator, passes.entries)
        restored = {identity(entry) for entry in passes.entries}
        give_privileges(building, operator, restored.__contains__, defaults=False)
    if worker.is_temporary:
        drop_worker(admin, building.destination.token, [database])
    return facts


def _restore_at_once(building: Building, passes: Passes, database: str, *, with_tablespaces: bool) -> PostgresqlFacts:
    only = {f"{entry.namespace}.{entry.tag}" for entry in passes.entries if entry.description in {"TABLE", "SEQUENCE"}}
    with signed_in(building.worker, database, building.workplace.scratch) as plain:
        as_worker = building.pg_restore(plain, with_tablespaces=with_tablespaces)
        for entries in passes.turns:
            building.note(as_worker.restore(entries, building.run, at_once=True))
        facts = look(plain, building.run, building.notes, only=only, fingerprint=building.fingerprint)
        if not building.notes.errors:
            building.note(as_worker.restore(passes.closing, building.run, at_once=True))
    return facts


def _not_there_yet(building: Building, there: Collection[Identity]) -> list[Entry]:
    """What a live database lacks of a selection: types, functions, sequences that it has are left as they are."""
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


def _needed(wanted: Iterable[Entry], there: Mapping[Identity, DatabaseObject]) -> Sequence[str]:
    """The objects that are there and that what is restored may use, as `DatabaseObject.target`."""
    schemas = {Identity("SCHEMA", "", entry.namespace) for entry in wanted}
    return [there[each].target for each in {*map(identity, wanted), *schemas} if each in there]


def _let_in(connection: Connection, database: str, worker: Worker, targets: Iterable[str]) -> None:
    """Lets the worker create in a live database and use what is there; dropping the role takes it back."""
    role = worker.identifier
    with mapped_errors("The role for the restore could not be given its rights"):
        connection.execute(sql.SQL("GRANT CONNECT, CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), role))
        for target in targets:
            kind, _, name = target.partition(" ")
            right, query = _NEEDED.get(kind, ("", None))
            if query is not None:
                [(has_it,)] = connection.execute(query, {"role": worker.role, "name": name, "right": right})
                right = "" if has_it else right
            if right:
                # Quoted by the server.
                connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(right), sql.SQL(target), role))
