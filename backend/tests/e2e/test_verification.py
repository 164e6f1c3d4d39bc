"""A service that looks after its backups by itself: verified once they are stored, and bad copies made again."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backing_up import BACKUPS, TARGETS, assert_stored, backup, hhh, trigger
from support.service import Service
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

STORAGES = "/api/v1/storages"
VERIFICATIONS = "/api/v1/verifications"


def with_two_stores(client: httpx.Client, folder: Path, **policy: Any) -> None:
    """The target `shop`, whose backups go to `default` and `second`."""
    make_sqlite_database(folder / "shop.db", megabytes=0.1)
    client.post(STORAGES, json={"name": "second", "url": (folder / "second").as_uri()}).raise_for_status()
    target = {"name": "shop", "url": f"sqlite:///{folder}/shop.db", "storages": ["default", "second"], **policy}
    client.post(TARGETS, json=target).raise_for_status()


def test_each_backup_is_proven_by_itself_where_its_target_says_so(service: Service, tmp_path: Path) -> None:
    with service.signed_in_client() as client:
        with_two_stores(client, tmp_path, verify_after_backup="proven", fingerprint="full")
        taken = assert_stored(trigger(client, "shop"))

        def verified() -> dict[str, Any]:
            found: dict[str, Any] = backup(client, taken["backup_id"])["verified"] or {}
            return found

        assert wait_until(verified, seconds=60, what="the proof of the backup")["level"] == "proven"
        [found] = client.get(VERIFICATIONS, params={"target": "shop"}).json()["items"]

        left = hhh(service, "backup", "verify", taken["backup_id"], "--level", "stored", "--detach", "--json")

        path = f"{VERIFICATIONS}/{json.loads(left.stdout)['verification_id']}"
        wait_until(lambda: client.get(path).json()["status"] == "success", seconds=60, what="what was left to it")
    assert (found["requested_by"], found["status"], found["differences"]) == ("policy", "success", [])


@pytest.mark.soak
def test_a_flipped_byte_in_one_of_two_stores_is_found_told_and_repaired_by_itself(
    service: Service, tmp_path: Path
) -> None:
    with service.signed_in_client() as client:
        with_two_stores(client, tmp_path)
        backup_id = assert_stored(trigger(client, "shop"))["backup_id"]
        key = backup(client, backup_id)["copies"][1]["key"]
        damaged = tmp_path / "second" / key
        good = damaged.read_bytes()
        damaged.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

        failed = hhh(service, "backup", "verify", backup_id)

        assert failed.returncode == 1
        assert "The copy in second is damaged: " in failed.stderr
        assert "hhh backup repair shop" in failed.stderr
        [found] = client.get(VERIFICATIONS, params={"status": "failed"}).json()["items"]
        assert found["error"].startswith("second: ")
        wait_until(lambda: damaged.read_bytes() == good, seconds=60, what="the copy to be made again")
        wait_until(lambda: _is_whole(client, backup_id), seconds=30, what="the catalogue to say so")
    assert hhh(service, "backup", "verify", backup_id).returncode == 0


def _is_whole(client: httpx.Client, backup_id: str) -> bool:
    copies = client.get(f"{BACKUPS}/{backup_id}").raise_for_status().json()["copies"]
    return [copy["status"] for copy in copies] == ["stored", "stored"]
