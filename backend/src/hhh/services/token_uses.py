"""When a token was used last: written beside the request, so that none waits for a busy database, or fails with it."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.models import ApiToken
from hhh.repositories import api_tokens as rows

#: How exactly it is known: a script that asks each second would else write each second.
PACE = timedelta(minutes=5)
_LONGEST_ADDRESS = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Use:
    token_id: str
    address: str
    at: datetime


class TokenUses:
    """Notes uses, one token each few minutes, in a thread that lives as long as there is something to write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: dict[str, _Use] = {}
        #: By the token's id; what could not be written is tried again with the next use after `PACE`.
        self._noted: dict[str, datetime] = {}
        self._is_writing = False

    def note(self, token: ApiToken, *, address: str, now: datetime) -> None:
        """Has a use written soon, unless one was noted a short time ago. Never waits, never raises."""
        with self._lock:
            noted = max((each for each in (token.last_used_at, self._noted.get(token.id)) if each), default=None)
            if noted is not None and now - noted < PACE:
                return
            self._noted[token.id] = now
            self._waiting[token.id] = _Use(token.id, address[:_LONGEST_ADDRESS], now)
            if self._is_writing:
                return
            self._is_writing = True
        # A daemon: the end of the process does not wait for it.
        threading.Thread(target=self._write, name="token-uses", daemon=True).start()

    def _write(self) -> None:
        while uses := self._taken():
            try:
                self._write_all(uses)
            except HHHError as error:
                log.warning("last use of tokens not written", error=str(error))

    def _taken(self) -> Collection[_Use]:
        with self._lock:
            uses = [*self._waiting.values()]
            self._waiting.clear()
            self._is_writing = bool(uses)
        return uses

    def _write_all(self, uses: Collection[_Use]) -> None:
        with self._database.transaction() as session:
            for use in uses:
                rows.note_use(session, use.token_id, now=use.at, address=use.address, unless_since=use.at - PACE)
