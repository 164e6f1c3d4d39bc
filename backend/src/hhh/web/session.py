"""Who is behind a request.

Read from the database for each request and in a transaction of its own, which has ended before the route begins:
a route that waits for an hour holds no connection for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection, Request

from hhh.core.actor import ActorKind, actor
from hhh.core.clock import utcnow
from hhh.core.errors import InvalidCredentials, ScopeMissing, SuperAdminRequired
from hhh.models import Role, Scope
from hhh.services import auth
from hhh.services.auth import Principal
from hhh.services.tokens import AccessToken, AccessTokens
from hhh.web import cookies
from hhh.web.state import own_database, settings


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


def current_user(request: Request) -> Principal:
    """A dependency: whoever is signed in.

    Raises:
        InvalidCredentials: nobody.
        SessionExpired: the access token has run out, or its session has ended.
    """
    principal = signed_in(request)
    if principal is None:
        raise InvalidCredentials("Not signed in", hint="POST /api/v1/auth/login")
    return principal


def super_admin(request: Request) -> Principal:
    """A dependency: the super admin who is signed in.

    Raises:
        SuperAdminRequired: nobody, or somebody of another role.
        SessionExpired: the access token has run out, or its session has ended.
    """
    principal = signed_in(request)
    if principal is None:
        raise SuperAdminRequired(hint="nobody is signed in: POST /api/v1/auth/login")
    if principal.role != Role.SUPER_ADMIN:
        raise SuperAdminRequired(hint="somebody of another role is signed in: see `hhh users set-role`")
    return principal


CurrentUser = Annotated[Principal, Depends(current_user)]
SuperAdmin = Annotated[Principal, Depends(super_admin)]


def allowed(scope: Scope) -> Callable[[Request], Principal]:
    """A dependency: the super admin who is signed in, or whose token has that scope.

    Raises (the dependency):
        SuperAdminRequired, SessionExpired: as `super_admin`.
        ScopeMissing: the token has not.
    """

    def checked(request: Request) -> Principal:
        principal = super_admin(request)
        if not principal.may(scope):
            raise ScopeMissing(f"The token has not the scope {scope}", hint="hhh tokens create --scope …")
        return principal

    return checked


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
    actor().identify(ActorKind.USER, principal.email)
    return principal
