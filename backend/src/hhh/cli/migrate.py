"""``hhh migrate``."""

from __future__ import annotations

import contextlib

from hhh.cli.first_admin import make_first_super_admin, show_password
from hhh.cli.output import console
from hhh.cli.session import settings
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.services import audit
from hhh.services.installation import Identity
from hhh.services.versions import bring_to_this_version


def migrate() -> None:
    """Bring the service's own database, and its jobs database if it has one, to this version."""
    loaded = settings()
    _migrate_own(loaded)
    if loaded.jobs_database_url.get_secret_value():
        _migrate_jobs(loaded)


def _migrate_jobs(loaded: Settings) -> None:
    from hhh.jobs import procrastinate_schema

    if procrastinate_schema.ensure(loaded.jobs_database_url.get_secret_value()):
        console.print("The jobs database is of this version now.")


def _migrate_own(loaded: Settings) -> None:
    with contextlib.closing(Database(loaded.own_database_url)) as database:
        if not bring_to_this_version(loaded, database):
            console.print("Nothing to do: the database is of this version.")
            return
        audit.sign_with(database, Identity(loaded, database))
        console.print("The database is of this version now.")
        # A service that waits for this command goes on without a restart, and needs somebody who may sign in.
        show_password(loaded, make_first_super_admin(loaded, database))
