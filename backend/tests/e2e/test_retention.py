"""Retention through the API of a running service, which prunes by itself."""

from typing import Any

import httpx
import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import Policy
from support.backing_up import (
    BACKUPS,
    TARGETS,
    assert_stored,
    assert_totals_add_up,
    store_settings,
    stored_files,
    trigger,
)
from support.faulty_proxy import FaultyS3
from support.service import Service, ServiceFactory
from support.waiting import wait_until


def keep(service: Service, target: str, **rules: int) -> None:
    database = Database(f"sqlite:///{service.data_dir}/hhh.db")
    with database.transaction() as session:
        session.merge(Policy(target=target, stores=[], retries=0, retention=rules, updated_at=utcnow()))
    database.close()


def take(client: httpx.Client) -> dict[str, Any]:
    return assert_stored(trigger(client))


def listed(client: httpx.Client) -> list[str]:
    return [each["id"] for each in client.get(BACKUPS).raise_for_status().json()["items"]]


def test_a_service_prunes_after_each_backup_of_a_target_with_rules(service: Service) -> None:
    with service.signed_in_client() as client:
        keep(service, "app", keep_last=2)
        taken = [take(client)["backup_id"] for _ in range(4)]
        wait_until(lambda: listed(client) == taken[:1:-1], seconds=30, what="the prune")
        wait_until(lambda: len(stored_files(service)) == 6, what="the end of the objects")
        assert assert_totals_add_up(client)["total_backups"] == 2


def test_a_plan_tries_other_rules_without_saving_them(service: Service) -> None:
    with service.signed_in_client() as client:
        older, newer = (take(client)["backup_id"] for _ in range(2))
        saved = client.get(f"{TARGETS}/app/retention").raise_for_status().json()
        assert (saved["rules"], saved["saved"], saved["kept"], saved["dropped"]) == (None, True, 2, 0)
        tried = client.get(f"{TARGETS}/app/retention", params={"keep_last": 1}).raise_for_status().json()
        assert (tried["rules"]["keep_last"], tried["saved"]) == (1, False)
        assert [(each["backup_id"], each["keep"], each["reasons"]) for each in tried["backups"]] == [
            (newer, True, ["newest good", "last 1 of 1"]),
            (older, False, ["no rule keeps it"]),
        ]
        for wrong in ({"keep_last": 0}, {"dialy": 1}):
            assert client.get(f"{TARGETS}/app/retention", params=wrong).status_code == 422
        assert client.get(f"{TARGETS}/nobody/retention").status_code == 404


def test_a_prune_on_demand_answers_at_once_and_removes(service: Service) -> None:
    with service.signed_in_client() as client:
        older, newer = (take(client)["backup_id"] for _ in range(2))
        keep(service, "app", keep_last=1)
        accepted = client.post(f"{TARGETS}/app/prune")
        assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
        assert accepted.headers["Location"] == f"{TARGETS}/app/retention"
        wait_until(lambda: listed(client) == [newer], what="the prune")
        assert client.get(f"{BACKUPS}/{older}").status_code == 404
        assert client.post(f"{TARGETS}/nobody/prune").status_code == 404


def test_pins_hold_and_deletions_are_asked_for_by_name(service: Service) -> None:
    with service.signed_in_client() as client:
        old, new = take(client), take(client)
        pinned = client.post(f"{BACKUPS}/{old['backup_id']}/pin")
        assert (pinned.status_code, pinned.json()["pinned"]) == (200, True)
        for backup, reason in ((old, "pinned"), (new, "newest good")):
            refused = client.delete(f"{BACKUPS}/{backup['backup_id']}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "ERR_BACKUP_PROTECTED")
            assert refused.json()["error"]["reasons"] == [reason]
        assert client.post(f"{BACKUPS}/{old['backup_id']}/unpin").json()["pinned"] is False

        accepted = client.delete(f"{BACKUPS}/{old['backup_id']}")
        assert (accepted.status_code, accepted.json()) == (202, {"backup_id": old["backup_id"], "status": "deleting"})
        assert listed(client) == [new["backup_id"]]
        wrong = client.delete(f"{BACKUPS}/{new['backup_id']}", params={"force": old["backup_file"]})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "ERR_VALIDATION")
        by_name = client.request("DELETE", f"{BACKUPS}/{new['backup_id']}", json={"force": new["backup_file"]})
        assert by_name.status_code == 202
        wait_until(lambda: stored_files(service) == [], what="the end of the objects")
        assert assert_totals_add_up(client)["total_backups"] == 0


@pytest.mark.s3
def test_a_service_that_is_killed_while_it_prunes_goes_on_after_its_start(
    faulty_s3: FaultyS3, service_factory: ServiceFactory
) -> None:
    service = service_factory(**store_settings(faulty_s3))
    with service.signed_in_client() as client:
        taken = [take(client)["backup_id"] for _ in range(3)]
        keep(service, "app", keep_last=1)
        removals = faulty_s3.proxy.stall(where=lambda request: "delete" in request.query)
        client.post(f"{TARGETS}/app/prune").raise_for_status()
        removals.wait_for_hit()
    service.kill()
    removals.release()
    service.start()
    with service.signed_in_client() as client:
        wait_until(lambda: len(faulty_s3.bucket.keys()) == 3, seconds=60, what="the end of the prune")
        wait_until(lambda: listed(client) == taken[2:], what="the catalogue")
        assert assert_totals_add_up(client)["total_backups"] == 1
        wait_until(
            lambda: client.get(f"{TARGETS}/app/retention").json()["removals"] == [], what="the end of the tombstones"
        )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{BACKUPS}/x/pin"),
        ("POST", f"{BACKUPS}/x/unpin"),
        ("DELETE", f"{BACKUPS}/x"),
        ("GET", f"{TARGETS}/app/retention"),
        ("POST", f"{TARGETS}/app/prune"),
    ],
)
def test_nobody_but_a_super_admin_may_look_or_remove(shared_service: Service, method: str, path: str) -> None:
    with shared_service.client() as client:
        assert client.request(method, path).status_code == 403
    with shared_service.signed_in_client() as client:
        if method != "GET":
            del client.headers["X-CSRF-Token"]
            assert client.request(method, path).json()["error"]["code"] == "ERR_CSRF_INVALID"
