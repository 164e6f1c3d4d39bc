"""How long the server waits for a client, and for how many at once.

uvicorn (0.54) waits for ever for the rest of a request's head, and takes connections until the process has no files
left to open: whoever reaches the port could keep backups from being written. A proxy in front does this better
(docs/behind-a-proxy.md); here is what holds without one. A request's body has a time limit of its own
(`hhh.web.body_limit`).
"""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

import h11
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

#: Seconds for the head of a request, or for the rest of a body that nobody waits for any more.
HEAD_SECONDS = 20.0
#: Connections at once; a half of what the process may open is left for its work.
_MOST_CONNECTIONS = 1000
#: Seconds between two lines of the log that tell of clients that were turned away.
_QUIET = 60.0

log = structlog.get_logger(__name__)


def most_connections() -> int:
    """How many connections a process may hold; where files are unlimited, what one core can serve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 2)


class PatientProtocol(H11Protocol):
    """One connection: closed when its client takes too long, or when there are too many."""

    head_seconds = HEAD_SECONDS
    most = most_connections()
    _told_at = -_QUIET

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        super().connection_made(transport)
        if len(self.connections) > self.most:
            _tell_of_too_many(len(self.connections))
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        """Data that comes does not begin the wait anew: a client may send one byte at a time."""
        if not self._is_waiting():
            self._end_watch()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _is_waiting(self) -> bool:
        awaits_rest = self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete
        return self.conn.their_state is h11.IDLE or awaits_rest

    def _end_watch(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _tell_of_too_many(connections: int) -> None:
    now = time.monotonic()
    if now - PatientProtocol._told_at >= _QUIET:  # noqa: SLF001  all connections share it
        PatientProtocol._told_at = now  # noqa: SLF001
        log.warning("too_many_connections", connections=connections)
