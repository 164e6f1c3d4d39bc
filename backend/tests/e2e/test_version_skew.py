"""Processes of different versions at one installation: the older one does not start, or ends, and says why."""

import contextlib
import subprocess

import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.version import PRODUCT_VERSION
from hhh.models import WorkerRow
from hhh.repositories import installation
from support.forking import run_hhh
from support.many_machines import Founding, many_machines
from support.service import Service, ServiceFactory
from support.waiting import wait_until

__all__ = ["many_machines"]

NEWER = "99.0.0"
TOLD = f"This is HHH Backup {PRODUCT_VERSION}, and the installation is of {NEWER}"


def becomes(url: str, version: str) -> None:
    """As a newer program does it when it joins."""
    with contextlib.closing(Database(url)) as database, database.transaction() as session:
        installation.get(session).program_version = version


def test_a_server_that_finds_a_newer_version_ends_and_does_not_start_again(service_factory: ServiceFactory) -> None:
    service = service_factory()

    becomes(f"sqlite:///{service.data_dir}/hhh.db", NEWER)

    wait_until(lambda: not service.is_running(), seconds=60, what="the end of the server")
    assert f"installation={NEWER}" in service.log().replace("\x1b[0m", "")
    refused = hhh(service, "serve")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {TOLD}\n")
    assert hhh(service, "backup", "run").returncode == 2


@pytest.mark.postgres
def test_workers_and_servers_of_many_machines_are_of_one_version(many_machines: Founding) -> None:
    machines = many_machines()
    web, worker = machines.web(), machines.worker("night")

    becomes(machines.own_url, NEWER)

    assert worker.wait() != 0
    wait_until(lambda: not web.is_running(), seconds=60, what="the end of the server")
    assert "superseded" in worker.log()
    assert TOLD in hhh(web, "worker").stderr
    older_at_work(machines.own_url)
    refused = hhh(web, "worker")
    assert refused.returncode == 2
    assert "workers of an older version are at work: evening on db7 (0.0.9)" in refused.stderr


def older_at_work(url: str) -> None:
    """A worker of an older version, whose machine was not upgraded."""
    becomes(url, "0.0.9")
    now = utcnow()
    row = WorkerRow(
        id="1", name="evening", host="db7", pid=1, version="0.0.9", state="active", slots=1, queues="backup"
    )
    row.started_at = row.heartbeat_at = now
    with contextlib.closing(Database(url)) as database, database.transaction() as session:
        session.add(row)


def hhh(service: Service, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_hhh(arguments, folder=service.folder, environment=service.environment)
