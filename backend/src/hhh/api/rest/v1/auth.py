"""Sign-in: `/api/v1/auth/{login,refresh,logout,me,health}`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response, status

from hhh.core.errors import DatabaseUnavailable
from hhh.schemas.auth import CallerResponse, HealthResponse, LoginRequest, UserResponse
from hhh.services import auth
from hhh.services.auth import Principal, SignedIn
from hhh.services.sign_in import sign_in
from hhh.web import cookies
from hhh.web.bearer import is_of_a_token
from hhh.web.csrf import CsrfTokens
from hhh.web.database import OwnDatabase, Transaction
from hhh.web.session import CurrentCaller, access_token, refuse_token, session_id
from hhh.web.state import client, settings
from hhh.web.turns import SIGN_IN_TURN

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

#: Sessions are begun, carried on and ended by those whose they are.
_NO_TOKEN = Depends(refuse_token)


@router.post("/login", dependencies=[_NO_TOKEN, SIGN_IN_TURN])
def login(body: LoginRequest, request: Request, response: Response, database: OwnDatabase) -> UserResponse:
    """Starts a session."""
    signed_in = sign_in(
        database,
        settings(request),
        email=body.email,
        password=body.password.get_secret_value(),
        code=body.code.get_secret_value() if body.code else None,
        client=client(request),
    )
    return _signed_in(request, response, signed_in)


@router.post("/refresh", dependencies=[_NO_TOKEN])
def refresh(request: Request, response: Response, session: Transaction) -> UserResponse:
    """Carries the session on with new tokens."""
    access = access_token(request)
    signed_in = auth.refresh(
        session,
        settings(request),
        request.cookies.get(cookies.REFRESH),
        expected_session=access.session_id if access else None,
    )
    return _signed_in(request, response, signed_in)


@router.post("/logout", dependencies=[_NO_TOKEN], status_code=status.HTTP_204_NO_CONTENT)
def logout(request: Request, response: Response, session: Transaction) -> None:
    """Ends the session; a no-op without one."""
    access = access_token(request)
    auth.sign_out(
        session,
        session_id=access.session_id if access else None,
        refresh_token=request.cookies.get(cookies.REFRESH),
    )
    cookies.end_session(response, settings(request))
    _hand_out_csrf(request, response, None)


@router.get("/me")
def me(caller: CurrentCaller) -> CallerResponse:
    """Who is signed in; or whose token it is, with what it may be used for."""
    scopes = None if caller.scopes is None else sorted(caller.scopes)
    return CallerResponse(
        id=caller.id,
        email=caller.email,
        role=caller.role.value,
        second_factor=caller.second_factor,
        scopes=scopes,
    )


@router.get("/health")
def health(request: Request, response: Response) -> HealthResponse:
    """Tells that the process answers, and hands out the CSRF token: of the session that the cookies name, if any."""
    if is_of_a_token(request):
        return HealthResponse()
    try:
        session = session_id(request)
    except DatabaseUnavailable:
        session = None
    _hand_out_csrf(request, response, session)
    return HealthResponse()


def _signed_in(request: Request, response: Response, signed_in: SignedIn) -> UserResponse:
    cookies.set_session(response, settings(request), signed_in)
    _hand_out_csrf(request, response, signed_in.principal.credential_id)
    return _user(signed_in.principal)


def _hand_out_csrf(request: Request, response: Response, session: str | None) -> None:
    known = settings(request)
    cookies.set_csrf(response, known, CsrfTokens(known.secret).issue(session))


def _user(principal: Principal) -> UserResponse:
    return UserResponse(id=principal.id, email=principal.email, role=principal.role.value)
