"""The separate port of a process for those that watch it, beside whatever else the process does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hhh.cli.listening import listening
from hhh.cli.output import console
from hhh.core.config import Settings

if TYPE_CHECKING:  # a worker without this port starts without it
    from hhh.web.monitoring import Monitoring

#: Seconds for the last answers.
_ANSWERING = 1


@contextlib.contextmanager
def monitoring_listener(loaded: Settings) -> Iterator[socket.socket | None]:
    """A socket that is bound to the separate port; None where there is to be none.

    Raises:
        ConfigurationError: it can't be had.
    """
    if not loaded.metrics_port:
        yield None
        return
    hint = "each process of a machine needs a HHH_METRICS_PORT of its own; 0: none"
    with listening(loaded.metrics_host, loaded.metrics_port, hint=hint) as listener:
        yield listener


@contextlib.contextmanager
def monitoring_port(listener: socket.socket | None, monitoring: Callable[[], Monitoring]) -> Iterator[None]:
    """Answers on that socket until the block is left; does nothing without one."""
    if listener is None:
        yield
        return
    import uvicorn

    from hhh.web.monitoring_app import FewAtOnce, monitoring_app

    config = uvicorn.Config(
        monitoring_app(monitoring()),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        http=FewAtOnce,
        timeout_graceful_shutdown=_ANSWERING,
    )
    server = uvicorn.Server(config)
    # Signals are for the process's own thread: in any other, uvicorn leaves them alone.
    thread = threading.Thread(target=server.run, args=[[listener]], name="monitoring", daemon=True)
    thread.start()
    address, port = listener.getsockname()[:2]
    console.print(f"Metrics: http://{f'[{address}]' if ':' in address else address}:{port}/metrics")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_ANSWERING + 1)
