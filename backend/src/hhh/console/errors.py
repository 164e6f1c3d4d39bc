"""Errors as pages: what failed, what to do, and the way back."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import SIGN_IN, came_from, hand_out, to_sign_in
from hhh.console.session import SignInNeededError, page_user
from hhh.core.errors import CsrfInvalid, HHHError, NotFound, RestoreUnsafe, SuperAdminRequired
from hhh.web import cookies
from hhh.web.errors import Answer
from hhh.web.state import request_id

_TITLES: Mapping[int, str] = {
    403: "Not allowed",
    404: "Not found",
    405: "Not like this",
    409: "Not now",
    413: "Too large",
    422: "That can't be used",
    429: "Too many tries",
    503: "Not available",
}
#: What is said on a page in the place of what a program is told.
_INSTEAD: Mapping[str, str] = {
    "CSRF validation failed": "The form is not of this session",
    "Method Not Allowed": "This is no page",
    "Not Found": "There is no such page",
    "Internal error": "The service made a mistake",
}
_HINTS: Mapping[str, str] = {
    CsrfInvalid.code: "Nothing was changed. Go back, load the page again, and repeat what you did: the page was open "
    "while you signed in or out somewhere else, or cookies are switched off.",
    "ERR_METHOD_NOT_ALLOWED": "Only forms are sent here. Nothing was changed. Begin at the overview.",
    RestoreUnsafe.code: "Nothing was changed. Go back, and load the page again: it tells how things are now.",
    NotFound.code: "It may have been removed. Go back, or begin at the overview.",
}
#: The rooms with a list of what was not found in them.
_LISTS = frozenset({"backups", "drills", "restores", "schedules", "stores", "targets", "users"})
#: From here on it may be the database that fails: it is not asked again who is signed in.
_SERVER_ERRORS = 500
_ANY_HINT = "Go back and try again. If it stays like this, the service's log has more under the id below."


def error_page(request: Request, answer: Answer) -> Response:
    """The page of an error; where a session ended while a form was open, the way to sign in."""
    if _has_lost_its_session(request, answer):
        return to_sign_in(request, ended=True)
    if answer.status < _SERVER_ERRORS:
        _look_who_it_is(request)
    context = {
        "title": _TITLES.get(answer.status, "That went wrong"),
        "message": _INSTEAD.get(answer.message, answer.message),
        "hint": answer.more.get("hint") or _HINTS.get(answer.code, _ANY_HINT),
        "code": answer.code,
        "request_id": request_id(request),
        "back": came_from(request),
        "whole_list": _list_of(request) if answer.code == NotFound.code else None,
        "is_of_another_role": answer.code == SuperAdminRequired.code,
    }
    response = page(request, "error", context, status=answer.status)
    response.headers.update(answer.headers)
    hand_out(request, response)
    return response


def _list_of(request: Request) -> tuple[str, str] | None:
    """Where all of that kind are, with the words for it."""
    room, _, one = str(request.scope["path"])[1:].partition("/")
    return (f"/{room}", f"All {room}") if one and room in _LISTS else None


def _has_lost_its_session(request: Request, answer: Answer) -> bool:
    # Its token was of a session whose cookies are gone. On the page for signing in that can't be what is wrong.
    is_refused = answer.code == CsrfInvalid.code and request.scope["path"] != SIGN_IN
    return is_refused and not cookies.has_session_cookie(request)


def _look_who_it_is(request: Request) -> None:
    """So that pages of errors which no route has made have the menu as well."""
    if getattr(request.state, "principal", None) is None:
        try:
            page_user(request)
        except (SignInNeededError, HHHError):
            return
