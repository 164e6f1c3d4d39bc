"""How the service and this program talk.

* Argument: the number of the descriptor that takes reports.
* Standard input: one line of JSON, ``{"operation": …, "source": path, "busy_timeout": milliseconds,
  "thorough_check_size": bytes}`` and what else the operation needs. It stays open; its end means that nobody waits for
  us any more: what is open is closed, what is not yet committed is rolled back, and we end.
* Standard output: for ``dump`` the bytes of the copy, nothing else.
* Reports: one JSON object a line, told apart by ``event``. The last one is ``failed`` (``reason``, ``message``,
  ``hint``), or what the operation ends with:

| operation | with | ends with |
| --- | --- | --- |
| ``inspect`` | | ``inspected``: ``tables``, ``size`` |
| ``dump`` | ``copy``: path; ``fingerprint`` | ``copying``: ``size`` in bytes, before the first of them; ``facts`` |
| ``look`` | | ``looked``: `hhh.engines.sqlite.child.live.look` |
| ``tidy`` | | ``tidied``: a WAL or journal beside a file that is ours has become part of it |
| ``check`` | ``checked``: whether these bytes were checked before; ``fingerprint`` | ``facts`` of a file that is ours |
| ``replace`` | ``dump``, ``part``, ``kept``: paths; ``check_dump``, ``accept_damage`` | ``replaced`` |
| ``compare`` | ``kept``: path | ``compared``: ``replaced``, whether the source has been replaced since it was kept |
| ``prove`` | | ``proven``: ``tables``, ``pages``, ``orphans``, ``mismatches``, of a file that is ours |
| ``ask`` | ``sql``, ``seconds`` | ``asked``: ``holds``, ``found``, of a file that is ours |

``fingerprint`` is what `hhh.engines.sqlite.child.fingerprints.add_fingerprints` takes.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, NoReturn

#: Seconds for closing what is open once nobody waits for us any more; a commit of much takes a while.
CLOSING = 60

#: Set once nobody waits for us any more.
ABANDONED = threading.Event()


class OpenDatabases:
    """Counts the databases of others that are open.

    Whoever ends meanwhile leaves a -wal and a -shm behind, owned by this account: the application, under another one,
    could then not open its own database.
    """

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def opened(self) -> None:
        """One more."""
        self._add(1)

    def closed(self) -> None:
        """One less."""
        self._add(-1)

    def wait_for_none(self) -> None:
        """Waits until all are closed, but not for ever."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, CLOSING)

    def _add(self, many: int) -> None:
        with self._changed:
            self._count += many
            self._changed.notify_all()


OPEN_DATABASES = OpenDatabases()


class Failed(Exception):
    """What the operator is told; ``reason`` is one of those of `hhh.engines.sqlite.conversation`."""

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
    OPEN_DATABASES.wait_for_none()
    os._exit(1)
