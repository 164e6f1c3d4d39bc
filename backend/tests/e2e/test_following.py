"""A backup under way: followed by streams of events and by a command, and cancelled, through a real service."""

import contextlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
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
    stored_files,
    trigger,
    wait_for_end,
)
from support.commands import beside
from support.following import following
from support.held_dumps import HeldDumps
from support.many_machines import Founding, many_machines
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.restoring import RESTORES, ask_for_restore
from support.service import Service, ServiceFactory
from support.waiting import wait_until

__all__ = ["many_machines"]

pytestmark = pytest.mark.postgres

MEGABYTES = 8  # more than the buffers between a server and a held pg_dump
PROGRESS = {
    "stage",
    "raw_bytes",
    "stored_bytes",
    "expected_bytes",
    "bytes_per_second",
    "percent",
    "seconds_left",
    "attempt",
    "doing",
}


class Shop(NamedTuple):
    """A database on a server, and its dumps, which are held in the middle."""

    server: PostgresServer
    database: str
    dumps: HeldDumps

    @property
    def url(self) -> str:
        return self.server.url(self.database)


@pytest.fixture
def shop(any_postgres: PostgresServer, tmp_path: Path) -> Iterator[Shop]:
    database = any_postgres.create_database()
    with any_postgres.connect(database) as connection:
        make_realistic_database(connection, megabytes=MEGABYTES)
    yield Shop(any_postgres, database, HeldDumps(tmp_path, any_postgres))
    any_postgres.drop_database(database)


@pytest.fixture
def service(service_factory: ServiceFactory, shop: Shop, scratch: Path) -> Service:
    return service_factory(pg_bin_dir=shop.dumps.bin_dir, scratch_dir=scratch, worker_slots=1)


@contextlib.contextmanager
def held_backup(service: Service, shop: Shop) -> Iterator[tuple[httpx.Client, str]]:
    """A signed-in client, and the id of a backup that is held in the middle of its dump."""
    with service.signed_in_client() as client:
        register(client, "shop", shop.url)
        backup_id = trigger(client, "shop", respond_async=True).json()["backup_id"]
        shop.dumps.wait_until_held()
        yield client, backup_id


def events_of(backup_id: str) -> str:
    return f"{BACKUPS}/{backup_id}/events"


def cancel(client: httpx.Client, backup_id: str) -> httpx.Response:
    return client.post(f"{BACKUPS}/{backup_id}/cancel")


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def assert_cancelled(service: Service, client: httpx.Client, backup_id: str, shop: Shop, scratch: Path) -> None:
    """It has ended so, and left nothing: no process, no object, no scratch, no session on the server."""
    found = wait_for_end(client, backup_id)
    assert (found["status"], found["error"], found["copies"]) == ("cancelled", "The backup was cancelled", [])
    assert shop.dumps.pg_dumps(service.pid) == []
    assert stored_files(service) == []
    assert scratch_leftovers(scratch) == []
    assert assert_totals_add_up(client)["failed_backups"] == 1
    refused(cancel(client, backup_id), 409, "ERR_ALREADY_ENDED")


def test_a_backup_is_followed_to_its_end_and_from_where_a_client_left_off(service: Service, shop: Shop) -> None:
    with held_backup(service, shop) as (client, backup_id):
        with following(client, events_of(backup_id)) as stream:
            assert stream.response.headers["Content-Type"].startswith("text/event-stream")
            assert stream.response.headers["X-Accel-Buffering"] == "no"
            assert "no-store" in stream.response.headers["Cache-Control"]
            first = stream.next()
            assert (first.name, first.data["status"], first.data["attempt"]) == ("state", "running", 1)
            assert stream.retry == "2000"
            since = itertools.chain([first], stream.events())
            told = next(event for event in since if (event.data["progress"] or {}).get("raw_bytes"))
            assert told.data["progress"].keys() == PROGRESS
            assert told.data["progress"]["stage"] == "stream"
            assert told.data["progress"]["percent"] is not None
            assert backup(client, backup_id)["progress"].keys() == PROGRESS
            shop.dumps.let_go()
            events = list(stream.events())
        assert {event.name for event in events[:-1]} <= {"state", "progress"}
        last = events[-1]
        assert (last.name, last.data["status"], last.data["progress"]) == ("end", "success", None)
        ids = [tuple(map(int, event.id.split("/"))) for event in [first, *events]]
        assert ids == sorted(set(ids))

        for heard in (first.id, None):
            with following(client, events_of(backup_id), heard=heard) as stream:
                assert [event.name for event in stream.events()] == ["end"]
        again = client.get(events_of(backup_id), headers={"Last-Event-ID": last.id})
        assert (again.status_code, again.content) == (204, b"")


