"""What main.py put on the application, typed.

``app.state`` has `services`, `jobs`, `error_page` (`hhh.web.errors`) and, each typed where it is read, `refusals`,
`feed` (`hhh.web.sse`), `last_seen`, `http_metrics` and `monitoring`. From the start on it has `migrations_pending`:
while that is true, or not known yet, the database is asked again, so that running `hhh migrate` beside it is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

from hhh import migrations
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import MigrationsPending
from hhh.services.known_places import Client

if TYPE_CHECKING:  # main.py loads engines and stores; the web layer only hands them on
    from hhh.jobs.base import JobQueue
    from hhh.jobs.runtime import Jobs
    from hhh.services.container import Services

#: The cookie of a browser that somebody has signed in with; see `hhh.services.known_places`.
KNOWN_DEVICE = "hhh_known"


def services(request: HTTPConnection) -> Services:
    """The parts of the running service."""
    return cast("Services", request.app.state.services)


def settings(request: HTTPConnection) -> Settings:
    """The settings."""
    return services(request).settings


def queue(request: HTTPConnection) -> JobQueue:
    """The queue for long work.

    Raises:
        MigrationsPending: the service's own database is older than this version.
        DatabaseUnavailable: it can't be asked.
    """
    refuse_if_migrations_pending(request)
    return cast("Jobs", request.app.state.jobs).start()


def own_database(request: HTTPConnection) -> Database:
    """The service's own database, if this version can work with it.

    Raises:
        MigrationsPending: it is older.
        DatabaseUnavailable: it can't be asked.
    """
    refuse_if_migrations_pending(request)
    return services(request).database


def refuse_if_migrations_pending(request: HTTPConnection) -> None:
    """Raises `MigrationsPending` while the database is older than this version; `DatabaseUnavailable` if unknown."""
    if not getattr(request.app.state, "migrations_pending", True):
        return
    if migrations.pending(services(request).database):
        raise MigrationsPending("The service's own database is older than this version", hint="run `hhh migrate`")
    request.app.state.migrations_pending = False


def request_id(request: HTTPConnection) -> str:
    """The id of this request, in its answer and in every log line about it."""
    return str(getattr(request.state, "request_id", ""))


def client_address(request: HTTPConnection) -> str:
    """Where the request comes from; behind trusted proxies, what they say."""
    return request.client.host if request.client else "unknown"


def client(request: HTTPConnection) -> Client:
    """Who asks, as far as the connection tells."""
    device = request.cookies.get(KNOWN_DEVICE, "")
    return Client(client_address(request), request.headers.get("User-Agent", ""), device)
