"""Procrastinate's own parts, as this service uses them: one task with one argument, and connections that come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, LiteralString, TypeVar

import psycopg
import structlog
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException

from hhh.services.jobs_database import conninfo

log = structlog.get_logger(__name__)

#: The one task; its only argument is ``job_id``.
TASK: Final = "hhh.execute"

#: Seconds in which a connection is given, or the database is taken for unreachable.
_CONNECTING: Final = 3.0
#: Seconds in which the pool gives up to connect by itself; whoever needs a connection next makes it try again.
_RECONNECTING: Final = 2.0
_LONGEST_PAUSE: Final = 2.0

Answer = TypeVar("Answer")


class ReturningConnector(PsycopgConnector):
    """A connector that waits for a database that went away, so that no worker has to end for it.

    The library's worker stops at the first lost connection, and then waits for all that it runs: a backup of ten hours
    would keep it from new jobs for as long. What is repeated here may run twice where only the answer was lost; each
    of the queries that a worker makes bears that, since the rows of our own database decide what happens.
    """

    def __init__(self, url: str, closing: threading.Event) -> None:
        super().__init__(**_pool(url))
        self._closing = closing

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """See the library."""
        parent = super().execute_query_async
        await self._until_done(lambda: parent(query, **arguments))

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """See the library."""
        parent = super().execute_query_one_async
        return await self._until_done(lambda: parent(query, **arguments))

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """See the library."""
        parent = super().execute_query_all_async
        return await self._until_done(lambda: parent(query, **arguments))

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """See the library."""
        parent, heard = super().listen_notify, list(channels)
        await self._until_done(lambda: parent(on_notification, heard))

    async def _until_done(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        pause = 0.1
        while True:
            try:
                return await ask()
            except ConnectorException as error:
                if self._closing.is_set() or not _may_pass(error):
                    raise
                log.warning("jobs_database_lost", error=str(error.__cause__).strip(), again_in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _may_pass(error: ConnectorException) -> bool:
    return isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError)


def sending_app(url: str) -> App:
    """What hands jobs over, from any thread; opened by `App.open`."""
    return App(connector=SyncPsycopgConnector(**_pool(url)))


def working_app(url: str, closing: threading.Event, run: Callable[[str], Awaitable[None]]) -> App:
    """What takes jobs, in one event loop.

    Args:
        url: of the jobs database.
        closing: once it is set, a lost connection is waited for no more.
        run: runs one job to its end.
    """
    app = App(connector=ReturningConnector(url, closing))

    @app.task(name=TASK)
    async def execute(job_id: str) -> None:
        await run(job_id)

    return app


def _pool(url: str) -> dict[str, Any]:
    return {
        "conninfo": conninfo(url),
        "min_size": 1,
        "max_size": 4,
        "timeout": _CONNECTING,
        "reconnect_timeout": _RECONNECTING,
        "kwargs": {"application_name": "hhh-queue"},
    }