@pytest.mark.soak
def test_a_restore_is_followed_as_well(service: Service, shop: Shop) -> None:
    shop.dumps.let_go()
    with service.signed_in_client() as client:
        register(client, "shop", shop.url)
        backup_id = assert_stored(trigger(client, "shop"))["backup_id"]
        restore_id = ask_for_restore(client, backup_id, destination=f"{shop.database}_new", dry_run=True).json()[
            "restore_id"
        ]
        with following(client, f"{RESTORES}/{restore_id}/events") as stream:
            last = list(stream.events())[-1]
        assert (last.name, last.data["kind"], last.data["status"]) == ("end", "restore", "success")
        refused(client.get(f"{RESTORES}/{backup_id}/events"), 404, "ERR_NOT_FOUND")


def test_only_a_super_admin_follows_and_cancels(service: Service, shop: Shop) -> None:
    with held_backup(service, shop) as (client, backup_id), service.client() as nobody:
        nobody.get("/api/v1/auth/health")
        nobody.headers["X-CSRF-Token"] = nobody.cookies["hhh_csrf"]
        refused(nobody.get(events_of(backup_id)), 403, "ERR_SUPERADMIN_REQUIRED")
        refused(cancel(nobody, backup_id), 403, "ERR_SUPERADMIN_REQUIRED")
        token = client.headers.pop("X-CSRF-Token")
        refused(cancel(client, backup_id), 403, "ERR_CSRF_INVALID")
        client.headers["X-CSRF-Token"] = token
        assert backup(client, backup_id)["status"] == "running"


@pytest.mark.soak
def test_a_stream_ends_with_its_session_and_the_backup_goes_on(service: Service, shop: Shop) -> None:
    with held_backup(service, shop) as (client, backup_id), service.client() as other:
        other.cookies.update(client.cookies)
        other.headers["X-CSRF-Token"] = client.headers["X-CSRF-Token"]
        with following(client, events_of(backup_id)) as stream:
            assert stream.next().name == "state"
            other.post("/api/v1/auth/logout").raise_for_status()
            assert "end" not in {event.name for event in stream.events()}
        shop.dumps.let_go()
        with service.signed_in_client() as again:
            assert wait_for_end(again, backup_id)["status"] == "success"


def test_open_streams_do_not_hold_up_a_service_that_is_asked_to_stop(service: Service, shop: Shop) -> None:
    with held_backup(service, shop) as (client, backup_id), contextlib.ExitStack() as streams:
        opened = [streams.enter_context(following(client, events_of(backup_id))) for _ in range(20)]
        for stream in opened:
            assert stream.next().name == "state"
        service.send(signal.SIGTERM)
        for stream in opened:
            # The backup is held still: it is not what ends them.
            assert "end" not in {event.name for event in stream.events()}
        assert service.is_running()
        shop.dumps.let_go()
        wait_until(lambda: not service.is_running(), seconds=30, what="the end of the service")
        assert service.exit_code == -signal.SIGTERM
    service.start()
    with service.signed_in_client() as client:
        assert backup(client, backup_id)["status"] == "success"


def test_a_backup_that_streams_is_cancelled_and_only_then_its_target_is_free(
    service: Service, shop: Shop, scratch: Path
) -> None:
    with held_backup(service, shop) as (client, backup_id), following(client, events_of(backup_id)) as stream:
        answer = cancel(client, backup_id)
        assert (answer.status_code, answer.json()) == (202, {"backup_id": backup_id, "status": "running"})
        assert answer.headers["Location"] == f"{BACKUPS}/{backup_id}"
        events = list(stream.events())
        assert (events[-1].name, events[-1].data["status"]) == ("end", "cancelled")
        assert_cancelled(service, client, backup_id, shop, scratch)
        shop.dumps.let_go()
        assert_stored(trigger(client, "shop"))


@pytest.mark.soak
def test_a_backup_that_waits_for_locks_is_cancelled(service: Service, shop: Shop, scratch: Path) -> None:
    with service.signed_in_client() as client, shop.server.connect(shop.database) as busy:
        register(client, "shop", shop.url)
        with busy.transaction():
            [(table,)] = busy.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public' LIMIT 1"
            ).fetchall()
            busy.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            backup_id = trigger(client, "shop", respond_async=True).json()["backup_id"]
            wait_until(lambda: (backup(client, backup_id)["progress"] or {}).get("stage") == "snapshot", what="a wait")
            refused(trigger(client, "shop"), 409, "ERR_BACKUP_IN_PROGRESS")
            assert cancel(client, backup_id).status_code == 202
            assert_cancelled(service, client, backup_id, shop, scratch)
        shop.dumps.let_go()
        assert_stored(trigger(client, "shop"))


