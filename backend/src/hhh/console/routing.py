"""What all pages have in common on their way out: cookies, and what is done where nobody is signed in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hhh.console.session import SignInNeededError, page_admin
from hhh.web import cookies
from hhh.web.errors import respond
from hhh.web.state import settings

SIGN_IN = "/sign-in"


class PageRoute(APIRoute):
    """A route of the console."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`: the answer has the cookies that came of the request, whatever the answer is."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except SignInNeededError as needed:
                response = _to_sign_in(request, needed)
            except Exception as error:  # noqa: BLE001  whatever is answered, the cookies go with it
                response = respond(request, error)
            _hand_out(request, response)
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
    return path if is_ours else "/"


def _to_sign_in(request: Request, needed: SignInNeededError) -> Response:
    asked = {"ended": "1"} if needed.ended else {}
    # A form that was sent can't be sent again from there; what it was on is what they come back to.
    if request.method == "GET":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        asked |= {"next": path} if path != "/" else {}
    return redirect(f"{SIGN_IN}?{urlencode(asked)}" if asked else SIGN_IN)


def _hand_out(request: Request, response: Response) -> None:
    if (carried_on := getattr(request.state, "carried_on", None)) is not None:
        cookies.set_access(response, settings(request), carried_on.access_token, carried_on.seconds_left)
    if (token := getattr(request.state, "csrf_token", None)) is not None:
        cookies.set_csrf(response, settings(request), token)
