"""How the service and this program talk.

* Argument: the number of the descriptor that takes reports.
* Standard input: one line of JSON, ``{"operation": "inspect" or "dump", "source": path, "copy": path, "busy_timeout":
  milliseconds, "thorough_check_size": bytes}``. It stays open; its end means that nobody waits for us any more: the
  source is closed, and we end.
* Standard output: for ``dump`` the bytes of the copy, nothing else.
* Reports: one JSON object a line, told apart by ``event``: ``copying`` (``size`` in bytes, before the first of them)
  and last one of ``inspected``, ``facts`` and ``failed`` (``reason``, ``message``, ``hint``).
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, NoReturn

#: Seconds for closing the source once nobody waits for us any more.
CLOSING = 10

#: Set once nobody waits for us any more.
ABANDONED = threading.Event()
#: Cleared while a source is open. Whoever ends meanwhile leaves its -wal and -shm behind, owned by this account: the
#: application, under another one, could then not open its own database.
SOURCE_IS_CLOSED = threading.Event()
SOURCE_IS_CLOSED.set()


class Failed(Exception):
    """What the operator is told; ``reason`` is ``unreadable``, ``busy`` or ``scratch``."""

    def __init__(self, reason: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint


class Abandoned(Exception):
    """Nobody waits for us any more."""


class Reports:
    """Where the parent listens."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, event: str, **values: Any) -> None:
        line = memoryview(json.dumps({"event": event, **values}).encode() + b"\n")
        while line:
            line = line[os.write(self._descriptor, line) :]


def read_request() -> dict[str, Any]:
    """The one line of standard input."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)
        if not chunk:
            os._exit(1)
        line += chunk
    request: dict[str, Any] = json.loads(line)
    return request


def end_with_parent() -> NoReturn:
    """Waits for the end of standard input: the parent is gone, or no longer interested."""
    while os.read(0, 1):
        pass
    ABANDONED.set()
    SOURCE_IS_CLOSED.wait(CLOSING)
    os._exit(1)
