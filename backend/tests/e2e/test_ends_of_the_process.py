"""A service, or a command beside it, that ends while a backup runs: by SIGKILL, or because it is asked to."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.backing_up import (
    BACKUPS,
    assert_stored,
    assert_totals_add_up,
    backup,
    hhh,
    newest,
    register,
    scratch_leftovers,
    store_settings,
    stored_files,
    trigger,
    triggering,
    upload_of_a_dump,
    wait_for_end,
)
from support.commands import beside
from support.faulty_proxy import FaultyS3
from support.service import Service, ServiceFactory, hhh_command
from support.session import current_session
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

pytestmark = pytest.mark.s3

_IMPATIENT = """
from functools import partial
from hhh.cli import main
from hhh.jobs import embedded, runtime
runtime.embedded_queue = partial(embedded.embedded_queue, grace=0.1, ending=0.1)
main()
"""
#: `hhh serve` that gives jobs next to no time to end.
IMPATIENT = [sys.executable, "-c", _IMPATIENT, "serve"]


def manifests(store: FaultyS3) -> list[str]:
    keys = store.bucket.keys()
    return [key for key in keys if key.endswith(".sql.json")]


def test_after_sigkill_the_backup_is_taken_again_from_its_start_and_then_the_next_one(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, own: dict[str, Any], scratch: Path
) -> None:
    service = service_factory(**store_settings(faulty_s3), **own, scratch_dir=scratch)
    with service.signed_in_client() as client:
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
        killed = trigger(client, respond_async=True).json()["backup_id"]
        stall.wait_for_hit()
        assert scratch_leftovers(scratch) != []
        service.kill()
    faulty_s3.proxy.clear()
    service.start()
    with service.signed_in_client() as client:
        row = wait_for_end(client, killed)
        assert (row["status"], row["error"], len(row["copies"])) == ("success", None, 1)
        answer = assert_stored(trigger(client))
        assert assert_totals_add_up(client)["successful_backups"] == 2
    assert scratch_leftovers(scratch) == []
    names = sorted(f"{file}.json" for file in (row["backup_file"], answer["backup_file"]))
    assert sorted(key.rsplit("/", 1)[1] for key in manifests(faulty_s3)) == names


@pytest.mark.soak
def test_what_ran_and_what_was_queued_at_sigkill_is_taken_after_the_restart(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    service = service_factory(**store_settings(faulty_s3))
    with service.signed_in_client() as client:
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
        names = [add_sqlite_target(client, tmp_path, number) for number in range(8)]
        accepted = [trigger(client, name, respond_async=True).json()["backup_id"] for name in names]
        stall.wait_for_hit(4)
        service.kill()
    faulty_s3.proxy.clear()
    service.start()
    with service.signed_in_client() as client:
        ends = [wait_for_end(client, backup_id)["status"] for backup_id in accepted]
        assert ends == ["success"] * 8
        for name in names:
            assert_stored(trigger(client, name))


def test_the_backup_of_a_killed_command_is_taken_over_by_the_server(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, scratch: Path
) -> None:
    service = service_factory(**store_settings(faulty_s3), scratch_dir=scratch)
    with service.signed_in_client() as client:
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump, times=1)
        with beside(service, "backup", "run") as command:
            stall.wait_for_hit()
            assert trigger(client).status_code == 409
            command.kill()
        assert wait_for_end(client, newest(client)["id"])["status"] == "success"
        assert_stored(trigger(client))
        assert assert_totals_add_up(client)["successful_backups"] == 2
        wait_until(lambda: scratch_leftovers(scratch) == [], what="the server to sweep what the command left")
        stall.release()


def test_a_terminated_command_records_its_backup_as_failed(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, scratch: Path
) -> None:
    service = service_factory(**store_settings(faulty_s3), scratch_dir=scratch)
    with service.signed_in_client() as client:
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump, times=1)
        with beside(service, "backup", "run") as command:
            stall.wait_for_hit()
            command.send_signal(signal.SIGTERM)
            stall.release()
            assert command.wait(timeout=30) not in {0, 2}
        row = newest(client)
        assert (row["status"], row["copies"]) == ("failed", [])
        assert "interrupted" in row["error"].lower()
        assert_stored(trigger(client))
    assert scratch_leftovers(scratch) == []
    assert len(manifests(faulty_s3)) == 1


def test_a_service_that_is_asked_to_stop_lets_a_running_backup_end_and_answers(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, scratch: Path
) -> None:
    service = service_factory(**store_settings(faulty_s3), scratch_dir=scratch)
    with service.signed_in_client() as client:
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
        with triggering(client) as waiting:
            stall.wait_for_hit()
            service.send(signal.SIGTERM)
            wait_until(lambda: not service.is_healthy(), what="the service to refuse new requests")
            stall.release()
            answer = assert_stored(waiting.result())
        service.terminate()
    assert scratch_leftovers(scratch) == []
    assert len(manifests(faulty_s3)) == 1
    service.start()
    with service.signed_in_client() as client:
        assert backup(client, answer["backup_id"])["status"] == "success"
        assert assert_totals_add_up(client)["total_backups"] == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_service_that_is_asked_to_stop_does_not_wait_for_a_store_that_hangs(
    faulty_s3: FaultyS3, scratch: Path, how: signal.Signals
) -> None:
    settings = {"storage_url": faulty_s3.bucket.url(), "scratch_dir": scratch}
    folder, environment = current_session().new_folder("service"), faulty_s3.bucket.environment()
    with Service(folder, settings, environment=environment, command=IMPATIENT) as service:
        stop_while_the_store_hangs(service, faulty_s3, how)
        service.start()
        with service.signed_in_client() as client:
            assert wait_for_end(client, newest(client)["id"])["status"] == "success"
            assert_stored(trigger(client))
            assert assert_totals_add_up(client)["successful_backups"] == 2
    assert scratch_leftovers(scratch) == []
    assert len(manifests(faulty_s3)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have namespaces everywhere")
def test_a_service_that_is_the_first_process_of_a_container_ends_as_others_do(
    faulty_s3: FaultyS3, scratch: Path
) -> None:
    settings = {"storage_url": faulty_s3.bucket.url(), "scratch_dir": scratch}
    folder, environment = current_session().new_folder("service"), faulty_s3.bucket.environment()
    container = ["unshare", "--pid", "--fork", "--kill-child", *hhh_command(), "serve"]
    with Service(folder, settings, environment=environment, command=container) as service:
        [first] = psutil.Process(service.pid).children()
        with service.signed_in_client() as client:
            stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
            trigger(client, respond_async=True)
            stall.wait_for_hit()
            first.terminate()
            wait_until(lambda: not service.is_healthy(), what="the service to refuse new requests")
            first.terminate()
            wait_until(lambda: not service.is_running(), what="the end of the service")
        assert service.exit_code == 128 + signal.SIGTERM
    faulty_s3.proxy.clear()


@pytest.mark.soak
def test_the_command_backs_up_without_a_server(service_factory: ServiceFactory) -> None:
    service = service_factory()
    service.terminate()
    done = hhh(service, "backup", "run", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert any(name.endswith(".sql.json") for name in stored_files(service))
    service.start()
    with service.signed_in_client() as client:
        assert client.get(BACKUPS).json()["items"][0]["status"] == "success"


def add_sqlite_target(client: httpx.Client, folder: Path, number: int) -> str:
    make_sqlite_database(folder / f"t{number}.db", megabytes=0.02)
    return register(client, f"t{number}", f"sqlite:///{folder}/t{number}.db")


def stop_while_the_store_hangs(service: Service, store: FaultyS3, how: signal.Signals) -> None:
    with service.signed_in_client() as client:
        stall = store.proxy.stall(where=upload_of_a_dump)
        with triggering(client) as waiting:
            stall.wait_for_hit()
            service.terminate(how)
            answer = waiting.result()
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ERR_BACKUP_FAILED")
            assert "it goes on as soon as a worker is there" in answer.json()["detail"]
    store.proxy.clear()
