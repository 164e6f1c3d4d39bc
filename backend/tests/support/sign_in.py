"""Users and sessions for tests, and an application of the web layer with a few routes to try it on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from hhh.api.rest.v1 import auth
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import BackupFailed, DatabaseUnavailable, InvalidInput, SessionExpired
from hhh.models import Role, User
from hhh.services import users
from hhh.services.tokens import AccessTokens
from hhh.services.users import create_user
from hhh.web.database import Transaction
from hhh.web.install import install
from hhh.web.session import super_admin
from hhh.web.state import client_address

EMAIL = "root@example.com"
PASSWORD = "a long enough password"
LOGIN = "/api/v1/auth/login"
TRIGGER = "/api/v1/backups/trigger"


@dataclass(frozen=True)
class WebServices:
    """What the web layer needs of `hhh.services.container.Services`."""

    settings: Settings
    database: Database


def make_user(database: Database, *, email: str = EMAIL, role: Role = Role.SUPER_ADMIN) -> User:
    """A user with `PASSWORD`."""
    with database.transaction() as session:
        return create_user(session, email=email, password=PASSWORD, role=role)


def web_app(settings: Settings, database: Database) -> FastAPI:
    """The web layer with the routes of sign-in, and stand-ins for what lies above it."""
    app = FastAPI()
    app.state.services = WebServices(settings, database)
    install(app, settings)
    app.include_router(auth.router)
    app.add_api_route(TRIGGER, succeed, methods=["POST"], dependencies=[Depends(super_admin)])
    app.add_api_route("/api/v1/backups/stats", succeed, dependencies=[Depends(super_admin)])
    for path, route in _ROUTES.items():
        app.add_api_route(path, route, methods=["GET", "POST", "DELETE"])
    return app


def succeed() -> dict[str, bool]:
    """What `trigger` does in the end."""
    return {"success": True}


def address_of(request: Request) -> str:
    """The client's address."""
    return client_address(request)


def break_down() -> None:
    """Fails as nobody expected."""
    raise RuntimeError("password=hunter2 in a message")


def fail_backup() -> None:
    """Fails as a backup does."""
    raise BackupFailed("pg_dump failed with status 1: no such table")


def database_gone() -> None:
    """Fails as without a database."""
    raise DatabaseUnavailable("The service's own database failed: connection refused")


def add_then_fail(session: Transaction) -> None:
    """Writes, then fails."""
    users.create_user(session, email="dropped@example.com", password=PASSWORD, role=Role.MEMBER)
    raise InvalidInput("no")


def add_then_expire(session: Transaction) -> None:
    """Writes, then fails with an error that keeps changes."""
    users.create_user(session, email="kept@example.com", password=PASSWORD, role=Role.MEMBER)
    raise SessionExpired("over")


_ROUTES: dict[str, Callable[..., object]] = {
    "/address": address_of,
    "/unexpected": break_down,
    "/backup-failed": fail_backup,
    "/database-gone": database_gone,
    "/api/v1/backups/logs": database_gone,
    "/add-then-fail": add_then_fail,
    "/add-then-expire": add_then_expire,
}


def sign_in(client: TestClient, *, email: str = EMAIL, password: str = PASSWORD) -> TestClient:
    """Signs the client in and lets it send its CSRF token from now on."""
    client.post(LOGIN, json={"email": email, "password": password}).raise_for_status()
    client.headers["X-CSRF-Token"] = client.cookies["hhh_csrf"]
    return client


def expire_access_token(client: TestClient, settings: Settings) -> None:
    """Puts in the place of the access token the one that the server would have given an hour ago."""
    tokens = AccessTokens(settings.secret)
    now = tokens.read(client.cookies["hhh_at"], now=utcnow())
    assert now is not None
    old = tokens.issue(now.user_id, now.session_id, now=utcnow() - timedelta(hours=1))
    client.cookies.set("hhh_at", old, domain="testserver.local", path="/")
