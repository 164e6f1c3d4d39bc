"""What all pages have in common on their way out: cookies, and what is done where nobody is signed in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hhh.console.links import link
from hhh.console.session import SignInNeededError, page_admin
from hhh.core.errors import SecondFactorMissing
from hhh.web import cookies
from hhh.web.state import settings

SIGN_IN, FIRST_STEPS, ACCOUNT = "/sign-in", "/first-steps", "/account"
#: Characters of a path to come back to; more than any page of ours has.
_LONGEST_PATH = 2000


class PageRoute(APIRoute):
    """A route of the console."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`: the answer has the cookies that came of the request; `hhh.console.errors` has errors."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except SignInNeededError as needed:
                response = to_sign_in(request, ended=needed.ended)
            except SecondFactorMissing:  # that page says why
                response = redirect(ACCOUNT)
            hand_out(request, response)
            return response

        return handle


def page_router(*, for_everybody: bool = False) -> APIRouter:
    """A router for pages; for super admins, unless it is for everybody."""
    dependencies = [] if for_everybody else [Depends(page_admin)]
    return APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=dependencies)


def redirect(path: str, *, done: str = "") -> Response:
    """Leads to another page after something was done.

    Args:
        path: of this service, with its query.
        done: a name of `hhh.console.told.DONE`, which that page tells.
    """
    query = f"{'&' if '?' in path else '?'}{urlencode({'done': done})}" if done else ""
    return RedirectResponse(path + query, status_code=303)


def local_path(path: str) -> str:
    """A path that somebody was on their way to; the overview where it is none of ours."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\", SIGN_IN)) and path.isprintable()
    return path if is_ours and len(path) <= _LONGEST_PATH else "/"


def came_from(request: Request) -> str:
    """The page that a form or link was on, as the browser tells; the overview where it is none of ours."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # no address at all
        return "/"
    is_ours = page.netloc == request.headers.get("Host")
    return local_path(f"{page.path}?{page.query}" if page.query else page.path) if is_ours else "/"


def to_sign_in(request: Request, *, ended: bool) -> Response:
    """Leads to the page for it, and from there back.

    Args:
        request: of whoever is not signed in.
        ended: whether they were.
    """
    # A form that was sent can't be sent again from there: what it was on is what they come back to.
    back = local_path(_asked_path(request)) if request.method == "GET" else came_from(request)
    return redirect(link(SIGN_IN, {"ended": "1" if ended else "", "next": back if back != "/" else ""}))


def _asked_path(request: Request) -> str:
    # As the server got them: `request.url` is put together with the Host header, which is the client's word.
    path, query = quote(request.scope["path"]), request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def hand_out(request: Request, response: Response) -> None:
    """Gives an answer the cookies that came of its request."""
    if (carried_on := getattr(request.state, "carried_on", None)) is not None:
        cookies.set_access(response, settings(request), carried_on.access_token, carried_on.seconds_left)
    if (token := getattr(request.state, "csrf_token", None)) is not None:
        cookies.set_csrf(response, settings(request), token)
