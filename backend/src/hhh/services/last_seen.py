"""When sessions and API tokens were seen last, written aside: no request waits for it, and none fails by it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.repositories import api_tokens as token_rows
from hhh.repositories import sessions as session_rows
from hhh.services.auth import Principal

#: What is used all the time is written down so often.
INTERVAL = timedelta(minutes=5)
#: More are left out, and noted when they are seen the next time.
_MOST_WAITING = 1000
_LONGEST_ADDRESS = 64

log = structlog.get_logger(__name__)


class LastSeen:
    """Writes, one after the other, in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="last-seen")
        self._waiting: set[str] = set()
        self._closed = False
        self._lock = threading.Lock()

    def note(self, principal: Principal, address: str) -> None:
        """Has it written that a session or token is used now, from that address, if that was not written lately."""
        if principal.seen_at is not None and utcnow() - principal.seen_at < INTERVAL:
            return
        with self._lock:
            if self._closed or principal.credential_id in self._waiting or len(self._waiting) >= _MOST_WAITING:
                return
            self._waiting.add(principal.credential_id)
            self._thread.submit(self._write, principal, address)

    def close(self) -> None:
        """Waits for what is being written; the rest is left out."""
        with self._lock:
            self._closed = True
        self._thread.shutdown(cancel_futures=True)

    def _write(self, principal: Principal, address: str) -> None:
        now, identifier = utcnow(), principal.credential_id
        try:
            with self._database.transaction() as session:
                if principal.scopes is None:
                    session_rows.see(session, identifier, now, now - INTERVAL)
                else:
                    token_rows.see(session, identifier, now, now - INTERVAL, address[:_LONGEST_ADDRESS])
        except HHHError as error:
            log.info("last_seen_not_written", error=str(error))
        finally:
            with self._lock:
                self._waiting.discard(identifier)
