"""The history of the own database's tables, one for SQLite and PostgreSQL, and what runs it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from hhh.core.database import Database, mapped_errors
from hhh.core.errors import ConfigurationError


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
        ConfigurationError: it is of a newer version.
    """
    history = ScriptDirectory.from_config(alembic_config(database))
    present = _present(database)
    for revision in present:
        _refuse_unknown(history, revision)
    return set(present) != set(history.get_heads())


def is_begun(database: Database) -> bool:
    """Whether the database has tables of any version, and so is one of this service.

    Raises:
        DatabaseUnavailable: it can't be asked.
    """
    return bool(_present(database))


def _present(database: Database) -> tuple[str, ...]:
    with mapped_errors(), database.engine.connect() as connection:
        return tuple(MigrationContext.configure(connection).get_current_heads())


def _refuse_unknown(history: ScriptDirectory, revision: str) -> None:
    try:
        history.get_revision(revision)
    except CommandError:
        raise ConfigurationError(
            f"The service's own database is of a newer version (revision {revision}) than this program",
            hint="run the version that migrated it, or a newer one",
        ) from None
