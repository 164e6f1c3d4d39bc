"""Nothing is changed over the API unrecorded: every endpoint that changes something leaves an event that names who.

`STEPS` are as many as the application has such endpoints; one that is in neither of the two tables fails by its name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from hhh.core.clock import utcnow
from hhh.jobs import creation
from hhh.main import ROUTERS
from hhh.models import Action, JobKind
from hhh.repositories import audit as rows
from hhh.repositories.audit import Filter
from hhh.schemas.restore import RestoreRequest
from hhh.services.container import Services
from hhh.web.csrf import SAFE_METHODS
from support.console import Console, a_console
from support.second_factor import code_at
from support.session import current_session
from support.sign_in import EMAIL, PASSWORD

ANOTHER = "correct horse battery staple"

#: Endpoints that leave no event, and why.
EXEMPT: Mapping[str, str] = {
    "POST /api/v1/auth/refresh": "it goes on with a session that is recorded",
    "POST /api/v1/auth/second-factor": "nothing is asked for before it was confirmed, which is recorded",
    "POST /api/v1/targets/{name}/test": "it looks at what is registered, and changes nothing",
    "POST /api/v1/storages/{name}/test": "as of a target",
    "POST /api/v1/alerts/channels/{channel}/test": "it sends a message that says it is a test, and changes nothing",
}


class World:
    """A service with somebody who is signed in, and what the steps leave to those after them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.known: dict[str, str] = {}

    def call(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """The answer to a call that has to succeed."""
        answer = self.console.client.request(
            method, f"/api/v1/{path}", json=body, headers={**self.console.token, **headers}
        )
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return cast("dict[str, Any]", answer.json()) if answer.content else {}

    def newest(self) -> int:
        """The number of the newest event."""
        with self.console.database.snapshot() as session:
            return rows.head(session).seq

    def told_since(self, seq: int) -> set[tuple[str, str, str]]:
        """Who did what, on what, since then."""
        with self.console.database.snapshot() as session:
            found = rows.batch(session, Filter(), after=seq, until=2**31)
        return {(event.actor, event.action, event.subject) for event in found}

    def waiting(self, kind: JobKind) -> str:
        """A job that somebody asked for and that waits for a worker elsewhere; its id."""
        services, backup = (
            cast("Services", cast("FastAPI", self.console.client.app).state.services),
            self.known["backup"],
        )
        asked = RestoreRequest(backup_id=backup, destination=str(self.console.folder / "restored.db"))
        new = {
            JobKind.BACKUP: lambda: services.backups.request("shop"),
            JobKind.VERIFY: lambda: services.verifications.request(backup, "stored", requested_by=EMAIL),
            JobKind.RESTORE: lambda: services.restores.request(asked, requested_by=EMAIL, address="elsewhere"),
        }[kind]()
        now = utcnow()
        with self.console.database.transaction() as session:
            return creation.insert(session, new, now, worker="w", lease_expires_at=now + timedelta(seconds=25))

    def replaced(self, backup_id: str) -> str:
        """Restores a backup over its database; the id of the restore."""
        asked = {"backup_id": backup_id, "mode": "replace", "confirm": "shop"}
        restore = str(self.call("POST", "restores", asked)["restore_id"])
        assert self.console.ended(f"/api/v1/restores/{restore}")["status"] == "success"
        return restore


def sign_in_anew(world: World) -> str:
    world.call("POST", "auth/login", {"email": EMAIL, "password": PASSWORD})
    return EMAIL


def sign_out(world: World) -> str:
    world.call("POST", "auth/logout")
    world.console.sign_in()
    return EMAIL


def end_session(world: World) -> str:
    world.console.another_browser().sign_in()
    found = world.console.client.get("/api/v1/auth/sessions").json()
    world.call("DELETE", f"auth/sessions/{next(each['id'] for each in found if not each['current'])}")
    return EMAIL


def end_others(world: World) -> str:
    world.console.another_browser().sign_in()
    world.call("DELETE", "auth/sessions")
    return EMAIL


def confirm_second_factor(world: World) -> str:
    world.known["secret"] = world.call("POST", "auth/second-factor", {"current_password": PASSWORD})["secret"]
    code = code_at(world.known["secret"], utcnow() - timedelta(seconds=30))
    world.call("POST", "auth/second-factor/confirm", {"code": code})
    return EMAIL


def with_code(world: World, *, steps: int) -> dict[str, str]:
    moment = utcnow() + timedelta(seconds=30 * steps)
    return {"current_password": PASSWORD, "code": code_at(world.known["secret"], moment)}


def renew_codes(world: World) -> str:
    body = with_code(world, steps=0)
    world.known["code"] = world.call("POST", "auth/second-factor/recovery-codes", body)["recovery_codes"][0]
    return EMAIL


def remove_second_factor(world: World) -> str:
    world.call("DELETE", "auth/second-factor", {"current_password": PASSWORD, "code": world.known["code"]})
    return EMAIL


def set_own_password(world: World) -> str:
    for now, then in ((PASSWORD, ANOTHER), (ANOTHER, PASSWORD)):
        world.call("POST", "auth/password", {"current_password": now, "new_password": then})
    return EMAIL


def add_target(world: World) -> str:
    world.console.add_target("shop")
    return "shop"


def take_backup(world: World) -> str:
    world.known["backup"] = world.console.back_up("shop")
    return world.known["backup"]


def download(world: World) -> str:
    answer = world.console.client.get(f"/api/v1/backups/{world.known['backup']}/download")
    assert answer.is_success
    return world.known["backup"]


def verify(world: World) -> str:
    asked = world.call("POST", f"backups/{world.known['backup']}/verify", {"level": "stored"})
    return str(asked["verification_id"])


def restore(world: World) -> str:
    world.known["restore"] = world.replaced(world.known["backup"])
    return world.known["restore"]


def undo(world: World) -> str:
    restore_id = str(world.call("POST", f"restores/{world.known['restore']}/undo")["restore_id"])
    world.console.ended(f"/api/v1/restores/{restore_id}")
    return restore_id


def cancel(kind: JobKind, path: str) -> Callable[[World], str]:
    def do(world: World) -> str:
        job_id = world.waiting(kind)
        world.call("POST", f"{path}/{job_id}/cancel")
        return job_id

    return do


def delete_backup(world: World) -> str:
    world.console.back_up("shop")
    world.call("DELETE", f"backups/{world.known['backup']}")
    return world.known["backup"]


def upkeep(what: str) -> Callable[[World], str]:
    def do(world: World) -> str:
        return str(world.call("POST", f"targets/shop/{what}")["job_id"])

    return do


def add_schedule(world: World) -> str:
    asked = {"target": "shop", "cron": "0 3 * * *", "time_zone": "UTC"}
    world.known["schedule"] = world.call("POST", "schedules", asked)["id"]
    return world.known["schedule"]


def with_schedule(method: str, path: str, body: object = None) -> Callable[[World], str]:
    def do(world: World) -> str:
        world.call(method, f"schedules/{world.known['schedule']}{path}", body)
        return world.known["schedule"]

    return do


def run_schedule(world: World) -> str:
    return str(world.call("POST", f"schedules/{world.known['schedule']}/run")["backup_id"])


def with_target(method: str, body: object = None) -> Callable[[World], str]:
    def do(world: World) -> str:
        world.call(method, "targets/shop", body)
        return "shop"

    return do


def remove_target(world: World) -> str:
    world.console.add_target("gone")
    world.call("DELETE", "targets/gone")
    return "gone"


def add_store(world: World) -> str:
    world.known["place"] = (world.console.folder / "offsite").as_uri()
    world.call("POST", "storages", {"name": "offsite", "url": world.known["place"]})
    return "offsite"


def with_store(method: str, *, has_url: bool = False) -> Callable[[World], str]:
    def do(world: World) -> str:
        world.call(method, "storages/offsite", {"url": world.known["place"]} if has_url else None)
        return "offsite"

    return do


def add_token(world: World) -> str:
    world.known["token"] = world.call("POST", "tokens", {"name": "a script", "scopes": ["backup:read"]})["id"]
    return "a script"


def revoke_token(world: World) -> str:
    world.call("DELETE", f"tokens/{world.known['token']}")
    return "a script"


def add_user(world: World) -> str:
    asked = {"email": "bob@example.com", "password": ANOTHER, "current_password": PASSWORD}
    world.known["user"] = world.call("POST", "users", asked)["id"]
    return "bob@example.com"


def with_user(method: str, path: str = "", body: dict[str, str] | None = None) -> Callable[[World], str]:
    def do(world: World) -> str:
        world.console.another_browser().sign_in(email="bob@example.com", password=ANOTHER)
        world.call(method, f"users/{world.known['user']}{path}", {**(body or {}), "current_password": PASSWORD})
        return "bob@example.com"

    return do


def add_channel(world: World) -> str:
    asked = {"name": "on-call", "url": "json://127.0.0.1:9/"}
    world.known["channel"] = world.call("POST", "alerts/channels", asked)["id"]
    return "on-call"


def with_channel(method: str, body: object = None) -> Callable[[World], str]:
    def do(world: World) -> str:
        world.call(method, f"alerts/channels/{world.known['channel']}", body)
        return "on-call"

    return do


def export(world: World) -> str:
    assert world.console.client.get("/api/v1/audit/export").is_success
    return "audit log"


@dataclass(frozen=True)
class Step:
    """What is done, and the action that is told; `do` answers on what."""

    action: Action
    do: Callable[[World], str]


#: In the order in which they are done.
STEPS: Mapping[str, Step] = {
    "POST /api/v1/auth/login": Step(Action.SIGN_IN, sign_in_anew),
    "POST /api/v1/auth/logout": Step(Action.SIGN_OUT, sign_out),
    "DELETE /api/v1/auth/sessions/{session_id}": Step(Action.SESSION_END, end_session),
    "DELETE /api/v1/auth/sessions": Step(Action.SESSION_END, end_others),
    "POST /api/v1/auth/password": Step(Action.USER_CHANGE, set_own_password),
    "POST /api/v1/targets": Step(Action.TARGET_ADD, add_target),
    "PATCH /api/v1/targets/{name}": Step(Action.TARGET_CHANGE, with_target("PATCH", {"retries": 3})),
    "PUT /api/v1/targets/{name}": Step(Action.TARGET_CHANGE, with_target("PUT", {})),
    "POST /api/v1/backups/trigger": Step(Action.BACKUP, take_backup),
    "POST /api/v1/backups/{backup_id}/pin": Step(
        Action.BACKUP_PIN, lambda world: world.call("POST", f"backups/{world.known['backup']}/pin")["id"]
    ),
    "POST /api/v1/backups/{backup_id}/unpin": Step(
        Action.BACKUP_PIN, lambda world: world.call("POST", f"backups/{world.known['backup']}/unpin")["id"]
    ),
    "GET /api/v1/backups/{backup_id}/download": Step(Action.BACKUP_DOWNLOAD, download),
    "POST /api/v1/backups/{backup_id}/cancel": Step(Action.CANCEL, cancel(JobKind.BACKUP, "backups")),
    "POST /api/v1/backups/{backup_id}/verify": Step(Action.VERIFY, verify),
    "POST /api/v1/verifications/{verification_id}/cancel": Step(Action.CANCEL, cancel(JobKind.VERIFY, "verifications")),
    "POST /api/v1/restores": Step(Action.RESTORE, restore),
    "POST /api/v1/restores/{restore_id}/undo": Step(Action.RESTORE, undo),
    "POST /api/v1/restores/{restore_id}/cancel": Step(Action.CANCEL, cancel(JobKind.RESTORE, "restores")),
    "POST /api/v1/targets/{name}/prune": Step(Action.PRUNE, upkeep("prune")),
    "POST /api/v1/targets/{name}/repair": Step(Action.REPAIR, upkeep("repair")),
    "DELETE /api/v1/backups/{backup_id}": Step(Action.BACKUP_DELETE, delete_backup),
    "POST /api/v1/schedules": Step(Action.SCHEDULE_ADD, add_schedule),
    "PATCH /api/v1/schedules/{schedule_id}": Step(
        Action.SCHEDULE_CHANGE, with_schedule("PATCH", "", {"cron": "0 4 * * *"})
    ),
    "POST /api/v1/schedules/{schedule_id}/pause": Step(Action.SCHEDULE_CHANGE, with_schedule("POST", "/pause")),
    "POST /api/v1/schedules/{schedule_id}/resume": Step(Action.SCHEDULE_CHANGE, with_schedule("POST", "/resume")),
    "POST /api/v1/schedules/{schedule_id}/run": Step(Action.BACKUP, run_schedule),
    "DELETE /api/v1/schedules/{schedule_id}": Step(Action.SCHEDULE_REMOVE, with_schedule("DELETE", "")),
    "DELETE /api/v1/targets/{name}": Step(Action.TARGET_REMOVE, remove_target),
    "POST /api/v1/storages": Step(Action.STORE_ADD, add_store),
    "PATCH /api/v1/storages/{name}": Step(Action.STORE_CHANGE, with_store("PATCH", has_url=True)),
    "PUT /api/v1/storages/{name}": Step(Action.STORE_CHANGE, with_store("PUT", has_url=True)),
    "DELETE /api/v1/storages/{name}": Step(Action.STORE_REMOVE, with_store("DELETE")),
    "POST /api/v1/tokens": Step(Action.TOKEN_CREATE, add_token),
    "DELETE /api/v1/tokens/{token_id}": Step(Action.TOKEN_REVOKE, revoke_token),
    "POST /api/v1/users": Step(Action.USER_CREATE, add_user),
    "PATCH /api/v1/users/{user_id}": Step(Action.USER_CHANGE, with_user("PATCH", body={"role": "ADMIN"})),
    "DELETE /api/v1/users/{user_id}/sessions": Step(Action.SESSION_END, with_user("DELETE", "/sessions")),
    "DELETE /api/v1/users/{user_id}": Step(Action.USER_REMOVE, with_user("DELETE")),
    "POST /api/v1/alerts/channels": Step(Action.CHANNEL_ADD, add_channel),
    "PATCH /api/v1/alerts/channels/{channel}": Step(
        Action.CHANNEL_CHANGE, with_channel("PATCH", {"kinds": ["backup-failed"]})
    ),
    "DELETE /api/v1/alerts/channels/{channel}": Step(Action.CHANNEL_REMOVE, with_channel("DELETE")),
    "POST /api/v1/auth/second-factor/confirm": Step(Action.SECOND_FACTOR, confirm_second_factor),
    "POST /api/v1/auth/second-factor/recovery-codes": Step(Action.SECOND_FACTOR, renew_codes),
    "DELETE /api/v1/auth/second-factor": Step(Action.SECOND_FACTOR, remove_second_factor),
    "GET /api/v1/audit/export": Step(
        Action.AUDIT_EXPORT,
        lambda world: str(world.console.client.get("/api/v1/audit/export").is_success and "audit log"),
    ),
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with a_console(current_session().new_folder("audited")) as console:
        yield World(console)


def test_every_endpoint_that_changes_something_is_known() -> None:
    changing = {
        f"{method} {route.path}"
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in {*(route.methods or ())} - SAFE_METHODS
    }

    assert changing - STEPS.keys() - EXEMPT.keys() == set(), "nobody knows what these leave in the audit log"
    assert EXEMPT.keys() - changing == set()
    assert {step for step in STEPS if not step.startswith("GET ")} - changing == set()


def test_each_leaves_an_event_that_names_who_did_what_on_what(world: World) -> None:
    """One test: each step needs what those before it made."""
    for endpoint, step in STEPS.items():
        before = world.newest()

        subject = step.do(world)

        assert (EMAIL, step.action, subject) in world.told_since(before), endpoint
