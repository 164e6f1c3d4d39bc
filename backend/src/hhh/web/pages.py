"""Which requests are for people with a browser, and not for programs."""

from __future__ import annotations

from starlette.requests import HTTPConnection

#: Everything else is a page of the console, or part of one.
_API = "/api/"
#: But for what programs ask that watch the service.
_WATCHED = frozenset({"/metrics", "/healthz", "/readyz"})


def is_page(path: str) -> bool:
    """Whether a path belongs to the console."""
    return not path.startswith(_API) and path not in _WATCHED


def wants_page(request: HTTPConnection) -> bool:
    """Whether whoever asks reads HTML: a browser that goes to a page, and not its script or `curl`."""
    return is_page(request.scope["path"]) and "text/html" in request.headers.get("Accept", "")
