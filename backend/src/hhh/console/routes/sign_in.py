"""Signing in and out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import SIGN_IN, local_path, page_router, redirect
from hhh.console.session import page_user
from hhh.core.errors import HHHError, InvalidCredentials, RateLimited
from hhh.services import auth
from hhh.web import cookies
from hhh.web.csrf import CsrfTokens
from hhh.web.database import OwnDatabase, Transaction
from hhh.web.forms import Form
from hhh.web.session import access_token
from hhh.web.state import client_address, settings

router = page_router(for_everybody=True)


async def _turn() -> AsyncIterator[None]:
    """Waits on the event loop, not in one of the threads that all other routes share."""
    yield


#: As for the API's sign-in: it costs memory and a core on purpose.
_AT_ONCE = 2


@router.get(SIGN_IN)
def show(
    request: Request, ended: bool = False, onward: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Asks for e-mail and password."""
    return _asked(request, onward=onward, ended=ended)


@router.post(SIGN_IN, dependencies=[Depends(_turn, scope="function", max_concurrency=_AT_ONCE)])
def sign_in(request: Request, fields: Form, database: OwnDatabase) -> Response:
    """Starts a session, and goes on to where they were on their way to."""
    known, email = settings(request), fields.text("email")
    try:
        signed_in = auth.sign_in(
            database, known, email=email, password=fields.get("password", ""), address=client_address(request)
        )
    except (InvalidCredentials, RateLimited) as error:
        return _asked(request, onward=fields.text("next"), email=email, error=error)
    response = redirect(local_path(fields.text("next")))
    cookies.set_session(response, known, signed_in)
    request.state.csrf_token = CsrfTokens(known.secret).issue(signed_in.principal.session_id)
    return response


@router.post("/sign-out")
def sign_out(request: Request, session: Transaction) -> Response:
    """Ends the session."""
    access = access_token(request)
    token = request.cookies.get(cookies.REFRESH)
    auth.sign_out(session, session_id=access.session_id if access else None, refresh_token=token)
    response = redirect(SIGN_IN, done="signed-out")
    cookies.end_session(response, settings(request))
    request.state.csrf_token = CsrfTokens(settings(request).secret).issue(None)
    return response


@router.get("/session", dependencies=[Depends(page_user)])
def carry_on() -> Response:
    """Carries the session on, for the script, whose stream of events ended with its access token."""
    return Response(status_code=204)


def _asked(
    request: Request, *, onward: str, ended: bool = False, email: str = "", error: HHHError | None = None
) -> Response:
    context = {"onward": local_path(onward), "ended": ended, "email": email, "error": error}
    return page(request, "sign_in", context, status=error.status if error else 200)
