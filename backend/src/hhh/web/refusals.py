"""What somebody was refused, in the audit log: who is signed in, or has a token, and asks for what they may not do.

Whoever asks in a loop does not fill the log: of one actor each route is told once a minute, and few of them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from hhh.core.actor import Actor, ActorKind, actor
from hhh.core.errors import (
    BackupProtected,
    HHHError,
    InUse,
    NetworkNotAllowed,
    PasswordRequired,
    RestoreUnsafe,
    ScopeMissing,
    SecondFactorMissing,
    SessionRequired,
    SuperAdminRequired,
)
from hhh.models import Action, Result
from hhh.services import audit
from hhh.web.state import own_database

_TOLD = (
    # By role, scope, way of signing in or address.
    SuperAdminRequired,
    ScopeMissing,
    SessionRequired,
    NetworkNotAllowed,
    SecondFactorMissing,
    # Whoever has somebody's session, and perhaps not their password. One that is wrong tells of itself
    # (`hhh.services.sign_in.confirm_password`).
    PasswordRequired,
    # What protects a backup, a store or a database.
    BackupProtected,
    InUse,
    RestoreUnsafe,
)
_KNOWN = frozenset({ActorKind.USER, ActorKind.TOKEN})
#: Seconds for which a refusal is not told again.
_WINDOW = 60.0
#: Of one actor, in that time.
_MOST = 10
#: Actors that are remembered; the one that was refused longest ago is forgotten first.
_REMEMBERED = 1000

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Window:
    """What one actor was refused lately."""

    since: float
    told: set[str] = field(default_factory=set)
    untold: int = 0


class Refusals:
    """Remembers for a minute what it has told. Thread-safe; one for each process.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str | None], _Window] = OrderedDict()
        self._lock = threading.Lock()

    def concerns(self, error: Exception) -> bool:
        """Whether an error is a refusal of somebody who is known."""
        return isinstance(error, _TOLD) and actor().kind in _KNOWN

    def note(self, request: Request, error: HHHError) -> None:
        """Records a refusal, unless that was done just now; what can't be recorded is logged: nothing was changed."""
        method, path = str(request.scope["method"]), str(request.scope["path"])
        route = str(getattr(request.scope.get("route"), "path", ""))
        left_out = self._admit(actor(), f"{method} {route} {error.code}")
        if left_out is None:
            return
        detail = {"code": error.code, **({"more_not_told": left_out} if left_out else {})}
        try:
            audit.record_alone(
                own_database(request), Action.REFUSED, f"{method} {path}", result=Result.REFUSED, detail=detail
            )
        except (HHHError, SQLAlchemyError) as problem:
            log.error("refusal_not_recorded", code=error.code, error=str(problem))  # noqa: TRY400  it says enough

    def _admit(self, who: Actor, what: str) -> int | None:
        """None where it is not told; else how many were not, before it."""
        now, key = self._clock(), (who.name, who.token)
        with self._lock:
            window, left_out = self._windows.get(key), 0
            if window is None or now - window.since >= _WINDOW:
                left_out = window.untold if window is not None else 0
                window = self._windows[key] = _Window(now)
                self._windows.move_to_end(key)
                if len(self._windows) > _REMEMBERED:
                    self._windows.popitem(last=False)
            if what in window.told or len(window.told) >= _MOST:
                window.untold += 1
                return None
            window.told.add(what)
            return left_out
