"""The real service as a process of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import httpx
import pytest

from support import described
from support.forking import Running, begin, fork_hhh
from support.own_databases import migrated_file
from support.ports import LOOPBACK, free_port
from support.session import current_session
from support.waiting import WaitedTooLongError, wait_until

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "correct horse battery staple"

HEALTH = "/api/v1/auth/health"
LOGIN = "/api/v1/auth/login"

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


def hhh_command() -> list[str]:
    """The installed `hhh` of this interpreter's environment, or the same entry point through the interpreter."""
    installed = Path(sys.executable).parent / "hhh"
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "from hhh.cli import main; main()"]


class Service:
    """`hhh serve` with its own data dir, port and settings; nothing of the tests' environment but PATH.

    `settings` are the names of ARCHITECTURE.md in lower case without the prefix (`storage_url="s3://…"` is
    HHH_STORAGE_URL); `environment` is what else it shall have, such as the AWS_ variables of the rig `s3`.
    `arguments` are those of `hhh`, forked by `support.forking`; `command` is another program, such as the installed
    one.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = ("serve",),
        command: Sequence[str] | None = None,
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.port = free_port()
        self.base_url = f"http://{LOOPBACK}:{self.port}"
        self.stdout_file = folder / "stdout.log"
        self.stderr_file = folder / "stderr.log"
        self.environment = self._environment(environment or {}, settings or {})
        self._arguments = arguments
        self._command = command
        self._process: Running | None = None
        self._started: list[Running] = []

    def start(self) -> Self:
        """Start it and wait until it answers that it is healthy; RuntimeError with its log if it ends instead."""
        self._process = self._begin()
        self._started.append(self._process)
        current_session().watch(self._process)
        try:
            self._wait_for_health()
        except (RuntimeError, WaitedTooLongError) as error:
            self.close()
            error.add_note(f"Its log:\n{self.log()}")
            raise
        return self

    def running(self, *command: str) -> Self:
        """Start it with another command."""
        self._command = command
        return self.start()

    @property
    def pid(self) -> int:
        """The process id of the running service, or of the one that ran last."""
        if self._process is None:
            raise RuntimeError("the service was never started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; negative is the signal's number; None while it runs or if it never ran."""
        return self._process.poll() if self._process else None

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def is_healthy(self) -> bool:
        """Whether it answers 200 on its health endpoint."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.base_url + HEALTH, timeout=5, trust_env=False).status_code == 200
        return False

    def kill(self) -> None:
        """SIGKILL the service alone, as the kernel would; programs it started are left to notice by themselves."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal and go on."""
        if self._process is None:
            raise RuntimeError("the service was never started")
        self._process.send_signal(number)

    def terminate(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop and wait for an orderly end; AssertionError if it takes more than half a minute."""
        self._end(how)

    def restart(self) -> Self:
        """Stop it if it runs and start it again: same data dir, same port, same settings."""
        self.terminate()
        return self.start()

    def close(self) -> None:
        """End it and everything that is left of the process groups it ever ran in."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            current_session().release(process)
        self._started.clear()

    def log(self) -> str:
        """All it has written so far, standard output first."""
        files = (self.stdout_file, self.stderr_file)
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def client(self, **options: object) -> httpx.Client:
        """An HTTP client with its own cookie jar; the caller closes it. `options` go to httpx.Client."""
        ours = {"base_url": self.base_url, "timeout": 60, "trust_env": False}
        # A program that stands in for the service is not described.
        is_ours = self._command is None or self._command[: len(hhh_command())] == hhh_command()
        watched = {"event_hooks": {"response": [described.check] if is_ours else []}}
        return httpx.Client(**{**ours, **watched, **options})  # type: ignore[arg-type]

    def sign_in(
        self, client: httpx.Client, *, email: str = ADMIN_EMAIL, password: str = ADMIN_PASSWORD
    ) -> httpx.Client:
        """Sign the client in the way the runbook does, and let it send the CSRF token from now on."""
        client.get(HEALTH).raise_for_status()
        client.post(LOGIN, json={"email": email, "password": password}).raise_for_status()
        client.headers["X-CSRF-Token"] = client.cookies["hhh_csrf"]
        return client

    @contextlib.contextmanager
    def signed_in_client(self) -> Iterator[httpx.Client]:
        """For a `with` statement: a client that is signed in as the first super admin."""
        with self.client() as client:
            yield self.sign_in(client)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _environment(self, more: Mapping[str, str], settings: Mapping[str, object]) -> dict[str, str]:
        ours: dict[str, object] = {
            "env": "dev",
            "host": LOOPBACK,
            "port": self.port,
            "data_dir": self.data_dir,
            "admin_email": ADMIN_EMAIL,
            "admin_password": ADMIN_PASSWORD,
        }
        names = {f"HHH_{name.upper()}": str(value) for name, value in {**ours, **settings}.items()}
        return {"PATH": os.environ.get("PATH", os.defpath), **names, **more}

    def _begin(self) -> Running:
        where = {"folder": self.folder, "stdout": self.stdout_file, "stderr": self.stderr_file}  # no stray .env
        if self._command is None:
            return fork_hhh(self._arguments, environment=self.environment, **where)
        return begin(self._command, environment=self.environment, **where)

    def _wait_for_health(self) -> None:
        wait_until(lambda: self.is_healthy() or not self.is_running(), seconds=_START_SECONDS, what="a healthy service")
        if not self.is_running():
            raise RuntimeError(f"the service ended at start with {self.exit_code}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or not self.is_running():
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the service ignored {how.name} for {_STOP_SECONDS:g} s:\n{self.log()}") from None


class ServiceFactory(Protocol):
    """What the fixture `service_factory` gives."""

    def __call__(self, *, environment: Mapping[str, str] | None = None, **settings: object) -> Service:
        """Start a service and wait until it is healthy."""


def _spare_the_migration(service: Service) -> None:
    service.data_dir.mkdir(mode=0o700)
    shutil.copy(migrated_file(), service.data_dir / "hhh.db")


@pytest.fixture
def service_factory() -> Iterator[ServiceFactory]:
    """Starts services, each with a fresh data dir; they end with the test.

    A SQLite file of their own is migrated already, unless a test says how it is to be migrated.
    """
    with contextlib.ExitStack() as running:

        def start(*, environment: Mapping[str, str] | None = None, **settings: object) -> Service:
            service = Service(current_session().new_folder("service"), settings, environment=environment)
            if settings.keys().isdisjoint({"auto_migrate", "database_url", "data_dir"}):
                _spare_the_migration(service)
            running.callback(service.close)
            return service.start()

        yield start


@pytest.fixture
def service(service_factory: ServiceFactory) -> Service:
    """A service with nothing but defaults: SQLite, the embedded queue, a local folder."""
    return service_factory()
