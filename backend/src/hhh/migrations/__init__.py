"""The history of the own database's tables, one for SQLite and PostgreSQL, and what runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import MetaData, inspect, text

from hhh.core.database import Database, mapped_errors
from hhh.core.errors import ConfigurationError

if TYPE_CHECKING:  # each command asks whether migrations are pending: Alembic would be a fifth of its start
    from alembic.config import Config

#: The newest revision; what the history says, which a test holds it to.
HEAD: Final = "0007"
_TABLE = "alembic_version"
#: There for as long as a recovery fills an empty PostgreSQL database, in which tables are seen before they are ready.
_FILLING = "recovery_unfinished"


def alembic_config(database: Database) -> Config:
    """Alembic's configuration for this package's history and that database."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["database"] = database
    return config


def upgrade(database: Database) -> None:
    """Brings the database to this version's tables; a no-op where it is there. Safe beside other processes."""
    from alembic import command

    with mapped_errors():
        command.upgrade(alembic_config(database), "head")


def pending(database: Database) -> bool:
    """Whether the database lacks migrations of this version.

    Raises:
        DatabaseUnavailable: it can't be asked.
        ConfigurationError: it is of a newer version.
    """
    present = _revisions(database)
    if present == {HEAD}:
        return False
    _refuse_unknown(database, present)
    return True


def is_begun(database: Database) -> bool:
    """Whether the database has tables of any version, and so is one of this service.

    Raises:
        DatabaseUnavailable: it can't be asked.
    """
    return bool(_revisions(database))


def remove_all_tables(database: Database) -> None:
    """Empties a database that was empty before a restore into it failed.

    Raises:
        DatabaseUnavailable: it can't be done.
    """
    tables = MetaData()
    with mapped_errors(), database.engine.begin() as connection:
        tables.reflect(connection)
        tables.drop_all(connection)


def begin_filling(database: Database) -> None:
    """Marks a database, so that no process takes what a recovery puts there for an installation before it is one.

    What an earlier recovery left there that was killed is removed.

    Raises:
        DatabaseUnavailable: it can't be done.
    """
    remove_all_tables(database)
    with mapped_errors(), database.engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {_FILLING} (it integer)"))


def end_filling(database: Database) -> None:
    """Takes the mark away; a no-op without one.

    Raises:
        DatabaseUnavailable: it can't be done.
    """
    with mapped_errors(), database.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {_FILLING}"))


def is_filling(database: Database) -> bool:
    """Whether a recovery fills the database just now, or was killed at it.

    Raises:
        DatabaseUnavailable: it can't be asked.
    """
    with database.snapshot() as session:
        return inspect(session.connection()).has_table(_FILLING)


def _revisions(database: Database) -> set[str]:
    # Only to read: it is asked again and again whether this process is ready, and must never wait for a writer.
    with database.snapshot() as session:
        connection = session.connection()
        if not inspect(connection).has_table(_TABLE):
            return set()
        return set(connection.scalars(text(f"SELECT version_num FROM {_TABLE}")))  # noqa: S608  a name of ours


def _refuse_unknown(database: Database, revisions: set[str]) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    history = ScriptDirectory.from_config(alembic_config(database))
    for revision in revisions:
        try:
            history.get_revision(revision)
        except CommandError:
            raise ConfigurationError(
                f"The service's own database is of a newer version (revision {revision}) than this program",
                hint="run the version that migrated it, or a newer one",
            ) from None
