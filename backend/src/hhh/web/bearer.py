"""Requests of programs: ``Authorization: Bearer hhh_…``.

Such a request is the token's alone. No cookie of it is looked at, so that it is in nobody's name but the token's
owner's; that is why it needs no CSRF token, and why a header that another site could make up gains it nothing.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import Scope

from hhh.web.pages import is_page

_SCHEME = "bearer"


def bearer_token(request: HTTPConnection) -> str | None:
    """The token that a request came with, good or not; None: none, as with any other scheme, which is a proxy's own."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == _SCHEME else None


def is_of_a_token(request: HTTPConnection) -> bool:
    """Whether a request to the API came with a token; pages take none."""
    return not is_page(request.scope["path"]) and bearer_token(request) is not None


def forget_cookies(scope: Scope) -> None:
    """Makes a request what it would be, had it come without cookies."""
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]
