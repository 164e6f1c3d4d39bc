"""Checks of a live database that is to be replaced: what would be lost, ended, or in the way."""

from __future__ import annotations

from collections.abc import Callable, Collection

from psycopg import sql

from hhh.core.errors import EngineError
from hhh.core.text import listed
from hhh.engines.postgresql.checks_look import Look
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.properties import read_properties, refused_settings
from hhh.engines.postgresql.swap import SETTINGS_CHECK, prepared_transactions, unendable_sessions
from hhh.schemas.restore import Check

_SLOTS = sql.SQL("""
    SELECT s.slot_name::pg_catalog.text FROM pg_catalog.pg_replication_slots s
     WHERE s.database = %(name)s ORDER BY s.slot_name
""")
_PUBLICATIONS = sql.SQL("SELECT p.pubname::pg_catalog.text FROM pg_catalog.pg_publication p ORDER BY p.pubname")
_SUBSCRIPTIONS = sql.SQL("""
    SELECT s.subname::pg_catalog.text FROM pg_catalog.pg_subscription s
      JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = %(name)s ORDER BY s.subname
""")
_SESSIONS = sql.SQL("""
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datname = %(name)s AND a.usesysid IS NOT NULL
""")


def _check_prepared_transactions(look: Look) -> Check:
    with mapped_errors("Prepared transactions could not be looked at"):
        prepared = prepared_transactions(look.admin, look.destination.name)
    if prepared:
        return Check.unsafe(
            "prepared_transactions",
            f"There are prepared transactions, and a database with such can't be renamed: {listed(prepared)}. End them "
            "with COMMIT PREPARED or ROLLBACK PREPARED",
        )
    return Check.ok("prepared_transactions", "There are no prepared transactions")


def _check_replication_slots(look: Look) -> Check:
    slots = [name for (name,) in look.query(_SLOTS, name=look.destination.name)]
    if slots:
        return Check.doubtful(
            "replication_slots",
            f"Logical replication slots stay with the database that is replaced, and hold WAL there: {listed(slots)}. "
            "Drop them and make them anew",
        )
    return Check.ok("replication_slots", "There are no logical replication slots")


def _check_publications(look: Look) -> Check:
    """They are the one thing that only a session in the live database sees."""
    if look.row is None:
        return Check.ok("publications", "There is no live database")
    try:
        publications = [name for (name,) in look.query_in_database(_PUBLICATIONS)]
    except EngineError as error:
        return Check.unknown("publications", str(error))
    if publications:
        return Check.doubtful(
            "publications",
            f"The live database publishes by {listed(publications)}: subscribers lose what they follow, and have to "
            "copy it anew from those that the backup has",
        )
    return Check.ok("publications", "The live database publishes nothing")


def _check_subscriptions(look: Look) -> Check:
    subscriptions = [name for (name,) in look.query(_SUBSCRIPTIONS, name=look.destination.name)]
    if subscriptions:
        return Check.doubtful(
            "subscriptions",
            f"The live database subscribes by {listed(subscriptions)}: that ends with the swap, and the database "
            "that is kept can't be removed before they are dropped",
        )
    return Check.ok("subscriptions", "The live database subscribes to nothing")


def _check_sessions(look: Look) -> Check:
    if look.row is None:
        return Check.ok("sessions", "There is no live database")
    with mapped_errors("Sessions could not be looked at"):
        others = unendable_sessions(look.admin, [look.row.oid])
    if others:
        return Check.unsafe(
            "sessions",
            f"The role {look.admin.role} may not end the sessions of {listed(others)}: GRANT pg_signal_backend TO it; "
            "those of superusers, only a superuser may end",
        )
    [(count,)] = look.query(_SESSIONS, name=look.destination.name)
    if count:
        return Check.warning("sessions", f"Sessions that will be ended: {count}")
    return Check.ok("sessions", "Nobody is connected")


def _check_settings(look: Look) -> Check:
    if look.row is None or look.admin.is_superuser:
        return Check.ok(SETTINGS_CHECK, "All settings of the live database can be taken along")
    with mapped_errors("Settings of the database could not be looked at"):
        refused = refused_settings(look.admin.connection, read_properties(look.admin.connection, look.row.oid))
    if refused:
        return Check.doubtful(
            SETTINGS_CHECK,
            f"The role {look.admin.role} may not take along what is set for {listed(refused)}: acknowledged, it is "
            "left out. Restore as a superuser to keep it",
        )
    return Check.ok(SETTINGS_CHECK, "All settings of the live database can be taken along")


CHECKS_OF_LIVE: Collection[Callable[[Look], Check]] = (
    _check_prepared_transactions,
    _check_replication_slots,
    _check_sessions,  # before the publications: looking at them is a session of ours
    _check_publications,
    _check_subscriptions,
    _check_settings,
)
