"""Triggers of the running service: who waits, who is refused, and what may be asked for."""

import contextlib
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backing_up import (
    BACKUPS,
    LOGS,
    STATS,
    TRIGGER,
    assert_stored,
    assert_totals_add_up,
    backup,
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
from support.faulty_proxy import FaultyS3
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.service import HEALTH, Service, ServiceFactory
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until


@pytest.fixture
def sources(tmp_path: Path, any_postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """URLs of databases to register, by name."""
    name = any_postgres.create_database()
    with any_postgres.connect(name) as connection:
        make_realistic_database(connection)
    make_sqlite_database(tmp_path / "shop.db")
    yield {"shop-sqlite": f"sqlite:///{tmp_path / 'shop.db'}", "shop-postgresql": any_postgres.url(name)}
    any_postgres.drop_database(name)


def test_own_and_registered_databases_are_backed_up_whatever_the_own_database_is(
    service_factory: ServiceFactory, own: dict[str, Any], sources: dict[str, str], scratch: Path
) -> None:
    service = service_factory(**own, scratch_dir=scratch)
    with service.signed_in_client() as client:
        names = ["app", *(register(client, name, url) for name, url in sources.items())]
        for name in names:
            answer = assert_stored(trigger(client, name))
            resource = backup(client, answer["backup_id"])
            assert (resource["status"], resource["target"], resource["error"]) == ("success", name, None)
            assert (resource["backup_file"], resource["stored_size"]) == (answer["backup_file"], answer["backup_size"])
            assert resource["manifest"]["backup_id"] == answer["backup_id"]
            (copy,) = resource["copies"]
            assert copy["key"] in stored_files(service)
            assert copy["sha256"] == resource["sha256"]
        assert {name.split("/")[1] for name in stored_files(service)} == set(names)
        assert assert_totals_add_up(client)["successful_backups"] == len(names)
    assert scratch_leftovers(scratch) == []


def test_a_client_that_does_not_wait_hears_where_to_look_and_polls(service: Service) -> None:
    with service.signed_in_client() as client:
        response = trigger(client, respond_async=True)
        assert response.status_code == 202
        accepted = response.json()
        assert accepted == {"backup_id": accepted["backup_id"], "status": "queued"}
        assert response.headers["Location"] == f"{BACKUPS}/{accepted['backup_id']}"
        assert response.headers["Preference-Applied"] == "respond-async"
        assert wait_for_end(client, accepted["backup_id"])["status"] == "success"


def test_a_target_takes_one_backup_at_a_time_and_is_free_again_afterwards(
    service_factory: ServiceFactory, faulty_s3: FaultyS3
) -> None:
    service = service_factory(**store_settings(faulty_s3))
    with service.signed_in_client() as client, service.signed_in_client() as other:
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
        with triggering(client) as first:
            stall.wait_for_hit()
            refused = trigger(other)
            assert refused.status_code == 409
            assert refused.json()["error"]["code"] == "ERR_BACKUP_IN_PROGRESS"
            assert other.get(LOGS).json() == []  # finished ones only
            running = newest(other)
            assert (running["status"], running["finished_at"]) == ("running", None)
            stall.release()
            assert assert_stored(first.result())["backup_id"] == running["id"]
        assert_stored(trigger(other))
        assert_totals_add_up(client)


def test_backups_of_one_second_have_names_of_their_own(service: Service) -> None:
    with service.signed_in_client() as client:
        files = [assert_stored(trigger(client))["backup_file"] for _ in range(4)]
        assert len(set(files)) == 4
        seconds = Counter(file.removesuffix(".sql").split("_")[2] for file in files)
        assert seconds.most_common(1)[0][1] > 1, "none of four fell into one second"
        for file in files:
            _, day, second, *ordinal = file.removesuffix(".sql").split("_")
            first_of_second = f"backup_{day}_{second}.sql"
            assert file == first_of_second or (first_of_second in files and int(ordinal[0]) >= 2)


@pytest.mark.soak
def test_sixty_waiting_triggers_slow_nobody_down(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    make_sqlite_database(tmp_path / "source.db", megabytes=0.02)
    service = service_factory(**store_settings(faulty_s3))
    with crowds_client(service) as client:
        names = [register(client, f"t{number}", f"sqlite:///{tmp_path / 'source.db'}") for number in range(60)]
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
        with ThreadPoolExecutor(60) as waiting:
            answers = [waiting.submit(trigger, client, name) for name in names]
            stall.wait_for_hit()
            wait_until(lambda: _how_many(client, "queued", "running") == 60, what="60 backups under way")
            for path in (HEALTH, LOGS, STATS, BACKUPS):
                assert client.get(path, timeout=5).status_code == 200
            assert not any(answer.done() for answer in answers)
            stall.release()
            for answer in answers:
                assert_stored(answer.result())
        assert assert_totals_add_up(client)["successful_backups"] == 60


@pytest.mark.slow
def test_two_hundred_triggers_at_once_over_twenty_targets(
    service_factory: ServiceFactory, scratch: Path, tmp_path: Path
) -> None:
    service = service_factory(scratch_dir=scratch)
    with crowds_client(service) as client:
        names = [f"t{number}" for number in range(20)]
        for name in names:
            make_sqlite_database(tmp_path / f"{name}.db", megabytes=0.02)
            register(client, name, f"sqlite:///{tmp_path / name}.db")
        with ThreadPoolExecutor(200) as crowd:
            asked = names * 10
            answers = list(zip(asked, crowd.map(lambda name: trigger(client, name), asked), strict=True))
        assert {answer.status_code for _, answer in answers} == {200, 409}
        assert {name for name, answer in answers if answer.status_code == 200} == set(names)
        stored = sum(answer.status_code == 200 for _, answer in answers)
        assert assert_totals_add_up(client)["successful_backups"] == stored
        assert len([name for name in stored_files(service) if name.endswith(".sql.json")]) == stored
        assert len({answer.json()["backup_id"] for _, answer in answers if answer.status_code == 200}) == stored
        for name in names:
            assert_stored(trigger(client, name))
    assert scratch_leftovers(scratch) == []


def test_odd_requests_get_clear_answers(service_factory: ServiceFactory, own: dict[str, Any]) -> None:
    service = service_factory(**own)
    with service.signed_in_client() as client:
        assert_stored(trigger(client))
        unknown = ["nobody", "", "../app", "app\0", "a" * 1000, "App"]
        assert [trigger(client, name).status_code for name in unknown] == [404] * len(unknown)
        bodies = [b"{", b"[]", b"1", b'{"target": 1}', b'{"other": "app"}', b"\xff", b'{"target": "\\ud800"}']
        assert [_post(client, body).status_code for body in bodies] == [422] * (len(bodies) - 1) + [404]
        for empty in (b"", b"null", b"{}"):
            assert_stored(_post(client, empty))
        for query in ("limit=0", "limit=201", "limit=x", "offset=-1", "offset=99999999999999999999"):
            _assert_error(client.get(f"{LOGS}?{query}"), 422, "ERR_VALIDATION")
        assert client.get(LOGS, params={"limit": 200, "offset": 2**31}).json() == []
        for odd_id in (str(uuid.uuid4()), "x", "%00", "a" * 5000, "%F0%9F%90%98"):
            _assert_error(client.get(f"{BACKUPS}/{odd_id}"), 404, "ERR_NOT_FOUND")
        for query in (
            *("cursor=x", "cursor=MDAwMS0wMS0wMVQwMDowMDowMCsyMzo1OSB4", "cursor=%00", "limit=0", "status=SUCCESS"),
            *("created_from=9999-12-31T23:59:59-23:59", "created_before=0001-01-01T00:00:00%2B23:59"),
            *("created_from=2025-01-01T00:00:00", "created_from=yesterday"),
        ):
            _assert_error(client.get(f"{BACKUPS}?{query}"), 422, "ERR_VALIDATION")
        for target in ("nobody", "%00", "a" * 1000):
            assert client.get(f"{BACKUPS}?target={target}").json() == {"items": [], "next_cursor": None}
        assert client.head(LOGS).status_code == 405
        _assert_error(client.get(f"{LOGS}/"), 404, "ERR_NOT_FOUND")
        _assert_error(client.put(LOGS), 405, "ERR_METHOD_NOT_ALLOWED")
        _assert_error(client.delete(LOGS), 404, "ERR_NOT_FOUND")  # as a backup of that id would be removed
        assert assert_totals_add_up(client)["total_backups"] == 4


def test_pages_of_backups_leave_none_out_and_show_none_twice(service: Service) -> None:
    with service.signed_in_client() as client:
        taken = [assert_stored(trigger(client))["backup_id"] for _ in range(5)]
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = client.get(BACKUPS, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert seen == taken[::-1]
        assert [entry["id"] for entry in client.get(LOGS, params={"limit": 2, "offset": 1}).json()] == seen[1:3]


@contextlib.contextmanager
def crowds_client(service: Service) -> Iterator[httpx.Client]:
    """A signed-in client for 200 threads; it keeps all connections, of which httpx may else close one in use."""
    with service.client(limits=httpx.Limits(max_connections=200, max_keepalive_connections=200)) as client:
        yield service.sign_in(client)


def _post(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post(TRIGGER, content=body, headers={"Content-Type": "application/json"})


def _assert_error(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.request.url


def _how_many(client: httpx.Client, *states: str) -> int:
    return sum(len(client.get(BACKUPS, params={"status": state, "limit": 200}).json()["items"]) for state in states)