@pytest.mark.soak
def test_a_backup_that_waits_for_a_worker_is_cancelled_at_once(service: Service, shop: Shop) -> None:
    with held_backup(service, shop) as (client, backup_id):
        waiting = trigger(client, "app", respond_async=True).json()["backup_id"]
        assert cancel(client, waiting).json() == {"backup_id": waiting, "status": "cancelled"}
        assert backup(client, waiting)["status"] == "cancelled"
        again = trigger(client, "app", respond_async=True).json()["backup_id"]
        shop.dumps.let_go()
        assert {wait_for_end(client, each)["status"] for each in (backup_id, again)} == {"success"}
        assert backup(client, waiting)["status"] == "cancelled"


def test_of_a_cancel_and_an_end_at_the_same_time_one_holds(service: Service, shop: Shop) -> None:
    shop.dumps.let_go()
    with service.signed_in_client() as client:
        ends = []
        for after in range(8):
            backup_id = trigger(client, "app", respond_async=True).json()["backup_id"]
            # Ever later in its life.
            for _ in range(after):
                backup(client, backup_id)
            answer = cancel(client, backup_id)
            found = wait_for_end(client, backup_id)
            assert answer.status_code in ({202} if found["status"] == "cancelled" else {202, 409})
            assert found["status"] in {"success", "cancelled"}
            assert bool(found["copies"]) == (found["status"] == "success")
            ends.append(found["status"])
        stored = [name for name in stored_files(service) if name.endswith(".sql.json")]
        assert len(stored) == ends.count("success") == assert_totals_add_up(client)["successful_backups"]


@pytest.mark.soak
def test_a_backup_of_another_machine_is_followed_and_cancelled(many_machines: Founding, shop: Shop) -> None:
    machines = many_machines()
    web = machines.web(pg_bin_dir=shop.dumps.bin_dir)
    worker = machines.worker("elsewhere", elsewhere=True)
    with held_backup(web, shop) as (client, backup_id), following(client, events_of(backup_id)) as stream:
        assert stream.next().data["status"] == "running"
        assert shop.dumps.pg_dumps(worker.pid) != []
        cancel(client, backup_id).raise_for_status()
        last = list(stream.events())[-1]
        assert (last.name, last.data["status"], last.data["error"]) == ("end", "cancelled", "The backup was cancelled")
        assert shop.dumps.pg_dumps(worker.pid) == []
        assert machines.stored() == []
        shop.dumps.let_go()
        assert_stored(trigger(client, "shop"))


@pytest.mark.parametrize("how", [pytest.param("success", marks=pytest.mark.soak), "cancelled"])
def test_the_command_follows_a_backup_of_a_service(service: Service, shop: Shop, how: str) -> None:
    with held_backup(service, shop) as (_, backup_id), beside(service, "backup", "follow", backup_id) as follower:
        if how == "success":
            shop.dumps.let_go()
        else:
            cancelled = hhh(service, "backup", "cancel", backup_id)
            assert (cancelled.returncode, cancelled.stderr) == (0, "")
            assert "Asked its worker" in cancelled.stdout or "Cancelled" in cancelled.stdout
        stdout, stderr = follower.communicate(timeout=60)
        if how == "success":
            assert (follower.returncode, stderr) == (0, "")
            assert backup_id in stdout
        else:
            assert follower.returncode == 1
            assert "The backup was cancelled" in stderr
            assert hhh(service, "backup", "cancel", backup_id).returncode == 1


@pytest.mark.soak
def test_the_command_leaves_a_backup_to_the_service_that_runs(service: Service, shop: Shop) -> None:
    shop.dumps.let_go()
    left = hhh(service, "backup", "run", "--detach")
    assert left.returncode == 0, left.stderr
    with service.signed_in_client() as client:
        found = newest(client)
        assert found["id"] in left.stdout
        assert wait_for_end(client, found["id"])["status"] == "success"
    service.terminate()
    alone = hhh(service, "backup", "run", "--detach")
    assert alone.returncode != 0
    assert "No service runs" in alone.stderr


def test_a_command_that_is_interrupted_leaves_nothing_and_a_free_target(
    service: Service, shop: Shop, scratch: Path
) -> None:
    with service.signed_in_client() as client:
        register(client, "shop", shop.url)
        with beside(service, "backup", "run", "shop") as running:
            shop.dumps.wait_until_held()
            running.send_signal(signal.SIGINT)
            _, stderr = running.communicate(timeout=60)
        assert running.returncode != 0, stderr
        found: dict[str, Any] = newest(client, "shop")
        assert (found["status"], found["error"]) == ("failed", "It was interrupted")
        assert shop.dumps.pg_dumps(running.pid) == []
        assert (stored_files(service), scratch_leftovers(scratch)) == ([], [])
        shop.dumps.let_go()
        assert_stored(trigger(client, "shop"))
