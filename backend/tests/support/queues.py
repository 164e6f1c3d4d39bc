"""Queues of every kind over real rows, with backups and verifications that wait at a gate or fail as a test says."""

import asyncio
import contextlib
import dataclasses
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import StorageUnavailable
from hhh.core.run import Run
from hhh.jobs import creation
from hhh.jobs.base import JobQueue
from hhh.jobs.embedded import embedded_queue
from hhh.jobs.procrastinate import procrastinate_queue
from hhh.jobs.timing import Timing
from hhh.models import Job
from hhh.repositories import jobs as rows
from hhh.services.backup import BackupService
from hhh.services.container import Services, assemble
from hhh.services.copies import Copies
from hhh.services.proof import Proof
from hhh.services.verification_work import VerificationWork
from hhh.services.work import Attempt
from support.local_services import settings_in
from support.piped import Piped
from support.session import current_session
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

#: As usual, but in a second what otherwise takes half a minute.
BRISK = Timing(lease=timedelta(seconds=3), beat=0.1, watch=1, tidy=0.1, first_retry=0.1, longest_retry=2)

OpenQueue = Callable[[Services, Timing], AbstractContextManager[JobQueue]]


def _embedded(services: Services, timing: Timing) -> AbstractContextManager[JobQueue]:
    return embedded_queue(services, timing=timing)


def _procrastinate(services: Services, timing: Timing) -> AbstractContextManager[JobQueue]:
    return procrastinate_queue(services, timing=timing)


#: By kind.
QUEUES: Mapping[str, OpenQueue] = {"embedded": _embedded, "procrastinate": _procrastinate}


class Gate:
    """A folder that says what happens to backups, in whichever process they are taken, and to their verifications."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def hold(self, target: str, attempt: int = 1) -> None:
        """Has that attempt wait once it has begun."""
        self._sign("hold", target, attempt).touch()

    def let_go(self, target: str, attempt: int = 1) -> None:
        """Lets it go on."""
        self._sign("hold", target, attempt).unlink()

    def fail(self, target: str, attempt: int = 1) -> None:
        """Has that attempt fail with what may pass."""
        self._sign("fail", target, attempt).touch()

    def wait_for(self, target: str, attempt: int = 1) -> None:
        """Waits until that attempt has begun."""
        begun = self._sign("begun", target, attempt)
        wait_until(begun.exists, seconds=30, what=f"attempt {attempt} at {target}")

    def begun(self) -> list[str]:
        """All attempts that were begun, as ``target.attempt``."""
        return sorted(path.name.removeprefix("begun.") for path in self.folder.glob("begun.*"))

    def pass_through(self, attempt: Attempt, run: Run) -> None:
        """What an attempt does here."""
        self._sign("begun", attempt.target, attempt.number).touch()
        while self._sign("hold", attempt.target, attempt.number).exists():
            run.raise_if_cancelled()
            Event().wait(0.01)
        if self._sign("fail", attempt.target, attempt.number).exists():
            raise StorageUnavailable("The store is away")

    def _sign(self, what: str, target: str, attempt: int) -> Path:
        return self.folder / f"{what}.{target}.{attempt}"


class GatedBackups(BackupService):
    """The real backups, behind a gate."""

    gate: Gate

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Passes the gate, then takes the backup."""
        self.gate.pass_through(attempt, run)
        super().perform(attempt, run)


class GatedVerifications(VerificationWork):
    """The real verifications, behind a gate."""

    gate: Gate

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Passes the gate, as `verified` calls its target there, then verifies."""
        self.gate.pass_through(dataclasses.replace(attempt, target=verified(attempt.target)), run)
        super().perform(attempt, run)


def verified(target: str) -> str:
    """What the gate calls verifications of a target's backups."""
    return f"{target}-verified"


def gated(settings: Settings, database: Database, gate: Gate) -> Services:
    """All services, their backups and verifications behind the gate."""
    services = assemble(settings, database)
    backups = GatedBackups(settings, database, services.identity, services.targets, services.stores, services.policies)
    proof = Proof(Copies(settings, services.identity, services.catalogue, services.stores))
    verifications = GatedVerifications(settings, database, services.targets, services.policies, proof)
    backups.gate = verifications.gate = gate
    return dataclasses.replace(services, backups=backups, verification_work=verifications)


