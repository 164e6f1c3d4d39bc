"""Several machines of one installation: `hhh serve --no-worker`, and `hhh worker` as often as a test likes."""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from support.forking import Running, begin, fork_hhh
from support.postgres import PostgresServer
from support.service import Service
from support.session import current_session
from support.waiting import wait_until

SECRET_KEY = "a secret of more than 32 characters"

#: `hhh` that takes a silent worker for dead after two seconds instead of thirty.
_BRISK = """
from datetime import timedelta
from functools import partial
from hhh.cli import main
from hhh.jobs import procrastinate
procrastinate.Timing = partial(procrastinate.Timing, lease=timedelta(seconds=2), beat=0.2, watch=0.5, tidy=0.3)
main()
"""
BRISK = [sys.executable, "-c", _BRISK]


class WorkerProcess:
    """One running `hhh worker`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Mapping[str, str],
        command: list[str] | None,
        *,
        queues: str | None = None,
    ) -> None:
        options = ["--name", name] if queues is None else ["--name", name, "--queues", queues]
        arguments, environment = ["worker", *options], {**environment, "COLUMNS": "200"}
        log = self.log_file = folder / f"{name}.log"
        log.touch()
        self.process: Running = (
            begin([*command, *arguments], folder=folder, environment=environment, stdout=log, stderr=log)
            if command
            else fork_hhh(arguments, folder=folder, environment=environment, stdout=log, stderr=log)
        )
        current_session().watch(self.process)
        wait_until(self._is_up, seconds=60, what=f"the worker {name}: {self.log()}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def log(self) -> str:
        """All it has written so far."""
        return self.log_file.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal and go on."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; how it ended."""
        return self.process.wait(timeout=30)

    def close(self) -> None:
        """End it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        current_session().release(self.process)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log()
        return "Taking jobs" in self.log()


class ManyMachines:
    """One installation on two databases, with one store that all its machines reach."""

    def __init__(self, folder: Path, own_url: str, jobs_url: str, running: contextlib.ExitStack) -> None:
        self.folder = folder
        self.own_url = own_url
        self.store = folder / "store"
        self.store.mkdir()
        self._running = running
        self._settings = {
            "database_url": own_url,
            "jobs_database_url": jobs_url,
            "secret_key": SECRET_KEY,
            "storage_url": self.store.as_uri(),
        }
        self._web: Service | None = None

    def web(self, **settings: object) -> Service:
        """Start `hhh serve --no-worker`; its settings are those of workers, too."""
        folder = current_session().new_folder("web")
        self._settings.update({name: str(value) for name, value in settings.items()})
        self._web = Service(folder, self._settings, arguments=("serve", "--no-worker"))
        self._running.callback(self._web.close)
        return self._web.start()

    def worker(
        self,
        name: str,
        *,
        elsewhere: bool = False,
        command: list[str] | None = None,
        queues: str | None = None,
        **settings: object,
    ) -> WorkerProcess:
        """Start a worker once `web` runs, of all queues or of those; `elsewhere`: with a data folder of its own."""
        assert self._web is not None
        environment = {**self._web.environment, **{f"HHH_{key.upper()}": str(value) for key, value in settings.items()}}
        if elsewhere:
            data_dir = self.folder / name
            data_dir.mkdir()
            shutil.copy(self._web.data_dir / "signing.key", data_dir)
            environment["HHH_DATA_DIR"] = str(data_dir)
        worker = WorkerProcess(name, self._web.folder, environment, command, queues=queues)
        self._running.callback(worker.close)
        return worker

    def stored(self) -> list[str]:
        """All files in the store."""
        return sorted(path.name for path in self.store.rglob("*") if path.is_file())


class Founding(Protocol):
    """What the fixture `many_machines` gives."""

    def __call__(self, *, jobs_url: str | None = None) -> ManyMachines:
        """A new installation, of which nothing runs yet."""


@pytest.fixture
def many_machines(any_postgres: PostgresServer, tmp_path: Path) -> Iterator[Founding]:
    """Founds installations on `any_postgres`; what they run ends with the test."""
    names: list[str] = []

    def found(*, jobs_url: str | None = None) -> ManyMachines:
        own = any_postgres.create_database()
        names.append(own)
        if jobs_url is None:
            names.append(any_postgres.create_database())
            jobs_url = any_postgres.url(names[-1])
        return ManyMachines(tmp_path, any_postgres.url(own), jobs_url, running)

    with contextlib.ExitStack() as running:
        yield found
    for name in names:
        any_postgres.drop_database(name)
