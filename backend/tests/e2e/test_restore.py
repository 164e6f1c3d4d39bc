"""Restores by a running service: what the API answers, who may ask, and what a killed service leaves."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backing_up import assert_stored, hhh, register, scratch_leftovers, trigger
from support.held_restores import HeldRestores
from support.restoring import RESTORES, ask_for_restore, restored
from support.service import ADMIN_EMAIL, Service, ServiceFactory
from support.shops import PostgresqlShop, Shop, SqliteShop, postgresql_shop, shop, sqlite_shop
from support.waiting import wait_until

__all__ = ["postgresql_shop", "shop", "sqlite_shop"]

NO_ID = "5f1f2f0e-0000-4000-8000-000000000000"


@contextlib.contextmanager
def backed_up(service: Service, shop: Shop) -> Iterator[tuple[httpx.Client, str]]:
    """A signed-in client, and the id of a backup of the shop."""
    with service.signed_in_client() as client:
        register(client, "shop", shop.url)
        yield client, assert_stored(trigger(client, "shop"))["backup_id"]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_backup_is_planned_restored_replaced_and_taken_back(
    service_factory: ServiceFactory, own: dict[str, Any], shop: Shop, scratch: Path
) -> None:
    service = service_factory(**own, scratch_dir=scratch)
    with backed_up(service, shop) as (client, backup_id):
        then, names = shop.rows(), shop.names()
        planned = restored(client, ask_for_restore(client, backup_id, destination=shop.elsewhere, dry_run=True))
        assert (planned["status"], planned["receipt"], shop.names()) == ("success", None, names)
        assert planned["steps"]
        assert {"signature", "object"} <= {check["name"] for check in planned["checks"]}

        new = restored(client, ask_for_restore(client, backup_id, destination=shop.elsewhere))
        assert (new["status"], new["error"]) == ("success", None)
        assert (new["requested_by"], new["address"]) == (ADMIN_EMAIL, "127.0.0.1")
        assert (new["receipt"]["differences"], new["receipt"]["errors"]) == ([], [])
        assert shop.rows(shop.elsewhere) == then
        error = refused(ask_for_restore(client, backup_id, destination=shop.elsewhere), 409, "ERR_RESTORE_UNSAFE")
        assert all(reason.keys() == {"name", "status", "message", "acknowledge"} for reason in error["reasons"])
        assert {reason["status"] for reason in error["reasons"]} == {"unsafe"}

        shop.change()
        changed = shop.rows()
        assert changed != then
        replaced = restored(client, ask_for_restore(client, backup_id, mode="replace", confirm="shop"))
        assert (replaced["status"], replaced["error"], shop.rows()) == ("success", None, then)
        assert replaced["kept"]

        undone = restored(client, client.post(f"{RESTORES}/{replaced['id']}/undo"))
        assert (undone["status"], undone["error"], undone["undo_of"]) == ("success", None, replaced["id"])
        assert shop.rows() == changed
        refused(client.post(f"{RESTORES}/{replaced['id']}/undo"), 409, "ERR_RESTORE_UNSAFE")

        page = client.get(RESTORES).raise_for_status().json()
        assert [item["id"] for item in page["items"]] == [row["id"] for row in (undone, replaced, new, planned)]
        assert "restore_ended" in service.log()
    assert scratch_leftovers(scratch) == []


def test_what_can_not_be_asked_is_answered_at_once(service: Service, sqlite_shop: SqliteShop) -> None:
    with backed_up(service, sqlite_shop) as (client, backup_id):
        refused(ask_for_restore(client, NO_ID, destination=sqlite_shop.elsewhere), 404, "ERR_NOT_FOUND")
        refused(ask_for_restore(client, backup_id), 422, "ERR_VALIDATION")
        refused(ask_for_restore(client, backup_id, destination="/etc/new.db"), 422, "ERR_VALIDATION")
        refused(ask_for_restore(client, backup_id, mode="replace", confirm="Shop"), 422, "ERR_VALIDATION")
        refused(ask_for_restore(client, backup_id, mode="sideways"), 422, "ERR_VALIDATION")
        refused(
            ask_for_restore(client, backup_id, destination=sqlite_shop.elsewhere, acknowledge=["nonsense"]),
            422,
            "ERR_VALIDATION",
        )
        for path in ("", "/undo", "/cancel"):
            method = "POST" if path else "GET"
            refused(client.request(method, f"{RESTORES}/{NO_ID}{path}"), 404, "ERR_NOT_FOUND")
        refused(client.get(RESTORES, params={"cursor": "none"}), 422, "ERR_VALIDATION")
        assert client.get(RESTORES).json() == {"items": [], "next_cursor": None}


def test_only_a_super_admin_restores_and_only_with_the_csrf_token(service: Service, sqlite_shop: SqliteShop) -> None:
    with backed_up(service, sqlite_shop) as (client, backup_id):
        asked = {"backup_id": backup_id, "destination": sqlite_shop.elsewhere}
        done = restored(client, client.post(RESTORES, json=asked))
        requests = [
            ("POST", RESTORES),
            ("GET", RESTORES),
            *(("POST", f"{RESTORES}/{done['id']}/{action}") for action in ("undo", "cancel")),
            ("GET", f"{RESTORES}/{done['id']}"),
        ]
        token = client.headers.pop("X-CSRF-Token")
        for method, path in requests:
            if method == "POST":
                refused(client.request(method, path, json=asked), 403, "ERR_CSRF_INVALID")
        client.headers["X-CSRF-Token"] = token
        for role in ("ADMIN", "MEMBER"):
            email, password = f"a-{role.lower()}@example.com", "a long enough password"
            made = hhh(service, "users", "create", email, "--role", role, standard_input=f"{password}\n{password}\n")
            assert made.returncode == 0, made.stderr
            with service.client() as other:
                service.sign_in(other, email=email, password=password)
                for method, path in requests:
                    refused(other.request(method, path, json=asked), 403, "ERR_SUPERADMIN_REQUIRED")
        with service.client() as nobody:
            for method, path in requests:
                refused(nobody.request(method, path, json=asked), 403, "ERR_SUPERADMIN_REQUIRED")
        assert len(client.get(RESTORES).json()["items"]) == 1


@pytest.mark.postgres
def test_while_a_restore_runs_the_target_is_busy_and_a_cancel_ends_it(
    service_factory: ServiceFactory, postgresql_shop: PostgresqlShop, tmp_path: Path
) -> None:
    held = HeldRestores(tmp_path, postgresql_shop.server)
    service = service_factory(pg_bin_dir=held.bin_dir)
    with backed_up(service, postgresql_shop) as (client, backup_id):
        before = postgresql_shop.names()
        answer = ask_for_restore(client, backup_id, mode="replace", confirm="shop")
        held.wait_until_held()
        assert postgresql_shop.names() > before
        refused(
            ask_for_restore(client, backup_id, destination=postgresql_shop.elsewhere), 409, "ERR_BACKUP_IN_PROGRESS"
        )
        refused(trigger(client, "shop"), 409, "ERR_BACKUP_IN_PROGRESS")
        assert_stored(trigger(client, "app"))
        restore_id = answer.json()["restore_id"]
        cancelled = client.post(f"{RESTORES}/{restore_id}/cancel")
        assert (cancelled.status_code, cancelled.headers["Location"]) == (202, f"{RESTORES}/{restore_id}")
        ended = restored(client, answer)
        assert (ended["status"], ended["error"]) == ("cancelled", "The restore was cancelled")
        assert postgresql_shop.names() == before
        refused(client.post(f"{RESTORES}/{restore_id}/cancel"), 409, "ERR_ALREADY_ENDED")
        held.let_go()
        assert restored(client, ask_for_restore(client, backup_id, mode="replace", confirm="shop"))["kept"]


@pytest.mark.postgres
def test_what_a_killed_service_left_is_swept_when_it_starts_again(
    service_factory: ServiceFactory, postgresql_shop: PostgresqlShop, tmp_path: Path, scratch: Path
) -> None:
    held = HeldRestores(tmp_path, postgresql_shop.server)
    service = service_factory(pg_bin_dir=held.bin_dir, scratch_dir=scratch)
    with backed_up(service, postgresql_shop) as (client, backup_id):
        before, rows = postgresql_shop.names(), postgresql_shop.rows()
        answer = ask_for_restore(client, backup_id, mode="replace", confirm="shop")
        held.wait_until_held()
        assert len(postgresql_shop.names()) == 2
        service.kill()
        held.let_go()
        service.start()
        wait_until(lambda: postgresql_shop.names() == before, seconds=30, what="what was left to be swept")
        service.sign_in(client)
        ended = restored(client, answer)
        assert (ended["status"], ended["error_code"]) == ("failed", "ERR_RESTORE_FAILED")
        assert postgresql_shop.rows() == rows
        assert scratch_leftovers(scratch) == []
        assert (
            restored(client, ask_for_restore(client, backup_id, mode="replace", confirm="shop"))["status"] == "success"
        )
