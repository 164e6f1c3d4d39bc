"""The separate port of a process for those that watch it, beside whatever else the process does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from hhh.core.config import Settings
from hhh.web.monitoring import Monitoring

#: Requests at once; more are answered 503.
_AT_ONCE = 50
#: Seconds for the last answers.
_ANSWERING = 1


@contextlib.contextmanager
def monitoring_port(monitoring: Monitoring, listener: socket.socket | None) -> Iterator[None]:
    """Answers on a bound socket until the block is left; nothing without one."""
    if listener is None:
        yield
        return
    import uvicorn  # a worker without this port starts without it

    from hhh.web.monitoring_app import monitoring_app

    config = uvicorn.Config(
        monitoring_app(monitoring),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_ANSWERING,
    )
    server = uvicorn.Server(config)
    # Signals are for the process's own thread: uvicorn leaves them alone in any other.
    thread = threading.Thread(target=server.run, args=[[listener]], name="monitoring", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_ANSWERING + 1)


def is_wanted(loaded: Settings) -> bool:
    """Whether there is to be such a port."""
    return loaded.metrics_port > 0
