"""Scratch folders and stores that fail: each backup ends in a clear error, leaves nothing, and the next one works."""

import os
from pathlib import Path

import pytest

from support.backing_up import (
    assert_failed,
    assert_stored,
    assert_totals_add_up,
    backup,
    files_below,
    register,
    scratch_leftovers,
    store_settings,
    stored_files,
    trigger,
    upload_of_a_dump,
)
from support.faulty_proxy import FaultyS3, Request, any_upload
from support.filesystems import SmallFilesystem
from support.postgres import PostgresServer
from support.service import ServiceFactory
from support.sqlite_data import make_sqlite_database

MEGABYTE = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> str:
    """The URL of a SQLite database of three megabytes, half of it random."""
    make_sqlite_database(tmp_path / "source.db", megabytes=3)
    return f"sqlite:///{tmp_path / 'source.db'}"


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue
    return ballast


def test_a_full_scratch_folder(service_factory: ServiceFactory, small_filesystem: SmallFilesystem, source: str) -> None:
    scratch = small_filesystem(MEGABYTE)
    service = service_factory(scratch_dir=scratch)
    with service.signed_in_client() as client:
        register(client, "big", source)
        assert_failed(trigger(client, "big"), client, target="big", saying="full")
        assert files_below(scratch) == stored_files(service) == []
        assert_stored(trigger(client))  # what is small enough still fits

        ballast = fill(scratch)
        assert_failed(trigger(client), client, saying="full")
        ballast.unlink()
        assert_stored(trigger(client))
        assert assert_totals_add_up(client)["failed_backups"] == 2
    assert files_below(scratch) == []


@pytest.mark.postgres
def test_a_full_scratch_folder_for_postgresql(
    service_factory: ServiceFactory, small_filesystem: SmallFilesystem, any_postgres: PostgresServer
) -> None:
    scratch = small_filesystem(64 * 1024)
    service = service_factory(scratch_dir=scratch, pg_bin_dir=any_postgres.bin_dir)
    with service.signed_in_client() as client:
        register(client, "server", any_postgres.url())
        ballast = fill(scratch)
        assert_failed(trigger(client, "server"), client, target="server", saying="No space left on device")
        assert scratch_leftovers(scratch) == stored_files(service) == []
        ballast.unlink()
        assert_stored(trigger(client, "server"))


def test_a_scratch_folder_that_can_not_be_written(service_factory: ServiceFactory, tmp_path: Path) -> None:
    a_file = tmp_path / "a-file"
    a_file.write_text("not a folder")
    service = service_factory(scratch_dir=a_file)
    with service.signed_in_client() as client:
        reason = assert_failed(trigger(client), client, saying=str(a_file))
        assert "HHH_SCRATCH_DIR" in reason
        assert stored_files(service) == []
        a_file.unlink()
        assert_stored(trigger(client))


def test_a_full_local_store(
    service_factory: ServiceFactory, small_filesystem: SmallFilesystem, source: str, scratch: Path
) -> None:
    store = small_filesystem(MEGABYTE)
    service = service_factory(storage_url=store.as_uri(), scratch_dir=scratch)
    with service.signed_in_client() as client:
        register(client, "big", source)
        assert_failed(trigger(client, "big"), client, target="big", saying="No space left on device")
        assert files_below(store) == scratch_leftovers(scratch) == []

        ballast = fill(store)
        assert_failed(trigger(client), client, saying="No space left on device")
        assert files_below(store) == ["ballast"]
        ballast.unlink()
        assert_stored(trigger(client))
    assert len(files_below(store)) == 3
    assert scratch_leftovers(scratch) == []


def test_a_local_store_that_is_not_there(service_factory: ServiceFactory, tmp_path: Path, scratch: Path) -> None:
    store = tmp_path / "store"
    store.write_text("not a folder")
    service = service_factory(storage_url=store.as_uri(), scratch_dir=scratch)
    with service.signed_in_client() as client:
        assert_failed(trigger(client), client, saying=str(store))
        store.unlink()
        assert_stored(trigger(client))
    assert scratch_leftovers(scratch) == []


def a_manifest(request: Request) -> bool:
    return any_upload(request) and request.path.endswith(".sql.json")


def the_facts(request: Request) -> bool:
    return any_upload(request) and request.path.endswith(".facts.json")


@pytest.mark.s3
def test_an_object_store_that_refuses(service_factory: ServiceFactory, faulty_s3: FaultyS3, scratch: Path) -> None:
    service = service_factory(**store_settings(faulty_s3), scratch_dir=scratch)
    with service.signed_in_client() as client:
        for where in (upload_of_a_dump, the_facts, a_manifest):
            fault = faulty_s3.proxy.answer(403, where=where)
            assert_failed(trigger(client), client, saying="403 Forbidden")
            assert fault.hits > 0
            keys, uploads = faulty_s3.bucket.keys(), faulty_s3.bucket.unfinished_uploads()
            assert keys == uploads == scratch_leftovers(scratch) == []
            faulty_s3.proxy.clear()
        assert_stored(trigger(client))
        assert assert_totals_add_up(client)["failed_backups"] == 3
    assert scratch_leftovers(scratch) == []


@pytest.mark.s3
def test_an_object_store_that_stumbles_is_asked_again(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, source: str, scratch: Path
) -> None:
    service = service_factory(**store_settings(faulty_s3), scratch_dir=scratch)
    with service.signed_in_client() as client:
        register(client, "big", source)
        faults = [
            faulty_s3.proxy.drop(where=upload_of_a_dump, after_bytes=100_000, times=1),
            faulty_s3.proxy.answer(500, where=upload_of_a_dump, times=1),
            faulty_s3.proxy.answer(503, times=1),
            faulty_s3.proxy.answer(500, where=a_manifest, times=1),
            faulty_s3.proxy.drop(where=a_manifest, times=1),
        ]
        answer = assert_stored(trigger(client, "big"))
        assert [fault.hits for fault in faults] == [1] * len(faults)
        (copy,) = backup(client, answer["backup_id"])["copies"]
        assert len(faulty_s3.bucket.read(copy["key"])) == answer["backup_size"] > MEGABYTE
        assert len(faulty_s3.bucket.keys()) == 3
    assert scratch_leftovers(scratch) == []


@pytest.mark.s3
def test_what_can_not_be_removed_is_told_in_the_log(service_factory: ServiceFactory, faulty_s3: FaultyS3) -> None:
    service = service_factory(**store_settings(faulty_s3))
    with service.signed_in_client() as client:
        faulty_s3.proxy.answer(403, where=a_manifest)
        faulty_s3.proxy.answer(403, where=lambda request: "delete" in request.query)
        assert_failed(trigger(client), client)
        faulty_s3.proxy.clear()
        assert not any(key.endswith(".sql.json") for key in faulty_s3.bucket.keys())  # noqa: SIM118  not a mapping
        assert "something is left of backup_" in service.log()
        assert_stored(trigger(client))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_below_the_own_database(service_factory: ServiceFactory, small_filesystem: SmallFilesystem) -> None:
    disk = small_filesystem(2 * MEGABYTE)
    service = service_factory(database_url=f"sqlite:///{disk / 'own.db'}")
    with service.signed_in_client() as client:
        assert_stored(trigger(client))
        ballast = fill(disk)
        refused = [trigger(client) for _ in range(3)]
        assert {answer.status_code for answer in refused} <= {500, 503}
        ballast.unlink()
        assert_stored(trigger(client))
        assert assert_totals_add_up(client)["successful_backups"] == 2
    assert len([name for name in stored_files(service) if name.endswith(".sql.json")]) == 2
