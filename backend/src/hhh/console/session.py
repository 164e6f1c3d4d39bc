"""Who is behind a page.

An access token that has run out is carried on here, as long as its session lives: a page is asked for again and again,
and nobody should sign in each quarter of an hour. Only the access token is another one: a browser asks for several
pages at once, and of refresh tokens each is good for once.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from hhh.core.actor import ActorKind, actor
from hhh.core.errors import SessionExpired, SuperAdminRequired
from hhh.models import Role
from hhh.services import auth
from hhh.services.auth import Principal, SignedIn
from hhh.web import cookies
from hhh.web.csrf import CsrfTokens
from hhh.web.session import access_token, note_seen, refuse_without_second_factor, signed_in
from hhh.web.state import own_database, settings


class SignInNeededError(Exception):
    """Nobody is signed in, or no longer; `hhh.console.routing` leads to the page for that."""

    def __init__(self, *, ended: bool) -> None:
        super().__init__()
        self.ended = ended


def page_user(request: Request) -> Principal:
    """A dependency: whoever is signed in.

    Raises:
        SignInNeededError: nobody.
    """
    try:
        principal = signed_in(request)
    except SessionExpired:
        principal = _carried_on(request)
    if principal is None:
        raise SignInNeededError(ended=False)
    request.state.principal = principal
    return principal


def page_admin(request: Request, user: Annotated[Principal, Depends(page_user)]) -> Principal:
    """A dependency: the super admin who is signed in.

    Raises:
        SignInNeededError: nobody.
        SuperAdminRequired: somebody of another role.
        SecondFactorMissing: they need a second factor here, and have none.
    """
    if user.role != Role.SUPER_ADMIN:
        raise SuperAdminRequired(hint="sign out, and in again as a super admin; `hhh users list` tells who is one")
    refuse_without_second_factor(request, user)
    return user


PageUser = Annotated[Principal, Depends(page_user)]
PageAdmin = Annotated[Principal, Depends(page_admin)]


def begin_session(request: Request, response: Response, signed_in: SignedIn) -> None:
    """Hands a session out with an answer, and a CSRF token of it."""
    cookies.set_session(response, settings(request), signed_in)
    cookies.set_known_device(response, settings(request), signed_in.device_token)
    _hand_out_csrf_token(request, signed_in.principal.credential_id)


def end_session(request: Request, response: Response) -> None:
    """Has the browser forget its session, with a CSRF token of none."""
    cookies.end_session(response, settings(request))
    _hand_out_csrf_token(request, None)


def _hand_out_csrf_token(request: Request, session_id: str | None) -> None:
    request.state.csrf_token = CsrfTokens(settings(request).secret).issue(session_id)


def _carried_on(request: Request) -> Principal:
    access, token = access_token(request), request.cookies.get(cookies.REFRESH)
    if access is None:
        raise SignInNeededError(ended=True)
    try:
        with own_database(request).snapshot() as session:
            carried_on = auth.carry_on(session, settings(request), access, token)
    except SessionExpired:
        raise SignInNeededError(ended=True) from None
    request.state.carried_on = carried_on
    note_seen(request, carried_on.principal)
    actor().identify(ActorKind.USER, carried_on.principal.email)
    return carried_on.principal
