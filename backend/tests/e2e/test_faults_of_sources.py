"""Databases and tools that fail: each backup ends in a clear error and leaves nothing, and the next one works."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from support.backing_up import (
    TARGETS,
    assert_failed,
    assert_stored,
    assert_totals_add_up,
    backup,
    children_of,
    command_lines,
    hhh,
    register,
    scratch_leftovers,
    stored_files,
    trigger,
    triggering,
)
from support.held_dumps import HeldDumps
from support.postgres import PostgresServer, PrivatePostgres
from support.postgres_data import make_realistic_database
from support.service import Service, ServiceFactory
from support.sqlite_data import make_corrupt, make_sqlite_database
from support.waiting import wait_until

MEGABYTES = 8  # more than the buffers between a server and a held pg_dump


@pytest.fixture
def shop(any_postgres: PostgresServer) -> Iterator[str]:
    """The name of a database of realistic rows."""
    name = any_postgres.create_database()
    with any_postgres.connect(name) as connection:
        make_realistic_database(connection, megabytes=0.5)
    yield name
    any_postgres.drop_database(name)


class LargeShop(NamedTuple):
    """A server of its own with a database whose dump can be held in the middle, and a service for it."""

    server: PostgresServer
    dumps: HeldDumps
    service: Service


@pytest.fixture
def large_shop(
    service_factory: ServiceFactory, private_postgres: PrivatePostgres, scratch: Path, tmp_path: Path
) -> LargeShop:
    server = private_postgres()
    with server.connect() as connection:
        make_realistic_database(connection, megabytes=MEGABYTES)
    dumps = HeldDumps(tmp_path, server)
    return LargeShop(server, dumps, service_factory(scratch_dir=scratch, pg_bin_dir=dumps.bin_dir))


def assert_nothing_left(service: Service, scratch: Path) -> None:
    assert stored_files(service) == []
    assert scratch_leftovers(scratch) == []


def test_broken_sqlite_files(service_factory: ServiceFactory, scratch: Path, tmp_path: Path) -> None:
    service = service_factory(scratch_dir=scratch)
    source, whole = tmp_path / "source.db", tmp_path / "whole.db"
    with service.signed_in_client() as client:
        register(client, "file", f"sqlite:///{source}")

        assert_failed(trigger(client, "file"), client, target="file", saying=str(source))  # there is none
        source.write_bytes(b"something else\n" * 1000)
        assert_failed(trigger(client, "file"), client, target="file", saying="not a database")
        source.unlink()
        source.mkdir()
        assert_failed(trigger(client, "file"), client, target="file", saying=str(source))
        source.rmdir()
        make_sqlite_database(whole, megabytes=0.5, journal_mode="delete")
        shutil.copy(whole, source)
        make_corrupt(source)
        assert_failed(trigger(client, "file"), client, target="file")
        shutil.copy(whole, source)
        with source.open("r+b") as file:
            file.truncate(source.stat().st_size // 2)
        assert_failed(trigger(client, "file"), client, target="file", saying="malformed")
        assert_nothing_left(service, scratch)

        shutil.copy(whole, source)
        assert_stored(trigger(client, "file"))
        assert assert_totals_add_up(client)["failed_backups"] == 5
    assert scratch_leftovers(scratch) == []


@pytest.mark.postgres
def test_servers_that_refuse_and_tools_that_do_not_fit(
    service_factory: ServiceFactory,
    any_postgres: PostgresServer,
    postgres18: PostgresServer,
    shop: str,
    scratch: Path,
) -> None:
    service = service_factory(scratch_dir=scratch, pg_bin_dir=any_postgres.bin_dir)
    with service.signed_in_client() as client:
        wrong = any_postgres.url(shop, user=any_postgres.superuser, password="not-the-password-7261")
        register(client, "wrong-password", wrong)
        reason = assert_failed(trigger(client, "wrong-password"), client, target="wrong-password")
        assert "password authentication failed" in reason
        assert "not-the-password-7261" not in reason + service.log()

        register(client, "no-database", any_postgres.url("no_such_database"))
        assert_failed(trigger(client, "no-database"), client, target="no-database", saying="does not exist")

        register(client, "no-server", "postgresql://somebody@127.0.0.1:1/nothing")
        assert_failed(trigger(client, "no-server"), client, target="no-server", saying="refused")

        register(client, "too-new", postgres18.url("postgres"))
        reason = assert_failed(trigger(client, "too-new"), client, target="too-new", saying="no pg_dump 18")
        assert "16" in reason
        assert_nothing_left(service, scratch)

        register(client, "shop", any_postgres.url(shop))
        assert_stored(trigger(client, "shop"))
        assert assert_totals_add_up(client)["failed_backups"] == 4
    assert scratch_leftovers(scratch) == []


@pytest.mark.postgres
def test_a_server_that_dies_in_the_middle_of_a_dump(large_shop: LargeShop, scratch: Path) -> None:
    server, dumps, service = large_shop
    with service.signed_in_client() as client, service.signed_in_client() as other:
        register(client, "shop", server.url())
        with triggering(client, "shop") as answer:
            dumps.wait_until_held()
            server.kill_postmaster()
            dumps.let_go()
            reason = assert_failed(answer.result(), other, target="shop")
        assert any(said in reason for said in ("terminat", "closed the connection", "lost")), reason
        assert_failed(trigger(client, "shop"), client, target="shop", saying="refused")
        assert_nothing_left(service, scratch)
        assert dumps.pg_dumps(service.pid) == []

        server.start()
        assert_stored(trigger(client, "shop"))
    assert scratch_leftovers(scratch) == []


@pytest.mark.postgres
def test_a_pg_dump_that_is_killed_in_the_middle(large_shop: LargeShop, scratch: Path) -> None:
    server, dumps, service = large_shop
    with service.signed_in_client() as client, service.signed_in_client() as other:
        register(client, "shop", server.url())
        with triggering(client, "shop") as answer:
            dumps.wait_until_held()
            os.kill(dumps.the_held_one(service.pid), signal.SIGKILL)
            dumps.let_go()
            assert_failed(answer.result(), other, target="shop", saying="pg_dump failed with status 137")
        assert_nothing_left(service, scratch)
        wait_until(lambda: _sessions(server) == 0, what="the server to see that nobody is left")

        assert_stored(trigger(client, "shop"))
    assert scratch_leftovers(scratch) == []


@pytest.mark.postgres
def test_a_password_is_seen_nowhere(
    service_factory: ServiceFactory, any_postgres: PostgresServer, shop: str, scratch: Path, tmp_path: Path
) -> None:
    dumps = HeldDumps(tmp_path, any_postgres)
    service = service_factory(scratch_dir=scratch, pg_bin_dir=dumps.bin_dir)
    password = "sEcReT-4711-%-mark"
    any_postgres.execute(f"CREATE ROLE seen LOGIN SUPERUSER PASSWORD '{password}'")
    url = any_postgres.url(shop, user="seen", password=password)
    answers: list[str] = []
    with service.signed_in_client() as client, service.signed_in_client() as other:
        client.event_hooks = other.event_hooks = {"response": [lambda r: answers.append(r.read().decode())]}
        register(client, "shop", url)
        with triggering(client, "shop") as answer:
            dumps.wait_until_held()
            children = children_of(service.pid)
            assert b"pg_dump" in command_lines(children)
            seen = command_lines([service.pid, *children])
            dumps.let_go()
            stored = assert_stored(answer.result())
        backup(other, stored["backup_id"])
        other.get(TARGETS)
        any_postgres.execute("ALTER ROLE seen PASSWORD 'another'")
        assert_failed(trigger(client, "shop"), client, target="shop", saying="authentication failed")
        client.post(TARGETS, json={"name": "shop", "url": url})
        client.post(TARGETS, json={"name": "other", "url": url, "more": 1})
        client.post(TARGETS, json={"name": "other", "url": url.replace("postgresql", "mysql")})
        client.post(TARGETS, json={"name": "other", "url": [url]})
    any_postgres.execute("DROP ROLE seen")
    beside = [hhh(service, *command.split()) for command in ("target list --json", "doctor", "backup run shop")]
    below = [path.read_bytes() for path in service.data_dir.rglob("*") if path.is_file()]
    everything = "".join([*answers, service.log(), *(done.stdout + done.stderr for done in beside)]).encode()
    for secret in (password, quote(password, safe="")):
        assert secret.encode() not in b"".join([everything, seen, *below])


def _sessions(server: PostgresServer) -> int:
    with server.connect() as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    return int(count)