@dataclass(frozen=True)
class QueueBench:
    """One kind of queue on one kind of own database, and three targets of which nothing is done yet."""

    kind: str
    folder: Path
    database_url: str
    database: Database
    more: Mapping[str, str]

    @property
    def gate(self) -> Gate:
        """What happens to the backups."""
        return Gate(self.folder / "gate")

    def services(self, machine: str = "here", **more: object) -> Services:
        """Services of one machine: machines share the databases and the store, not the data folder."""
        settings = settings_in(
            self.folder / machine,
            database_url=self.database_url,
            storage_url=(self.folder / "store").as_uri(),
            secret_key="0123456789" * 4,
            signing_key_file=self.folder / "signing.key",
            **{**self.more, **more},
        )
        return gated(settings, self.database, self.gate)

    def prepare(self) -> None:
        """Registers the targets."""
        services = self.services()
        for name in TARGETS:
            make_sqlite_database(self.folder / f"{name}.db", megabytes=0.02)
            services.targets.add(name, f"sqlite:///{self.folder / name}.db")

    @contextlib.contextmanager
    def open(self, machine: str = "here", timing: Timing = BRISK, **more: object) -> Iterator["OpenedQueue"]:
        """A queue with its worker in this process."""
        services = self.services(machine, **more)
        with QUEUES[self.kind](services, timing) as queue:
            yield OpenedQueue(services, queue)

    @contextlib.contextmanager
    def elsewhere(self, *, machine: str = "there", queues: str = "") -> Iterator[Piped]:
        """The same in a process of its own; it ends in good order when its standard input does.

        Args:
            machine: the name of a machine.
            queues: the only ones that it takes jobs of, comma-separated.
        """
        settings = self.services(machine).settings
        environment = {
            "HHH_DATA_DIR": str(settings.data_dir),
            "HHH_SCRATCH_DIR": str(settings.scratch_dir),
            "HHH_DATABASE_URL": self.database_url,
            "HHH_STORAGE_URL": settings.default_storage_url,
            "HHH_SECRET_KEY": settings.secret_key.get_secret_value(),
            "HHH_SIGNING_KEY_FILE": str(settings.signing_key_path),
            "HHH_WORKER_QUEUES": queues,
            **{f"HHH_{name.upper()}": value for name, value in self.more.items()},
        }
        order = {"kind": self.kind, "environment": environment, "gate": str(self.gate.folder)}
        program = Path(__file__).with_name("queue_process.py")
        process = Piped(str(program), json.dumps(order))
        current_session().watch(process)
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()
            process.communicate()
            current_session().release(process)

    def leave_to_others(self, target: str = "one") -> str:
        """Has a backup queued that nobody has; answers its id."""
        new = self.services().backups.request(target)
        with self.database.transaction() as session:
            now = rows.server_time(session)
            return creation.insert(session, new, now, worker="", lease_expires_at=now)

    def job(self, job_id: str) -> Job:
        """The row."""
        with self.database.snapshot() as session:
            return session.get_one(Job, job_id)

    def wait_for_state(self, job_id: str, *states: str) -> Job:
        """The row, once it is in one of these states."""

        def reached() -> Job | None:
            job = self.job(job_id)
            return job if job.state in states else None

        found = wait_until(reached, seconds=30, what=f"job {job_id} to be {states}")
        assert found is not None
        return found

    def manifests(self) -> list[str]:
        """The keys of all manifests in the store."""
        return sorted(path.name for path in (self.folder / "store").rglob("*.sql.json"))

    def objects(self) -> list[str]:
        """All files in the store."""
        return sorted(path.name for path in (self.folder / "store").rglob("*") if path.is_file())


@dataclass(frozen=True)
class OpenedQueue:
    """A queue that runs, and its services."""

    services: Services
    queue: JobQueue

    def ask(self, target: str = "one", *, retries: int = 0, time_limit: int | None = None) -> str:
        """Has a backup queued; answers its id."""
        new = self.services.backups.request(target)
        return self.queue.enqueue(dataclasses.replace(new, retries=retries, time_limit_seconds=time_limit))

    def verify(self, backup_id: str) -> str:
        """Has a verification queued; answers its id."""
        return self.queue.enqueue(self.services.verifications.request(backup_id, "stored", requested_by="test"))

    def wait_for(self, job_id: str) -> None:
        """Waits as a route does."""
        asyncio.run(asyncio.wait_for(self.queue.finished(job_id), timeout=30))

    def status(self, job_id: str) -> str:
        """What the catalogue says."""
        return self.services.catalogue.get(job_id).status


TARGETS = ("one", "two", "three")


def end_in_good_order(process: Piped) -> None:
    """Has the process stop as it is asked to, and waits for it."""
    process.communicate(timeout=60)
    assert process.returncode == 0


def freeze(process: Piped) -> None:
    """Nothing runs in it until it is thawed."""
    process.send_signal(signal.SIGSTOP)


def thaw(process: Piped) -> None:
    """It goes on as if nothing had happened."""
    process.send_signal(signal.SIGCONT)
