"""Who is behind a request.

Read from the database for each request and in a transaction of its own, which has ended before the route begins:
a route that waits for an hour holds no connection for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection, Request

from hhh.core.actor import ActorKind, actor
from hhh.core.clock import utcnow
from hhh.core.errors import InvalidCredentials, ScopeMissing, SecondFactorMissing, SessionRequired, SuperAdminRequired
from hhh.models import Role, Scope
from hhh.services import auth
from hhh.services.auth import Principal
from hhh.services.last_seen import LastSeen
from hhh.services.tokens import AccessToken, AccessTokens
from hhh.web import cookies
from hhh.web.bearer import bearer_token
from hhh.web.state import client_address, own_database, services, settings

#: How the hint begins: by whether somebody is signed in, or else a token came.
_WHOSE = {True: "who is signed in is", False: "the token is of somebody"}


def access_token(request: HTTPConnection) -> AccessToken | None:
    """What the request's access token says, also when it has expired; None if there is none of ours."""
    token = request.cookies.get(cookies.ACCESS)
    return AccessTokens(settings(request).secret).read(token, now=utcnow()) if token else None


def session_id(request: HTTPConnection) -> str | None:
    """The session that the cookies name, live or not, by the access token or else by the refresh token.

    Raises:
        DatabaseUnavailable: only the refresh token is there, and the database can't be asked about it.
    """
    access = access_token(request)
    if access is not None:
        return access.session_id
    token = request.cookies.get(cookies.REFRESH)
    if not token:
        return None
    with own_database(request).snapshot() as session:
        return auth.session_of_refresh_token(session, token)


def caller(request: Request) -> Principal | None:
    """A dependency: who the request's API token stands for, or else who is signed in; None: nobody.

    Raises:
        TokenInvalid, NetworkNotAllowed: it came with a token that is not good, or not from there.
        SessionExpired: the access token has run out, or its session has ended.
    """
    token = bearer_token(request)
    if token is None:
        return signed_in(request)
    own_database(request)  # refuses one that is too old
    principal = services(request).api_tokens.principal(token, address=client_address(request))
    note_seen(request, principal)
    return principal


_Caller = Annotated[Principal | None, Depends(caller)]


def current_caller(who: _Caller) -> Principal:
    """A dependency: whoever asks, by a session or a token.

    Raises:
        InvalidCredentials: nobody; or as `caller`.
        SessionExpired: as `caller`.
    """
    if who is None:
        raise InvalidCredentials("Not signed in", hint="POST /api/v1/auth/login")
    return who


def current_user(who: Annotated[Principal, Depends(current_caller)]) -> Principal:
    """A dependency: whoever is signed in; what people do with their own account, no token does for them.

    Raises:
        InvalidCredentials, SessionExpired: as `current_caller`.
        SessionRequired: it is a token.
    """
    if who.scopes is not None:
        raise SessionRequired
    return who


def refuse_token(request: Request) -> None:
    """A dependency of what works with cookies: raises `SessionRequired` for a request with a token, good or not."""
    if bearer_token(request) is not None:
        raise SessionRequired


@dataclass(frozen=True, slots=True)
class Allowed:
    """A dependency: the super admin who is signed in, or whose token has one of these scopes.

    Raises (when it is called):
        SuperAdminRequired: nobody, or somebody of another role.
        SecondFactorMissing: they need a second factor here, and have none.
        SessionExpired, TokenInvalid, NetworkNotAllowed: as `caller`.
        ScopeMissing: the token has none of them.
    """

    #: The API's description reads them from the routes.
    scopes: tuple[Scope, ...]

    def __call__(self, request: Request, who: _Caller) -> Principal:
        if who is None:
            # What takes no less than an admin's is told to people: some of it no token may do.
            token = f", or send a token with the scope {' or '.join(self.scopes)}" * (Scope.ADMIN not in self.scopes)
            raise SuperAdminRequired(hint=f"nobody is signed in: POST /api/v1/auth/login{token}")
        if who.role != Role.SUPER_ADMIN:
            raise SuperAdminRequired(hint=f"{_WHOSE[who.scopes is None]} of another role: see `hhh users set-role`")
        refuse_without_second_factor(request, who)
        if not any(who.may(scope) for scope in self.scopes):
            raise ScopeMissing(" or ".join(self.scopes))
        return who


def allowed(*scopes: Scope) -> Allowed:
    """A dependency: the super admin who is signed in, or whose token has one of these scopes.

    Where there are several, the route decides by what it was asked for which of them is needed (`demand`).
    """
    return Allowed(scopes)


def refuse_without_second_factor(request: HTTPConnection, who: Principal) -> None:
    """Raises `SecondFactorMissing` for a super admin without one, and for their tokens, where it is required."""
    if settings(request).require_second_factor and who.role == Role.SUPER_ADMIN and not who.second_factor:
        raise SecondFactorMissing


def demand(who: Principal, scope: Scope) -> None:
    """Raises `ScopeMissing` unless what they came with is good for that."""
    if not who.may(scope):
        raise ScopeMissing(scope)


#: What asks for nothing less needs this one: a route that forgets its scope is closed to every token but an admin's.
super_admin = allowed(Scope.ADMIN)


def super_admin_in_person(admin: Annotated[Principal, Depends(super_admin)]) -> Principal:
    """A dependency: the super admin who is signed in, and no token of theirs.

    Raises:
        SuperAdminRequired, SessionExpired, ScopeMissing: as `super_admin`.
        SessionRequired: it is a token.
    """
    return current_user(admin)


def note_seen(request: HTTPConnection, principal: Principal) -> None:
    """Notes that what a request came with is used; a no-op in an application that keeps no such notes."""
    last_seen: LastSeen | None = getattr(request.app.state, "last_seen", None)
    if last_seen is not None:
        last_seen.note(principal, client_address(request))


CurrentCaller = Annotated[Principal, Depends(current_caller)]
CurrentUser = Annotated[Principal, Depends(current_user)]
SuperAdmin = Annotated[Principal, Depends(super_admin)]
SuperAdminInPerson = Annotated[Principal, Depends(super_admin_in_person)]


def signed_in(request: HTTPConnection) -> Principal | None:
    """Who is signed in; None: nobody.

    Raises:
        SessionExpired: the access token has run out, or its session has ended.
    """
    # First of all: without its tables the service can't tell who anybody is, and must not say that they are nobody.
    database = own_database(request)
    access = access_token(request)
    if access is None:
        return None
    with database.snapshot() as session:
        principal = auth.principal(session, access)
    note_seen(request, principal)
    actor().identify(ActorKind.USER, principal.email)
    return principal
