"""The history of the own database's tables, one for SQLite and PostgreSQL, and what runs it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from hhh.core.database import Database, mapped_errors


def alembic_config(database: Database) -> Config:
    """Alembic's configuration for this package's history and that database."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["database"] = database
    return config


def upgrade(database: Database) -> None:
    """Brings the database to this version's tables; a no-op where it is there. Safe beside other processes."""
    with mapped_errors():
        command.upgrade(alembic_config(database), "head")


def pending(database: Database) -> bool:
    """Whether the database lacks migrations of this version.

    Raises:
        DatabaseUnavailable: it can't be asked.
    """
    heads = set(ScriptDirectory.from_config(alembic_config(database)).get_heads())
    with mapped_errors(), database.engine.connect() as connection:
        return set(MigrationContext.configure(connection).get_current_heads()) != heads
