"""Who may do what over the API: every endpoint, as the application has them, times everybody who may ask.

`NEEDED` says what each endpoint demands. One that is not in it fails here by its name.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import cycle

import httpx
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.main import ROUTERS, create_app
from hhh.models import Role, Scope
from hhh.repositories import api_tokens as token_rows
from hhh.schemas.api_token import TokenRequest
from hhh.services import users
from hhh.services.api_tokens import ApiTokens
from hhh.web.csrf import SAFE_METHODS
from support.local_services import settings_in
from support.own_databases import migrated_file
from support.session import current_session
from support.sign_in import EMAIL, make_user, sign_in

READ, BACKUP, RESTORE, VERIFY, ADMIN = Scope


class Demand(Enum):
    """What an endpoint demands that is no scope."""

    NOTHING = "nothing"  #: anybody may ask
    COOKIES = "cookies"  #: anybody but a token: it begins a session, goes on with one, or ends it
    ANYBODY = "anybody"  #: who is signed in, of any role, or any token that is good
    PERSON = "person"  #: who is signed in, of any role, and no token
    ADMIN_IN_PERSON = "admin in person"  #: a super admin who is signed in, and no token
    BACKUP_OR_VERIFY = "backup or verify"  #: one of these scopes, by what a schedule does


NOTHING, COOKIES, ANYBODY, PERSON, ADMIN_IN_PERSON, BACKUP_OR_VERIFY = Demand
Endpoint = tuple[str, str]

NEEDED: Mapping[Endpoint, Scope | Demand] = {
    ("GET", "/healthz"): NOTHING,
    ("GET", "/readyz"): NOTHING,
    ("GET", "/metrics"): READ,
    ("GET", "/api/v1/auth/health"): NOTHING,
    ("GET", "/api/v1/auth/me"): ANYBODY,
    ("POST", "/api/v1/auth/login"): COOKIES,
    ("POST", "/api/v1/auth/refresh"): COOKIES,
    ("POST", "/api/v1/auth/logout"): COOKIES,
    ("POST", "/api/v1/auth/password"): PERSON,
    ("POST", "/api/v1/auth/second-factor"): PERSON,
    ("POST", "/api/v1/auth/second-factor/confirm"): PERSON,
    ("POST", "/api/v1/auth/second-factor/recovery-codes"): PERSON,
    ("DELETE", "/api/v1/auth/second-factor"): PERSON,
    ("GET", "/api/v1/auth/sessions"): PERSON,
    ("DELETE", "/api/v1/auth/sessions"): PERSON,
    ("DELETE", "/api/v1/auth/sessions/{session_id}"): PERSON,
    ("POST", "/api/v1/backups/trigger"): BACKUP,
    ("GET", "/api/v1/backups/logs"): READ,
    ("GET", "/api/v1/backups/stats"): READ,
    ("GET", "/api/v1/backups"): READ,
    ("GET", "/api/v1/backups/{backup_id}"): READ,
    ("GET", "/api/v1/backups/{backup_id}/contents"): READ,
    ("GET", "/api/v1/backups/{backup_id}/recovery-commands"): READ,
    ("GET", "/api/v1/backups/{backup_id}/download"): RESTORE,
    ("GET", "/api/v1/backups/{backup_id}/events"): READ,
    ("POST", "/api/v1/backups/{backup_id}/cancel"): BACKUP,
    ("POST", "/api/v1/backups/{backup_id}/pin"): ADMIN,
    ("POST", "/api/v1/backups/{backup_id}/unpin"): ADMIN,
    ("DELETE", "/api/v1/backups/{backup_id}"): ADMIN,
    ("POST", "/api/v1/backups/{backup_id}/verify"): VERIFY,
    ("GET", "/api/v1/verifications"): READ,
    ("GET", "/api/v1/verifications/{verification_id}"): READ,
    ("GET", "/api/v1/verifications/{verification_id}/report"): READ,
    ("GET", "/api/v1/verifications/{verification_id}/events"): READ,
    ("POST", "/api/v1/verifications/{verification_id}/cancel"): VERIFY,
    ("GET", "/api/v1/recoverability"): READ,
    ("GET", "/api/v1/monitor"): READ,
    ("POST", "/api/v1/restores"): RESTORE,
    ("GET", "/api/v1/restores"): READ,
    ("GET", "/api/v1/restores/{restore_id}"): READ,
    ("GET", "/api/v1/restores/{restore_id}/events"): READ,
    ("POST", "/api/v1/restores/{restore_id}/undo"): RESTORE,
    ("POST", "/api/v1/restores/{restore_id}/cancel"): RESTORE,
    ("POST", "/api/v1/targets"): ADMIN,
    ("GET", "/api/v1/targets"): READ,
    ("GET", "/api/v1/targets/{name}"): READ,
    ("PATCH", "/api/v1/targets/{name}"): ADMIN,
    ("PUT", "/api/v1/targets/{name}"): ADMIN,
    ("DELETE", "/api/v1/targets/{name}"): ADMIN,
    ("POST", "/api/v1/targets/{name}/test"): ADMIN,
    ("GET", "/api/v1/targets/{name}/recoverability"): READ,
    ("GET", "/api/v1/targets/{name}/retention"): READ,
    ("POST", "/api/v1/targets/{name}/prune"): ADMIN,
    ("POST", "/api/v1/targets/{name}/repair"): ADMIN,
    ("POST", "/api/v1/storages"): ADMIN,
    ("GET", "/api/v1/storages"): READ,
    ("GET", "/api/v1/storages/{name}"): READ,
    ("PATCH", "/api/v1/storages/{name}"): ADMIN,
    ("PUT", "/api/v1/storages/{name}"): ADMIN,
    ("DELETE", "/api/v1/storages/{name}"): ADMIN,
    ("POST", "/api/v1/storages/{name}/test"): ADMIN,
    ("POST", "/api/v1/schedules"): ADMIN,
    ("GET", "/api/v1/schedules"): READ,
    ("GET", "/api/v1/schedules/preview"): READ,
    ("GET", "/api/v1/schedules/{schedule_id}"): READ,
    ("PATCH", "/api/v1/schedules/{schedule_id}"): ADMIN,
    ("DELETE", "/api/v1/schedules/{schedule_id}"): ADMIN,
    ("POST", "/api/v1/schedules/{schedule_id}/pause"): ADMIN,
    ("POST", "/api/v1/schedules/{schedule_id}/resume"): ADMIN,
    ("POST", "/api/v1/schedules/{schedule_id}/run"): BACKUP_OR_VERIFY,
    ("GET", "/api/v1/workers"): READ,
    ("POST", "/api/v1/tokens"): ADMIN_IN_PERSON,
    ("GET", "/api/v1/tokens"): ADMIN,
    ("GET", "/api/v1/tokens/{token_id}"): ADMIN,
    ("DELETE", "/api/v1/tokens/{token_id}"): ADMIN,
    ("POST", "/api/v1/users"): ADMIN_IN_PERSON,
    ("GET", "/api/v1/users"): ADMIN,
    ("GET", "/api/v1/users/{user_id}"): ADMIN,
    ("PATCH", "/api/v1/users/{user_id}"): ADMIN_IN_PERSON,
    ("DELETE", "/api/v1/users/{user_id}"): ADMIN_IN_PERSON,
    ("DELETE", "/api/v1/users/{user_id}/sessions"): ADMIN,
    ("GET", "/api/v1/audit"): ADMIN,
    ("GET", "/api/v1/audit/export"): ADMIN,
    ("GET", "/api/v1/alerts"): READ,
    ("GET", "/api/v1/alerts/deliveries"): READ,
    ("POST", "/api/v1/alerts/channels"): ADMIN,
    ("GET", "/api/v1/alerts/channels"): ADMIN,
    ("GET", "/api/v1/alerts/channels/{channel}"): ADMIN,
    ("PATCH", "/api/v1/alerts/channels/{channel}"): ADMIN,
    ("DELETE", "/api/v1/alerts/channels/{channel}"): ADMIN,
    ("POST", "/api/v1/alerts/channels/{channel}/test"): ADMIN,
}
ENDPOINTS: Sequence[Endpoint] = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
MUTATING = [(method, path) for method, path in ENDPOINTS if method not in SAFE_METHODS]

_NOTHING = "00000000-0000-0000-0000-000000000000"
_PLACES = re.compile(r"\{[^}]*\}")
#: Asked for nothing that is there; but what needs no more than its name must be given a body that it refuses.
_BODIES = {("POST", "/api/v1/backups/trigger"): {"target": "nothing"}}
#: What the answers say to whom is refused; whatever else an endpoint answers, it has let them in.
_REFUSALS = frozenset(
    {
        "ERR_CSRF_INVALID",
        "ERR_INVALID_CREDENTIALS",
        "ERR_NETWORK_NOT_ALLOWED",
        "ERR_SCOPE_MISSING",
        "ERR_SESSION_EXPIRED",
        "ERR_SESSION_REQUIRED",
        "ERR_SUPERADMIN_REQUIRED",
    }
)
_IN = None


@dataclass(frozen=True)
class World:
    """A service, and the headers of everybody who may ask it, by who they are."""

    client: TestClient
    headers: Mapping[str, Mapping[str, str]]

    def ask(self, who: str, endpoint: Endpoint, more: Mapping[str, str] | None = None) -> httpx.Response:
        """Their request for something that is not there."""
        method, path = endpoint
        self.client.cookies.clear()
        body = None if method in SAFE_METHODS else _BODIES.get(endpoint, {})
        return self.client.request(
            method, _PLACES.sub(_NOTHING, path), json=body, headers={**self.headers[who], **(more or {})}
        )


ROLES = [str(role) for role in Role]
SCOPES = [str(scope) for scope in Scope]
#: Tokens that are good for nothing, with what is said of them.
BAD_TOKENS = {
    "expired": "ERR_INVALID_CREDENTIALS",
    "revoked": "ERR_INVALID_CREDENTIALS",
    "of a removed owner": "ERR_INVALID_CREDENTIALS",
    "made up": "ERR_INVALID_CREDENTIALS",
    "empty": "ERR_INVALID_CREDENTIALS",
    "of another network": "ERR_NETWORK_NOT_ALLOWED",
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    known = settings_in(current_session().new_folder("authorisation"))
    shutil.copy(migrated_file(), known.default_database_file or "")
    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(known.own_database_url)))
        client = TestClient(create_app(known, database, works=False), client=("203.0.113.9", 50_000))
        stack.enter_context(client)
        make_user(database)
        yield World(client, {"nobody": {}, **_sessions(client, database), **_tokens(database)})


def _sessions(client: TestClient, database: Database) -> Mapping[str, Mapping[str, str]]:
    found = {}
    for role in Role:
        email = f"{role.lower()}@example.com"
        make_user(database, email=email, role=role)
        cookies = {**sign_in(client, email=email).cookies}
        kept = "; ".join(f"{name}={cookies[name]}" for name in ("hhh_at", "hhh_csrf"))
        found[str(role)] = {"Cookie": kept, "X-CSRF-Token": cookies["hhh_csrf"]}
        client.cookies.clear()
        del client.headers["X-CSRF-Token"]
    return found


def _tokens(database: Database) -> Mapping[str, Mapping[str, str]]:
    tokens, in_an_hour = ApiTokens(database), utcnow() + timedelta(hours=1)
    for email in ("demoted@example.com", "removed@example.com"):
        make_user(database, email=email)

    def made(name: str, *scopes: Scope, owner: str = EMAIL, networks: Sequence[str] = ()) -> str:
        asked = TokenRequest(name=name, scopes=scopes or (ADMIN,), expires_at=in_an_hour, networks=networks)
        return tokens.create(owner, asked).token

    found = {
        **{str(scope): made(scope, scope) for scope in Scope},
        "expired": made("expired"),
        "revoked": made("revoked"),
        "of a demoted owner": made("of a demoted owner", owner="demoted@example.com"),
        "of a removed owner": made("of a removed owner", owner="removed@example.com"),
        "of another network": made("of another network", networks=["198.51.100.0/24", "2001:db8::/32"]),
        "made up": f"hhh_{'A' * 43}",
        "empty": "",
    }
    tokens.revoke(tokens.named("revoked").id)
    with database.transaction() as session:
        users.set_role(session, email="demoted@example.com", role=Role.ADMIN)
        users.remove(session, email="removed@example.com")
        expired = token_rows.live_by_name(session, "expired", utcnow())
        assert expired is not None
        expired[0].expires_at = utcnow() - timedelta(seconds=1)
    return {name: {"Authorization": f"Bearer {token}"} for name, token in found.items()}


def test_every_endpoint_is_in_the_table() -> None:
    assert {*ENDPOINTS} == {*NEEDED}
    assert len(ENDPOINTS) == len(NEEDED)


def _of_nobody(needed: Scope | Demand) -> str | None:
    if needed in {NOTHING, COOKIES}:
        return _IN
    return "ERR_INVALID_CREDENTIALS" if needed in {ANYBODY, PERSON} else "ERR_SUPERADMIN_REQUIRED"


def _of_role(role: str, needed: Scope | Demand) -> str | None:
    is_let_in = role == Role.SUPER_ADMIN or needed in {NOTHING, COOKIES, ANYBODY, PERSON}
    return _IN if is_let_in else "ERR_SUPERADMIN_REQUIRED"


def _of_scope(scope: str, needed: Scope | Demand) -> str | None:
    if needed in {COOKIES, PERSON}:
        return "ERR_SESSION_REQUIRED"
    if needed is ADMIN_IN_PERSON:
        return "ERR_SESSION_REQUIRED" if scope == ADMIN else "ERR_SCOPE_MISSING"
    if needed in {NOTHING, ANYBODY} or scope == ADMIN:
        return _IN
    good = {BACKUP, VERIFY} if needed is BACKUP_OR_VERIFY else {needed}
    return _IN if scope in good else "ERR_SCOPE_MISSING"


def _of_bad_token(refusal: str, needed: Scope | Demand) -> str | None:
    if needed is NOTHING:
        return _IN
    return "ERR_SESSION_REQUIRED" if needed is COOKIES else refusal


def _of_demoted(needed: Scope | Demand) -> str | None:
    if needed in {NOTHING, ANYBODY}:
        return _IN
    return "ERR_SESSION_REQUIRED" if needed in {COOKIES, PERSON} else "ERR_SUPERADMIN_REQUIRED"


def expected(who: str, needed: Scope | Demand) -> str | None:
    """The refusal that somebody meets; None: they are let in."""
    if who == "nobody":
        return _of_nobody(needed)
    if who in ROLES:
        return _of_role(who, needed)
    if who in SCOPES:
        return _of_scope(who, needed)
    return _of_demoted(needed) if who == "of a demoted owner" else _of_bad_token(BAD_TOKENS[who], needed)


@pytest.mark.parametrize("who", ["nobody", *ROLES, *SCOPES, *BAD_TOKENS, "of a demoted owner"])
def test_everybody_may_do_what_the_table_says_and_nothing_else(world: World, who: str) -> None:
    # Those that end or carry on the session with which everything else is asked for have a test of their own.
    asked = [each for each in ENDPOINTS if NEEDED[each] is not COOKIES or who not in ROLES]

    answers = {each: world.ask(who, each) for each in asked}

    found = {each: _refusal(answer) for each, answer in answers.items()}
    assert found == {each: _expired_or(expected(who, NEEDED[each]), each) for each in asked}
    assert {each for each, answer in answers.items() if answer.status_code >= 500} <= {("GET", "/readyz")}
    if who not in ("nobody", *ROLES):
        assert {each for each, answer in answers.items() if "Set-Cookie" in answer.headers} == set()


def _expired_or(refusal: str | None, endpoint: Endpoint) -> str | None:
    # There is no session that could go on.
    return "ERR_SESSION_EXPIRED" if refusal is None and endpoint[1].endswith("/refresh") else refusal


def _refusal(answer: httpx.Response) -> str | None:
    if answer.status_code not in {401, 403}:
        return _IN
    code = answer.json()["error"]["code"]
    assert code in _REFUSALS, answer.text
    return str(code)


def test_a_session_changes_nothing_without_its_csrf_token(world: World) -> None:
    ways = cycle(("", "made.up", world.headers[Role.MEMBER]["X-CSRF-Token"]))

    answers = {
        endpoint: _refusal(world.ask(Role.SUPER_ADMIN, endpoint, {"X-CSRF-Token": next(ways)}))
        for endpoint in MUTATING
        if endpoint != ("POST", "/api/v1/auth/login")  # which takes JSON only, and replaces the session
    }

    assert set(answers.values()) == {"ERR_CSRF_INVALID"}


def test_a_header_that_is_made_up_does_nothing_in_the_name_of_a_session(world: World) -> None:
    session = {"Cookie": world.headers[Role.SUPER_ADMIN]["Cookie"]}
    ways = cycle(("Bearer x", "bearer hhh_x", "BEARER", "Bearer", "Bearer  hhh_"))

    answers = {
        endpoint: _refusal(world.ask("nobody", endpoint, {**session, "Authorization": next(ways)}))
        for endpoint in ENDPOINTS
        if NEEDED[endpoint] is not NOTHING
    }

    assert set(answers.values()) == {"ERR_INVALID_CREDENTIALS", "ERR_SESSION_REQUIRED"}


def test_a_proxy_that_asks_for_a_password_of_its_own_takes_no_session_away(world: World) -> None:
    answer = world.ask(Role.SUPER_ADMIN, ("GET", "/api/v1/auth/me"), {"Authorization": "Basic dTpw"})

    assert answer.status_code == 200
    assert answer.json()["scopes"] is None
