"""``hhh serve``."""

from __future__ import annotations

import shutil
import socket
import sys
from logging import INFO
from typing import Annotated

import typer
from rich.markup import escape

from hhh import migrations
from hhh.cli.first_admin import make_first_super_admin, show_password
from hhh.cli.listening import listening
from hhh.cli.monitoring_port import monitoring_listener
from hhh.cli.output import console
from hhh.cli.queues import QueuesOption, with_queues
from hhh.cli.session import settings
from hhh.cli.worker import require_jobs_database
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.services.secret_rotation import finish_interrupted
from hhh.services.versions import bring_to_this_version


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of HHH_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port, instead of HHH_PORT.")] = None,
    *,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Run no jobs here: leave them to every `hhh worker`.")
    ] = False,
    queues: QueuesOption = None,
) -> None:
    """Start the service: API, jobs, everything."""
    from hhh.cli import server

    if no_worker and queues is not None:
        raise InvalidInput("--no-worker takes no jobs at all: leave --queues out")
    loaded = with_queues(settings(level=INFO), queues)
    if no_worker:
        require_jobs_database(loaded, "hhh serve --no-worker")
    database = Database(loaded.own_database_url)
    hint = "choose another HHH_PORT or HHH_HOST"
    with (
        listening(host or loaded.host, loaded.port if port is None else port, hint=hint) as listener,
        monitoring_listener(loaded) as watched,
    ):
        made_password = _prepare(loaded, database)
        _print_where_to_go(loaded, listener)
        show_password(loaded, made_password)
        server.run(loaded, database, listener, watched, works=not no_worker)
    database.close()


def _prepare(loaded: Settings, database: Database) -> str | None:
    """Migrates, looks at what is shared, makes the first super admin; returns a password that was made for them."""
    if migrations.pending(database) and not loaded.auto_migrate:
        return None
    bring_to_this_version(loaded, database)
    finish_interrupted(loaded, database)
    _check(loaded, database)
    return make_first_super_admin(loaded, database)


def _check(loaded: Settings, database: Database) -> None:
    from hhh.jobs.runtime import check
    from hhh.services.container import assemble

    check(assemble(loaded, database))  # jobs do it when they start, but then a server runs already


def _print_where_to_go(loaded: Settings, listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    shown = "localhost" if address in {"127.0.0.1", "0.0.0.0", "::1", "::"} else address  # noqa: S104  compared, not bound
    console.print(f"\n[bold]HHH Backup[/] is at http://{shown}:{port}   (API: http://{shown}:{port}/openapi.json)")
    command = "hhh" if shutil.which("hhh") else sys.argv[0]
    console.print(f"Data: {escape(str(loaded.data_dir))}   Look at everything it needs with: {escape(command)} doctor")
