"""A service whose target goes to two folders and to S3: S3 fails, hangs, and comes back; the service is killed."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backing_up import assert_stored, backup, files_below, hhh, newest, trigger, triggering, wait_for_end
from support.faulty_proxy import FaultyS3, Request, any_request, any_upload, completion
from support.service import Service, ServiceFactory
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

pytestmark = pytest.mark.s3

#: A disk with much to do keeps good stores waiting for a second as well.
STALL_SECONDS = 3


@pytest.fixture
def service(service_factory: ServiceFactory) -> Service:
    return service_factory(store_stall_seconds=STALL_SECONDS)


def set_up(
    service: Service, client: httpx.Client, cloud: FaultyS3, folder: Path, *, minimum: int | None = 2, megabytes: float
) -> None:
    """A target `shop` that goes to `default`, to a second folder and to the cloud."""
    bucket = cloud.bucket
    options = {
        "endpoint_url": bucket.endpoint,
        "access_key_id": bucket.access_key_id,
        "secret_access_key": bucket.secret_access_key,
        "region": bucket.region,
    }
    stores: list[dict[str, Any]] = [
        {"name": "second", "url": (folder / "second").as_uri()},
        {"name": "cloud", "url": bucket.url("prefix"), "options": options},
    ]
    for store in stores:
        client.post("/api/v1/storages", json=store).raise_for_status()
    make_sqlite_database(folder / "shop.db", megabytes=megabytes)
    target = {
        "name": "shop",
        "url": f"sqlite:///{folder / 'shop.db'}",
        "storages": ["default", "second", "cloud"],
        "minimum_copies": minimum,
    }
    client.post("/api/v1/targets", json=target).raise_for_status()


def cloud_files(cloud: FaultyS3) -> dict[str, bytes]:
    return {key.removeprefix("prefix/"): cloud.bucket.read(key) for key in cloud.bucket.keys("prefix")}


def folder_files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def states(found: dict[str, Any]) -> dict[str, str]:
    return {copy["storage"]: copy["status"] for copy in found["copies"]}


def a_manifest(request: Request) -> bool:
    return any_upload(request) and request.path.endswith(".sql.json")


def test_a_backup_is_the_same_in_two_folders_and_in_s3(service: Service, faulty_s3: FaultyS3, tmp_path: Path) -> None:
    with service.signed_in_client() as client:
        set_up(service, client, faulty_s3, tmp_path, megabytes=20)
        answer = assert_stored(trigger(client, "shop"))
        found = backup(client, answer["backup_id"])

    assert states(found) == {"cloud": "stored", "default": "stored", "second": "stored"}
    first = folder_files(service.data_dir / "backups")
    assert len(first) == 3
    assert first == folder_files(tmp_path / "second") == cloud_files(faulty_s3)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        pytest.param(any_request, "stall", id="hangs", marks=pytest.mark.soak),
        pytest.param(completion, "stall", id="hangs at the end"),
        pytest.param(a_manifest, "stall", id="hangs at the manifest", marks=pytest.mark.soak),
        pytest.param(any_request, "drop", id="drops everything", marks=pytest.mark.soak),
    ],
)
def test_a_cloud_that_fails_is_gone_on_without_and_repaired_by_itself(
    service: Service, faulty_s3: FaultyS3, tmp_path: Path, where: Any, what: str
) -> None:
    with service.signed_in_client() as client:
        set_up(service, client, faulty_s3, tmp_path, megabytes=20)
        if what == "stall":
            faulty_s3.proxy.stall(where=where)
        else:
            faulty_s3.proxy.drop(where=where)
        answer = assert_stored(trigger(client, "shop"))
        found = backup(client, answer["backup_id"])
        assert states(found) == {"cloud": "missing", "default": "stored", "second": "stored"}
        [error] = [copy["error"] for copy in found["copies"] if copy["error"]]
        assert "s3://" in error
        assert "store_dropped" in service.log()
        faulty_s3.proxy.clear()
        # Whoever asks first: the service by itself, or this request.
        client.post("/api/v1/targets/shop/repair")
        wait_until(
            lambda: states(backup(client, answer["backup_id"]))["cloud"] == "stored", seconds=60, what="the repair"
        )
    assert cloud_files(faulty_s3) == folder_files(tmp_path / "second")


def test_a_folder_whose_disk_is_not_mounted_is_gone_on_without_and_not_made_anew(
    service: Service, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    with service.signed_in_client() as client:
        set_up(service, client, faulty_s3, tmp_path, megabytes=1)
        assert_stored(trigger(client, "shop"))
        (tmp_path / "second").rename(tmp_path / "unmounted")

        answer = assert_stored(trigger(client, "shop"))

        found = backup(client, answer["backup_id"])
        assert states(found) == {"cloud": "stored", "default": "stored", "second": "missing"}
        assert any("is its disk mounted?" in (copy["error"] or "") for copy in found["copies"])
        assert not (tmp_path / "second").exists()
        told = hhh(service, "doctor", "--repair")
        assert "is its disk mounted?" in told.stdout
        (tmp_path / "unmounted").rename(tmp_path / "second")
        client.post("/api/v1/targets/shop/repair")
        wait_until(
            lambda: states(backup(client, answer["backup_id"]))["second"] == "stored", seconds=60, what="the repair"
        )
    assert cloud_files(faulty_s3) == folder_files(tmp_path / "second")


def test_a_cloud_that_is_needed_fails_the_backup_and_nothing_is_left(
    service: Service, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    with service.signed_in_client() as client:
        set_up(service, client, faulty_s3, tmp_path, minimum=None, megabytes=1)
        faulty_s3.proxy.answer(403, where=any_upload)
        assert trigger(client, "shop").status_code == 500
        assert newest(client, "shop")["copies"] == []
    assert folder_files(service.data_dir / "backups") == folder_files(tmp_path / "second") == {}
    assert cloud_files(faulty_s3) == {}


def test_after_sigkill_in_the_middle_every_store_has_the_same_and_no_more(
    service: Service, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    with service.signed_in_client() as client:
        set_up(service, client, faulty_s3, tmp_path, minimum=None, megabytes=20)
        stall = faulty_s3.proxy.stall(where=a_manifest)
        with triggering(client, "shop") as waiting:
            stall.wait_for_hit()
            killed = newest(client, "shop")["id"]
            service.kill()
            assert isinstance(waiting.exception(), httpx.HTTPError)
        faulty_s3.proxy.clear()
    service.start()
    with service.signed_in_client() as client:
        ended = wait_for_end(client, killed, seconds=60)
    assert ended["status"] == "success"
    first = folder_files(service.data_dir / "backups")
    assert first == folder_files(tmp_path / "second") == cloud_files(faulty_s3)
    assert len(first) == 3


@pytest.mark.soak
def test_the_command_repairs_and_tells_what_it_could_not(service: Service, faulty_s3: FaultyS3, tmp_path: Path) -> None:
    with service.signed_in_client() as client:
        set_up(service, client, faulty_s3, tmp_path, megabytes=1)
        faulty_s3.proxy.answer(403)
        answer = assert_stored(trigger(client, "shop"))
        assert client.post("/api/v1/targets/nobody/repair").status_code == 404
    service.terminate()
    failed = hhh(service, "backup", "repair", "shop")
    assert failed.returncode == 1
    assert "1 copy could not be made" in failed.stdout

    faulty_s3.proxy.clear()
    done = hhh(service, "backup", "repair")
    assert (done.returncode, done.stderr.count("copy_made")) == (0, 1), done.stderr
    assert "shop: 1 copy made: backup_" in done.stdout
    assert done.stdout.endswith(".sql in cloud\n")
    shown = hhh(service, "backup", "show", answer["backup_id"])
    assert shown.stdout.count("(stored,") == 3
    assert cloud_files(faulty_s3) == folder_files(tmp_path / "second")
    again = hhh(service, "backup", "repair", "--json")
    assert again.stdout.strip() == "[]"
