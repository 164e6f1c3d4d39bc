"""The web server of ``hhh serve``; apart from the command, so that other commands need not load it."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from types import FrameType

import uvicorn
from fastapi.concurrency import run_in_threadpool

from hhh.cli.ending import end_by
from hhh.cli.monitoring_port import monitoring_port
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.jobs.embedded import ENDING
from hhh.jobs.runtime import Jobs
from hhh.main import create_app
from hhh.web.patience import PatientProtocol

#: Seconds for the last answers, once all jobs have ended.
_ANSWERING = 2.0


def run(
    loaded: Settings,
    database: Database,
    listener: socket.socket,
    watched: socket.socket | None = None,
    *,
    works: bool = True,
) -> None:
    """Serves until the process is asked to stop; once all is in order, the signal that asked for it ends the process.

    Args:
        loaded: the settings.
        database: the own one.
        listener: a bound socket.
        watched: another one, for those that watch the process.
        works: whether jobs run in this process, too.

    Raises:
        ConfigurationError, InvalidInput: a setting can't be used.
    """
    app = create_app(loaded, database, works=works)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        http=PatientProtocol,
        # Whoever waits for a backup still hears how it ended.
        timeout_graceful_shutdown=round(loaded.drain_seconds + ENDING + _ANSWERING),
    )
    # uvicorn raises the signal again when it is done, of which Python's own handler would make an exception.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What is loaded lives as long as the process. To look through it again and again, as the collector would, takes a
    # tenth of a second of whatever request is unlucky.
    gc.collect()
    gc.freeze()
    with monitoring_port(watched, lambda: app.state.monitoring):
        server = _Server(config, app.state.jobs)
        server.run(sockets=[listener])
    if server.asked is not None:
        end_by(server.asked)


class _Server(uvicorn.Server):
    """Ends jobs while it waits for open requests: it is jobs that most of them wait for."""

    def __init__(self, config: uvicorn.Config, jobs: Jobs) -> None:
        super().__init__(config)
        self._jobs = jobs
        #: The signal that has asked it to end.
        self.asked: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; the second one ends the process at once."""
        if self.asked is not None:
            end_by(sig)
        self.asked = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(run_in_threadpool(self._jobs.stop))
        await super().shutdown(sockets)
        await ending
