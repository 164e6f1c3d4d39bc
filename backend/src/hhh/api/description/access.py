"""Who may ask: the security requirements of each operation, by what its route depends on."""

from __future__ import annotations

from typing import Any

from hhh.api.description.operation import Operation
from hhh.web import cookies
from hhh.web.csrf import EXEMPT_PATHS
from hhh.web.csrf import HEADER as CSRF_HEADER
from hhh.web.session import caller, current_user, refuse_token, super_admin_in_person

SESSION, CSRF, TOKEN = "session", "csrf", "token"

SCHEMES: dict[str, Any] = {
    SESSION: {
        "type": "apiKey",
        "in": "cookie",
        "name": cookies.ACCESS,
        "description": "Set by `POST /api/v1/auth/login`. What is about backups is for super admins.",
    },
    CSRF: {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "With a session, for what changes something: what the cookie `hhh_csrf` holds.",
    },
    TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "hhh_…",
        "description": "A token of `POST /api/v1/tokens`. It needs one of the scopes that an operation names; `admin` "
        "is good for every one.",
    },
}


def add(operation: Operation) -> None:
    """Says who may ask for it."""
    operation.described["security"] = _requirements(operation)


def knows_who_asks(operation: Operation) -> bool:
    """Whether it demands a session or a token."""
    return caller in operation.calls


def is_for_people(operation: Operation) -> bool:
    """Whether somebody has to be signed in for it."""
    return not operation.calls.isdisjoint({current_user, super_admin_in_person})


def refuses_tokens(operation: Operation) -> bool:
    """Whether it answers an error to any token."""
    return refuse_token in operation.calls or is_for_people(operation)


def needs_csrf(operation: Operation) -> bool:
    """Whether a session needs a CSRF token for it."""
    return operation.is_mutating and operation.path not in EXEMPT_PATHS


def _requirements(operation: Operation) -> list[dict[str, list[str]]]:
    if not knows_who_asks(operation):
        return []
    session: dict[str, list[str]] = {SESSION: []}
    if needs_csrf(operation):
        session[CSRF] = []
    if is_for_people(operation):
        return [session]
    return [session, {TOKEN: [str(scope) for scope in operation.scopes or ()]}]
