"""Alembic's entry: runs the migrations on the database of the settings, or on the one it is handed."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.models import Base

#: Any number of our own: one process migrates a PostgreSQL database, the others wait and find nothing left to do.
_ADVISORY_LOCK = 0x484848


def run() -> None:
    """Upgrades or downgrades in one transaction."""
    handed = context.config.attributes.get("database")
    database: Database = handed or Database(load_settings().own_database_url)
    try:
        with database.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            _migrate(connection)
    finally:
        if handed is None:
            database.close()


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,
    )
    context.run_migrations()


run()
