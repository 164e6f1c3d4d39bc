"""The three cookies of a session, and one that stays.

`hhh_at` is the access token and `hhh_rt` the refresh token, for the browser's own use only; `hhh_csrf` is read by the
client's script, which sends it back as a header. All live as long as the session: an access token that has run out
is still sent, so that "refresh" can be told from "sign in". Name, path and domain of each never vary, so that a jar
holds each once.

`hhh_known` is set by the page for signing in alone: in a browser that has it, nobody is locked out by what others fail
at elsewhere (`hhh.services.known_places`).
"""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

from hhh.core.config import Settings
from hhh.services.auth import SESSION_LIFETIME, SignedIn
from hhh.services.known_places import DEVICE_LIFETIME
from hhh.web.state import KNOWN_DEVICE

ACCESS = "hhh_at"
REFRESH = "hhh_rt"
CSRF = "hhh_csrf"


def has_session_cookie(request: HTTPConnection) -> bool:
    """Whether the browser sent something that may stand for a session, live or not."""
    return ACCESS in request.cookies or REFRESH in request.cookies


def set_session(response: Response, settings: Settings, signed_in: SignedIn) -> None:
    """Hands out the tokens of a session."""
    _set(response, settings, ACCESS, signed_in.access_token, signed_in.seconds_left, script=False)
    _set(response, settings, REFRESH, signed_in.refresh_token, signed_in.seconds_left, script=False)


def set_access(response: Response, settings: Settings, token: str, seconds: int) -> None:
    """Hands out another access token of the session that the browser has."""
    _set(response, settings, ACCESS, token, seconds, script=False)


def set_known_device(response: Response, settings: Settings, token: str) -> None:
    """Has the browser be known from now on; it stays so when the session ends."""
    _set(response, settings, KNOWN_DEVICE, token, int(DEVICE_LIFETIME.total_seconds()), script=False)


def end_session(response: Response, settings: Settings) -> None:
    """Has the browser forget the tokens."""
    for name in (ACCESS, REFRESH):
        _set(response, settings, name, "", 0, script=False)


def set_csrf(response: Response, settings: Settings, token: str) -> None:
    """Hands out the CSRF token."""
    _set(response, settings, CSRF, token, int(SESSION_LIFETIME.total_seconds()), script=True)


def _set(response: Response, settings: Settings, name: str, value: str, seconds: int, *, script: bool) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=settings.cookies_are_secure,
        httponly=not script,
        samesite="lax",
    )
