"""What every command needs before it can work: settings, logging, and a database of the right age."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from logging import WARNING

from rich.markup import escape

from hhh import migrations
from hhh.cli.output import problems
from hhh.core import logging
from hhh.core.config import Settings, load_settings, read_settings
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, MigrationsPending
from hhh.core.files import accounts, needed
from hhh.services import audit
from hhh.services.container import Services, assemble
from hhh.services.installation import Identity
from hhh.services.secret_rotation import finish_interrupted
from hhh.services.versions import bring_to_this_version

#: Log events that a command reports itself, as its error.
_TOLD = frozenset({"job_failed", "sweep_finding", "copy_not_good"})
#: What removes a backup or makes a copy is logged by commands as by a server: who did it must be found later.
_KEPT_RECORD_OF = ("hhh.services.deletion", "hhh.services.copy_repair")


def settings(*, level: int = WARNING) -> Settings:
    """The settings, with logging set up by them: commands say what they did themselves, so only trouble is logged."""
    loaded = load_settings()
    logging.configure(loaded.env, level=level, told=_TOLD if level >= WARNING else ())
    for name in _KEPT_RECORD_OF:
        logging.keep_record_of(name)
    return loaded


def settings_as_they_are() -> Settings:
    """The settings as far as there are any, with logging, for commands that work without an installation."""
    found = read_settings()
    logging.configure(found.env, level=WARNING, told=_TOLD)
    return found


@contextlib.contextmanager
def own_database(loaded: Settings) -> Iterator[Database]:
    """The own database, migrated unless ``HHH_AUTO_MIGRATE`` is false.

    Raises:
        ConfigurationError: it is of a newer version, or workers of an older one are at work.
        MigrationsPending: it is older than this version and may not be migrated here.
        DatabaseUnavailable: it can't be opened; of a file the message tells whose it is.
    """
    with contextlib.closing(Database(loaded.own_database_url)) as database:
        if _pending(database) and not loaded.auto_migrate:
            raise MigrationsPending("The database is older than this version", hint="run `hhh migrate`")
        bring_to_this_version(loaded, database)
        finish_interrupted(loaded, database)
        audit.sign_with(database, Identity(loaded, database))
        yield database


def _pending(database: Database) -> bool:
    try:
        return migrations.pending(database)
    except DatabaseUnavailable as error:
        if database.file is None or "disk" in error.message:  # which is full or failing, whose ever the file is
            raise
        raise DatabaseUnavailable(
            f"{error.message}; {accounts(database.file)}",
            hint="run it as the account that it belongs to; see HHH_DATABASE_URL and HHH_DATA_DIR",
        ) from error


@contextlib.contextmanager
def opened_services() -> Iterator[Services]:
    """All services, for one command."""
    loaded = settings()
    file = loaded.default_database_file
    with needed(loaded.data_dir):
        new = file is not None and not file.exists()
    with own_database(loaded) as database:
        # As a rule a command in a wrong folder, e.g. of cron: it must not look as if it had worked on the right one.
        if new:
            problems.print(
                f"[yellow]Note:[/] A new installation was begun in {escape(str(loaded.data_dir))}. If there is one "
                "already, name its folder in HHH_DATA_DIR."
            )
        yield assemble(loaded, database)
