"""``hhh migrate``."""

from __future__ import annotations

import contextlib

from hhh import migrations
from hhh.cli.output import console
from hhh.cli.session import settings
from hhh.core.database import Database


def migrate() -> None:
    """Bring the service's own database to this version."""
    with contextlib.closing(Database(settings().own_database_url)) as database:
        if not migrations.pending(database):
            console.print("Nothing to do: the database is of this version.")
            return
        migrations.upgrade(database)
        console.print("The database is of this version now.")
