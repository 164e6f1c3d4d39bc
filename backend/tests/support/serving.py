"""An application on a real port of this process, for clients that open connections by themselves."""

import contextlib
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from support.ports import LOOPBACK, free_port
from support.waiting import wait_until


@contextlib.contextmanager
def serving(app: ASGIApp, **options: object) -> Iterator[str]:
    """The address of the application, until the block is left; `options` go to uvicorn."""
    port = free_port()
    config = uvicorn.Config(app, host=LOOPBACK, port=port, log_config=None, timeout_graceful_shutdown=1, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, seconds=30, what="a server that has started")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join()
