"""Errors as pages: what failed, what to do, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import local_path
from hhh.core.errors import CsrfInvalid, NotFound
from hhh.web.errors import Answer
from hhh.web.state import request_id

_TITLES: Mapping[int, str] = {
    403: "Not allowed",
    404: "Not found",
    409: "Not now",
    413: "Too large",
    422: "That can't be used",
    429: "Too many tries",
    503: "Not available",
}
_HINTS: Mapping[str, str] = {
    CsrfInvalid.code: "Nothing was changed. Go back, load the page again, and repeat what you did: the page was open "
    "while you signed in or out somewhere else, or cookies are switched off.",
    NotFound.code: "It may have been removed. Go back, or begin at the overview.",
}
_ANY_HINT = "Go back and try again. If it stays like this, the service's log has more under the id below."


def error_page(request: Request, answer: Answer) -> Response:
    """The page of an error."""
    context = {
        "title": _TITLES.get(answer.status, "That went wrong"),
        "message": answer.message,
        "hint": answer.more.get("hint") or _HINTS.get(answer.code, _ANY_HINT),
        "code": answer.code,
        "request_id": request_id(request),
        "back": _back(request),
    }
    response = page(request, "error", context, status=answer.status)
    response.headers.update(answer.headers)
    return response


def _back(request: Request) -> str:
    """The page that the request came from, if it is one of ours."""
    came_from = urlsplit(request.headers.get("Referer", ""))
    is_ours = came_from.netloc == request.headers.get("Host")
    return local_path(f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path) if is_ours else "/"
