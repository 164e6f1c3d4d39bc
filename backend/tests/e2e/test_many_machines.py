"""Several machines share their jobs: workers that die, freeze or stop, and a jobs database that is restarted."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyrage
import pytest

from support.backing_up import (
    BACKUPS,
    assert_stored,
    assert_totals_add_up,
    backup,
    hhh,
    register,
    trigger,
    triggering,
    wait_for_end,
)
from support.held_dumps import HeldDumps
from support.many_machines import BRISK, Founding, ManyMachines, many_machines
from support.ports import LOOPBACK, free_port
from support.postgres import PostgresServer, PrivatePostgres
from support.service import Service
from support.waiting import wait_until

__all__ = ["many_machines"]

pytestmark = pytest.mark.postgres

#: The system call that sends a signal to one thread.
_TGKILL = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
_COUNTING = """#!/bin/bash
# Writes down how many dumps run; --version and the schema-only dump do not count.
case "$*" in *--version* | *--schema-only*) exec {pg_dump} "$@" ;; esac
mark=$(mktemp {running}/XXXXXX)
trap 'rm $mark' EXIT
ls {running} | wc -l >> {counts}
{pg_dump} "$@"
"""


@pytest.fixture
def held(any_postgres: PostgresServer, tmp_path: Path) -> HeldDumps:
    return HeldDumps(tmp_path, any_postgres)


@contextlib.contextmanager
def asking(service: Service) -> Iterator[httpx.Client]:
    with service.signed_in_client() as client:
        yield client


def attempts(machines: ManyMachines, target: str = "app") -> list[tuple[str, int]]:
    """State and attempt number of each job of a target."""
    with psycopg.connect(machines.own_url) as connection:
        query = "SELECT state, attempt FROM jobs WHERE target = %s ORDER BY created_at"
        return [(state, attempt) for state, attempt in connection.execute(query, [target]).fetchall()]


def assert_one_result(
    machines: ManyMachines, client: httpx.Client, backup_id: str, *, attempt: int, killed: bool = False
) -> None:
    """The backup ended once, well, with that attempt; the store has its objects alone.

    Of a first attempt that was `killed` there may be unfinished ones, too: they are what a sweep removes.
    """
    found = backup(client, backup_id)
    assert (found["status"], found["error"]) == ("success", None)
    assert attempts(machines) == [("success", attempt)]
    manifest = found["manifest"]
    objects = [manifest["object"], manifest["facts"], *manifest["attachments"]]
    expected = {f"{found['backup_file']}.json", *(Path(each["key"]).name for each in objects)}

    def unexpected() -> set[str]:
        return {name for name in machines.stored() if not (killed and name.startswith(".hhh-unfinished-"))} ^ expected

    wait_until(lambda: not unexpected(), seconds=20, what=f"{expected} in the store alone, of {machines.stored()}")
    assert assert_totals_add_up(client)["total_backups"] == 1


@pytest.mark.soak
def test_a_web_server_hands_over_and_workers_run(many_machines: Founding, any_postgres: PostgresServer) -> None:
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=any_postgres.bin_dir)) as client:
        waiting = trigger(client, respond_async=True).json()["backup_id"]
        first, second = machines.worker("first"), machines.worker("second", elsewhere=True)
        assert wait_for_end(client, waiting)["status"] == "success"
        first.send(signal.SIGTERM)
        assert first.wait() == -signal.SIGTERM
        assert_stored(trigger(client))
        second.send(signal.SIGINT)
        assert second.wait() == -signal.SIGINT
        assert attempts(machines) == [("success", 1)] * 2


@pytest.mark.parametrize(
    "elsewhere", [pytest.param(False, marks=pytest.mark.soak), True], ids=["on one machine", "on two machines"]
)
def test_the_job_of_a_killed_worker_is_taken_over(many_machines: Founding, held: HeldDumps, *, elsewhere: bool) -> None:
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=held.bin_dir)) as client, triggering(client) as answer:
        killed = machines.worker("killed", elsewhere=elsewhere, command=BRISK)
        held.wait_until_held()
        machines.worker("other", command=BRISK)
        killed.send(signal.SIGKILL)
        held.let_go()
        stored = assert_stored(answer.result())
        assert_one_result(machines, client, stored["backup_id"], attempt=2, killed=True)


def test_a_frozen_worker_whose_job_was_taken_over_finalises_nothing(many_machines: Founding, held: HeldDumps) -> None:
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=held.bin_dir)) as client, triggering(client) as answer:
        frozen = machines.worker("frozen", command=BRISK)
        held.wait_until_held()
        frozen.send(signal.SIGSTOP)
        held.let_go()
        machines.worker("other", command=BRISK)
        stored = assert_stored(answer.result())
        frozen.send(signal.SIGCONT)
        wait_until(lambda: "lease_lost" in frozen.log(), seconds=20, what="a worker that sees what it lost")
        assert_one_result(machines, client, stored["backup_id"], attempt=2)
        frozen.send(signal.SIGTERM)
        frozen.wait()


def test_a_jobs_database_that_is_restarted_ends_no_backup_and_no_worker(
    many_machines: Founding, held: HeldDumps, private_postgres: PrivatePostgres
) -> None:
    jobs_server = private_postgres()
    machines = many_machines(jobs_url=jobs_server.url(jobs_server.create_database()))
    with asking(machines.web(pg_bin_dir=held.bin_dir)) as client, triggering(client) as answer:
        worker = machines.worker("only", worker_slots=1)
        held.wait_until_held()
        jobs_server.stop()
        wait_until(lambda: "jobs_database_lost" in worker.log(), seconds=30, what="a worker that is cut off")
        jobs_server.start()
        held.let_go()
        stored = assert_stored(answer.result())
        assert_one_result(machines, client, stored["backup_id"], attempt=1)
        assert_stored(trigger(client))


def readiness(port: int) -> int:
    """What a worker answers on its separate port."""
    return httpx.get(f"http://{LOOPBACK}:{port}/readyz", timeout=60, trust_env=False).status_code


@pytest.mark.soak
def test_a_worker_that_is_asked_to_stop_ends_what_it_runs(many_machines: Founding, held: HeldDumps) -> None:
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=held.bin_dir)) as client, triggering(client) as answer:
        watched = free_port()
        worker = machines.worker("draining", metrics_port=watched)
        held.wait_until_held()
        assert readiness(watched) == 200
        worker.send(signal.SIGTERM)
        wait_until(lambda: "Stopping" in worker.log(), what="a worker that drains")
        wait_until(lambda: readiness(watched) == 503, what="a worker that says that it is not ready")
        held.let_go()
        stored = assert_stored(answer.result())
        assert worker.wait() == -signal.SIGTERM
        assert_one_result(machines, client, stored["backup_id"], attempt=1)


@pytest.mark.soak
def test_what_does_not_end_in_time_is_handed_to_another_worker(many_machines: Founding, held: HeldDumps) -> None:
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=held.bin_dir)) as client, triggering(client) as answer:
        worker = machines.worker("impatient", drain_seconds=0)
        held.wait_until_held()
        machines.worker("other")
        worker.send(signal.SIGTERM)
        assert worker.wait() == -signal.SIGTERM
        held.let_go()
        stored = assert_stored(answer.result())
        assert_one_result(machines, client, stored["backup_id"], attempt=2)


@pytest.mark.soak
def test_a_worker_hears_of_its_end_whichever_thread_the_kernel_tells(
    many_machines: Founding, any_postgres: PostgresServer
) -> None:
    machines = many_machines()
    machines.web(pg_bin_dir=any_postgres.bin_dir)
    worker = machines.worker("woken")
    first, other, *_ = sorted(int(thread.name) for thread in Path(f"/proc/{worker.pid}/task").iterdir())
    assert first == worker.pid
    # As after SIGCONT, while the first thread is not awake yet.
    assert ctypes.CDLL(None).syscall(_TGKILL, worker.pid, other, int(signal.SIGTERM)) == 0
    assert worker.wait() == -signal.SIGTERM


@pytest.mark.soak
def test_a_second_signal_ends_a_worker_at_once(many_machines: Founding, held: HeldDumps) -> None:
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=held.bin_dir)) as client:
        trigger(client, respond_async=True)
        worker = machines.worker("hurried", drain_seconds=3600)
        held.wait_until_held()
        worker.send(signal.SIGTERM)
        wait_until(lambda: "Stopping" in worker.log(), what="a worker that drains")
        worker.send(signal.SIGTERM)
        assert worker.wait() == -signal.SIGTERM
        assert attempts(machines) == [("running", 1)]


def test_a_prover_alone_has_the_identity_and_verifies_what_others_stored(
    many_machines: Founding, any_postgres: PostgresServer, tmp_path: Path
) -> None:
    identity = pyrage.x25519.Identity.generate()
    identity_file = tmp_path / "identity.txt"
    identity_file.write_text(f"{identity}\n")
    machines = many_machines()
    web = machines.web(pg_bin_dir=any_postgres.bin_dir, age_recipients=identity.to_public())
    with asking(web) as client:
        machines.worker("main", queues="backup,restore,upkeep")
        stored = assert_stored(trigger(client))
        asked = client.post(f"{BACKUPS}/{stored['backup_id']}/verify", json={"level": "readable"}).json()
        assert "Nobody takes: verify (1 waiting)" in hhh(web, "worker", "list").stdout
        machines.worker("prover", queues="verify", elsewhere=True, age_identity_file=identity_file)

        def ended() -> dict[str, Any]:
            found: dict[str, Any] = client.get(f"/api/v1/verifications/{asked['verification_id']}").json()
            return found if found["finished_at"] else {}

        found = wait_until(ended, seconds=60, what="the end of the verification")
        assert (found["status"], found["reached"]) == ("success", "readable"), found
        assert [each["queues"] for each in client.get("/api/v1/workers").json()] == [
            ["backup", "restore", "upkeep"],
            ["verify"],
        ]


@pytest.mark.parametrize("count", [20, pytest.param(50, marks=pytest.mark.soak)])
def test_never_more_dumps_run_than_the_limit_of_all_workers(
    many_machines: Founding, any_postgres: PostgresServer, tmp_path: Path, count: int
) -> None:
    bin_dir, running, counts = tmp_path / "bin", tmp_path / "running", tmp_path / "counts"
    for folder in (bin_dir, running):
        folder.mkdir()
    program = bin_dir / "pg_dump"
    program.write_text(_COUNTING.format(pg_dump=any_postgres.bin_dir / "pg_dump", running=running, counts=counts))
    program.chmod(0o755)
    database = any_postgres.create_database()
    machines = many_machines()
    with asking(machines.web(pg_bin_dir=bin_dir, running_limit=4, worker_slots=10)) as client:
        targets = [register(client, f"t{number}", any_postgres.url(database)) for number in range(count)]
        ids = [trigger(client, target, respond_async=True).json()["backup_id"] for target in targets]
        machines.worker("first")
        machines.worker("second", elsewhere=True)
        for backup_id in ids:
            assert wait_for_end(client, backup_id, seconds=120)["status"] == "success"
    any_postgres.drop_database(database)
    seen = [int(line) for line in counts.read_text().split()]
    assert len(seen) == count
    assert max(seen) <= 4


@pytest.mark.soak
def test_commands_of_many_machines_are_refused_on_one(service: Service) -> None:
    for command in (["worker"], ["serve", "--no-worker"]):
        refused = hhh(service, *command)
        assert refused.returncode == 2
        assert "needs HHH_JOBS_DATABASE_URL" in refused.stderr


@pytest.mark.soak
def test_a_worker_that_does_not_fit_the_others_says_why(
    many_machines: Founding, any_postgres: PostgresServer, tmp_path: Path
) -> None:
    service = many_machines().web(pg_bin_dir=any_postgres.bin_dir)
    environment: dict[str, dict[str, Any]] = {
        "signing.key is missing": {"HHH_DATA_DIR": str(tmp_path / "elsewhere")},
        "HHH_SECRET_KEY is not that of the other machines": {"HHH_SECRET_KEY": "s" * 40},
        "names the database of the target 'app'": {"HHH_JOBS_DATABASE_URL": service.environment["HHH_DATABASE_URL"]},
    }
    for reason, different in environment.items():
        refused = hhh(service, "worker", environment=different)
        assert refused.returncode == 2, refused
        assert reason in refused.stderr
        assert "Traceback" not in refused.stderr
