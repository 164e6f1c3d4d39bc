"""Processes that end, or freeze, at every stage of a backup: afterwards the catalogue and the stores agree."""

import contextlib
import functools
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import NullPool, create_engine

from support.agreement import Agreement
from support.backing_up import BACKUPS, assert_stored, hhh, trigger, wait_for_end
from support.halting import STAGES, halting
from support.many_machines import BRISK, Founding, WorkerProcess, many_machines
from support.service import Service, ServiceFactory, hhh_command
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

__all__ = ["many_machines"]

ROUNDS = [
    pytest.param(2, marks=pytest.mark.timeout(300)),
    pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
]
#: The least time of which no clock says that something is younger.
_NO_SAFE_AGE = {"HHH_SWEEP_SAFE_HOURS": "1e-9"}


@pytest.fixture(params=ROUNDS)
def moments(request: pytest.FixtureRequest) -> Iterator[float]:
    """Parts of the length of a backup, drawn anew with each run; the seed is told where a test fails."""
    seed = int(os.environ.get("SEED") or random.randrange(10**9))
    print(f"SEED={seed}")  # noqa: T201
    draw = random.Random(seed)
    return (draw.uniform(0, 1.2) for _ in range(request.param))


def set_up(client: httpx.Client, folder: Path) -> Path:
    """A target `shop` in the stores `default` and `second`; the folder of that one."""
    client.post("/api/v1/storages", json={"name": "second", "url": (folder / "second").as_uri()}).raise_for_status()
    make_sqlite_database(folder / "shop.db", megabytes=2)
    target = {"name": "shop", "url": f"sqlite:///{folder / 'shop.db'}", "storages": ["default", "second"]}
    client.post("/api/v1/targets", json=target).raise_for_status()
    return folder / "second"


def measured(client: httpx.Client) -> float:
    """Seconds that a backup takes."""
    assert_stored(trigger(client, "shop"))
    began = time.monotonic()
    assert_stored(trigger(client, "shop"))
    return time.monotonic() - began


def wait_for_all(client: httpx.Client, *, seconds: float = 60) -> list[str]:
    """Wait until every backup has ended; their states, the newest first."""

    def states() -> list[str]:
        page = client.get(BACKUPS, params={"limit": 200}).raise_for_status().json()
        found = [each["status"] for each in page["items"]]
        return [] if {"queued", "running"} & {*found} else found

    return wait_until(states, seconds=seconds, what="the end of all backups")


def assert_swept(service: Service, agreement: Agreement) -> None:
    """What belongs to no backup is removed, and only that."""
    done = hhh(service, "doctor", "--repair", environment=_NO_SAFE_AGE)
    assert "Traceback" not in done.stderr, done
    agreement.check()
    assert agreement.leftovers() == []


def triggered(service: Service, client: httpx.Client) -> None:
    """Ask for a backup of a service that may die meanwhile."""
    with contextlib.suppress(httpx.TransportError):
        trigger(client, "shop", respond_async=True)


def test_a_service_that_is_killed_at_any_moment(
    service_factory: ServiceFactory, tmp_path: Path, moments: Iterator[float]
) -> None:
    service = service_factory()
    with service.signed_in_client() as client, ThreadPoolExecutor(1) as beside:
        second = set_up(client, tmp_path)
        agreement = agreement_of(f"sqlite:///{service.data_dir / 'hhh.db'}", service.data_dir / "backups", second)
        length = measured(client)
        for moment in moments:
            service.sign_in(client)  # a session ends after some minutes
            asked = beside.submit(triggered, service, client)
            time.sleep(moment * length)
            service.kill()
            asked.result()
            service.start()
            assert {*wait_for_all(client)} == {"success"}
            agreement.check()
            assert_stored(trigger(client, "shop"))
    assert_swept(service, agreement)


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_ends_at_any_moment(
    many_machines: Founding, tmp_path: Path, moments: Iterator[float], how: signal.Signals
) -> None:
    machines = many_machines()
    service = machines.web()
    with service.signed_in_client() as client:
        second = set_up(client, tmp_path)
        agreement = agreement_of(machines.own_url, machines.store, second)
        worker = machines.worker("w0", command=BRISK, elsewhere=True)
        length = measured(client)
        for number, moment in enumerate(moments, 1):
            service.sign_in(client)
            backup_id = trigger(client, "shop", respond_async=True).json()["backup_id"]
            time.sleep(moment * length)
            worker.send(how)
            other = machines.worker(f"w{number}", command=BRISK, elsewhere=True)
            assert wait_for_end(client, backup_id, seconds=60)["status"] == "success"
            agreement.check()
            end(worker, how)
            wait_for_all(client)
            worker = other
    assert_swept(service, agreement)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_service_that_is_killed_at_each_stage(service_factory: ServiceFactory, tmp_path: Path) -> None:
    service = service_factory()
    with service.signed_in_client() as client:
        second = set_up(client, tmp_path)
    agreement = agreement_of(f"sqlite:///{service.data_dir / 'hhh.db'}", service.data_dir / "backups", second)
    for stage in STAGES:
        service.terminate()
        with service.running(*halting(stage, signal.SIGKILL), "serve").signed_in_client() as client:
            triggered(service, client)
            wait_until(lambda: not service.is_running(), seconds=30, what=f"the death at {stage}")
        with service.running(*hhh_command(), "serve").signed_in_client() as client:
            assert {*wait_for_all(client)} == {"success"}
            agreement.check()
    assert_swept(service, agreement)


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_ends_at_each_stage(many_machines: Founding, tmp_path: Path, how: signal.Signals) -> None:
    machines = many_machines()
    service = machines.web()
    with service.signed_in_client() as client:
        second = set_up(client, tmp_path)
        agreement = agreement_of(machines.own_url, machines.store, second)
        for number, stage in enumerate(STAGES):
            worker = machines.worker(f"a{number}", command=halting(stage, how), elsewhere=True)
            backup_id = trigger(client, "shop", respond_async=True).json()["backup_id"]
            wait_until(functools.partial(has_halted, worker.pid), seconds=30, what=f"the end at {stage}")
            other = machines.worker(f"b{number}", command=BRISK, elsewhere=True)
            found = wait_for_end(client, backup_id, seconds=60)
            assert (stage, found["status"]) == (stage, "success")
            agreement.check()
            end(worker, how)
            other.send(signal.SIGTERM)
            other.wait()
    assert_swept(service, agreement)


def has_halted(pid: int) -> bool:
    """Whether a process is frozen, or dead: then somebody may have waited for it already."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] in "TZ"


def end(worker: WorkerProcess, how: signal.Signals) -> None:
    """Let it wake up, where it was frozen, and stop."""
    if how == signal.SIGSTOP:
        worker.send(signal.SIGCONT)
        worker.send(signal.SIGTERM)
        worker.wait()
    worker.close()


def agreement_of(own_url: str, default: Path, second: Path) -> Agreement:
    """What has to be kept in agreement."""
    url = own_url.replace("postgresql://", "postgresql+psycopg://")
    return Agreement(create_engine(url, poolclass=NullPool), {"default": default, "second": second})
