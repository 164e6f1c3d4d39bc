"""Ways to take a backup, each run and measured in the same manner."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from bench.measure import MemoryWatch, Usage, cpu_of_tree, folder_size, now
from support.service import Service, hhh_command

_REPOSITORY = Path(__file__).parent.parent
#: What a command printed.
_SAID = "said"
_TRIGGER = "/api/v1/backups/trigger"
_REFRESH = "/api/v1/auth/refresh"
#: Seconds between two looks at a restore: each look costs the service, and us beside it, some milliseconds.
_POLL_SECONDS = 0.1
#: Seconds after which the access token (15 minutes) is renewed.
_RENEW_AFTER = 600.0


class ServerClock:
    """The processor time of a database server, which works for the contenders as well."""

    def __init__(self, postmaster: int | None = None) -> None:
        self._postmaster = postmaster

    def seconds(self) -> float | None:
        """So far; None where there is no server."""
        return None if self._postmaster is None else cpu_of_tree(self._postmaster)


class Contender(ABC):
    """One way to take a backup."""

    def __init__(self, name: str, clock: ServerClock) -> None:
        #: As the table has it.
        self.name = name
        self._clock = clock

    def measure(self) -> Usage:
        """Runs it once, on quiet disks, and removes what it made."""
        self.prepare()
        os.sync()  # what earlier runs wrote is not to be paid for by this one
        server = self._clock.seconds()
        usage = self.run()
        after = self._clock.seconds()
        server_cpu = after - server if after is not None and server is not None else None
        self.clean()
        return Usage(usage.wall, usage.cpu, server_cpu, usage.peak_process, usage.peak_tree, usage.stored)

    @abstractmethod
    def prepare(self) -> None:
        """What is not measured before."""

    @abstractmethod
    def run(self) -> Usage:
        """What is measured."""

    @abstractmethod
    def clean(self) -> None:
        """What is not measured after."""


class Command(Contender):
    """A line for bash, run in a new folder; what it leaves in ``out`` there is what it stored."""

    def __init__(
        self,
        name: str,
        script: str,
        *,
        folder: Path,
        clock: ServerClock,
        environment: Mapping[str, str] | None = None,
        preparation: str = "",
        cleaning: str = "",
    ) -> None:
        super().__init__(name, clock)
        self._script = script
        self._preparation = preparation
        self._cleaning = cleaning
        self._folder = folder / "command"
        self._environment = {**_plain_environment(), "HOME": str(self._folder / "home"), **(environment or {})}

    def prepare(self) -> None:
        for folder in (self._folder / "out", self._folder / "home"):
            folder.mkdir(parents=True)
        if self._preparation:
            self._ended(subprocess.call(self._arguments(self._preparation), **self._context()))

    def run(self) -> Usage:
        begun = now()
        process = subprocess.Popen(self._arguments(self._script), **self._context())
        with MemoryWatch(process.pid) as memory:
            _, status, used = os.wait4(process.pid, 0)
            wall = now() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        self._ended(process.returncode)
        peak = memory.peak
        stored = folder_size(self._folder / "out")
        return Usage(wall, used.ru_utime + used.ru_stime, None, peak.process, peak.tree, stored)

    def clean(self) -> None:
        if self._cleaning:
            self._ended(subprocess.call(self._arguments(self._cleaning), **self._context()))
        shutil.rmtree(self._folder)

    def _ended(self, status: int) -> None:
        if status:
            raise RuntimeError(f"{self.name} ended with {status}: {(self._folder / _SAID).read_text()}")

    @staticmethod
    def _arguments(script: str) -> list[str]:
        return ["bash", "-o", "pipefail", "-ec", f"exec >{_SAID} 2>&1; {script}"]

    def _context(self) -> dict[str, Any]:
        return {"cwd": self._folder, "env": self._environment, "stdin": subprocess.DEVNULL}


class WarmService:
    """A running service with its targets, signed in to."""

    def __init__(self, folder: Path, targets: Mapping[str, str], settings: Mapping[str, object]) -> None:
        self.store = folder / "store"
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        folders = {"storage_url": self.store.as_uri(), "scratch_dir": scratch}
        self.service = Service(folder, {**folders, **settings}).start()
        try:
            self._client = self.service.sign_in(self.service.client(timeout=None))
            self._renewed = now()
            self._backups: dict[str, str] = {}
            for name, url in targets.items():
                self._client.post("/api/v1/targets", json={"name": name, "url": url}).raise_for_status()
        except BaseException:
            self.service.close()
            raise

    @property
    def client(self) -> httpx.Client:
        """A client that is signed in."""
        if now() - self._renewed > _RENEW_AFTER:
            self._client.post(_REFRESH).raise_for_status()
            self._client.headers["X-CSRF-Token"] = self._client.cookies["hhh_csrf"]
            self._renewed = now()
        return self._client

    def set_policy(self, target: str, policy: Mapping[str, object]) -> None:
        """Changes what is named of the target's policy."""
        self.client.patch(f"/api/v1/targets/{target}", json=policy).raise_for_status()

    def trigger(self, target: str) -> None:
        """Takes a backup; returns when it is stored."""
        answer = self.client.post(_TRIGGER, json={"target": target})
        if answer.is_error:
            raise RuntimeError(answer.text)

    def backup(self, target: str) -> str:
        """The id of a backup of the target; the first call takes it."""
        if target not in self._backups:
            answer = self.client.post(_TRIGGER, json={"target": target})
            self._backups[target] = answer.raise_for_status().json()["backup_id"]
        return self._backups[target]

    def restore(self, target: str, destination: str) -> None:
        """Restores that backup into something new; returns when it is there, compared."""
        request = {"backup_id": self.backup(target), "mode": "new", "destination": destination}
        self._wait_for(self.client.post("/api/v1/restores", json=request))

    def prove(self, target: str) -> None:
        """Restores that backup into a throw-away place; returns when it is compared, and the place gone."""
        place = f"/api/v1/backups/{self.backup(target)}/verify"
        self._wait_for(self.client.post(place, json={"level": "proven"}))

    def measured(self, work: Callable[[], object]) -> Usage:
        """What the service and its children need until ``work`` returns; what is stored is not counted."""
        pid = self.service.pid
        with MemoryWatch(pid) as memory:
            cpu, begun = cpu_of_tree(pid), now()
            work()
            wall, cpu = now() - begun, cpu_of_tree(pid) - cpu
        peak = memory.peak
        return Usage(wall, cpu, None, peak.process, peak.tree, 0)

    def empty_store(self) -> None:
        """Removes what backups left."""
        for folder in self.store.iterdir():
            shutil.rmtree(folder)

    def _wait_for(self, accepted: httpx.Response) -> None:
        place = accepted.raise_for_status().headers["Location"]
        while (answer := self.client.get(place).raise_for_status().json())["status"] in {"queued", "running"}:
            time.sleep(_POLL_SECONDS)
        if answer["status"] != "success":
            raise RuntimeError(answer["error"])

    def close(self) -> None:
        """Ends it."""
        self._client.close()
        self.service.close()


class Trigger(Contender):
    """Ours: a trigger of a running service, until it answers that the backup is stored."""

    def __init__(self, name: str, service: WarmService, target: str, clock: ServerClock) -> None:
        super().__init__(name, clock)
        self._service = service
        self._target = target

    def prepare(self) -> None:
        self._service.client.get("/api/v1/auth/me").raise_for_status()

    def run(self) -> Usage:
        usage = self._service.measured(lambda: self._service.trigger(self._target))
        return replace(usage, stored=folder_size(self._service.store))

    def clean(self) -> None:
        self._service.empty_store()


class Restore(Contender):
    """Ours: a restore by a running service into something new, until it says that it is there and compared."""

    def __init__(
        self,
        name: str,
        service: WarmService,
        target: str,
        destination: str,
        clock: ServerClock,
        *,
        remove: Callable[[], None],
    ) -> None:
        super().__init__(name, clock)
        self._service = service
        self._target = target
        self._destination = destination
        self._remove = remove

    def prepare(self) -> None:
        self._service.backup(self._target)

    def run(self) -> Usage:
        return self._service.measured(lambda: self._service.restore(self._target, self._destination))

    def clean(self) -> None:
        self._remove()


def cli(name: str, service: WarmService, target: str, *, folder: Path, clock: ServerClock) -> Command:
    """Ours: the command line, beside the service and with its settings, but for the store."""
    settings = {key: value for key, value in service.service.environment.items() if key.startswith("HHH_")}
    environment = {**settings, "HHH_STORAGE_URL": (folder / "command" / "out").as_uri()}
    command = " ".join(f"'{part}'" for part in hhh_command())
    return Command(name, f"{command} backup run {target}", folder=folder, clock=clock, environment=environment)


class Composition(Contender):
    """Ours without jobs and catalogue, put together of the public parts in a warm process (`bench.composition`)."""

    def __init__(self, name: str, request: Mapping[str, object], *, folder: Path, clock: ServerClock) -> None:
        super().__init__(name, clock)
        self._store = folder / "composition"
        self._request = {**request, "store": str(self._store)}
        path = os.pathsep.join([str(_REPOSITORY), *filter(None, sys.path)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.composition"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_plain_environment(), "PYTHONPATH": path},
            text=True,
        )

    def prepare(self) -> None:
        """Nothing: its process is warm."""

    def run(self) -> Usage:
        pid = self._process.pid
        with MemoryWatch(pid) as memory:
            cpu, begun = cpu_of_tree(pid), now()
            self.work()
            wall, cpu = now() - begun, cpu_of_tree(pid) - cpu
        peak = memory.peak
        return Usage(wall, cpu, None, peak.process, peak.tree, folder_size(self._store))

    def work(self) -> None:
        """Takes a backup."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._request) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError(f"{self.name} failed")

    def clean(self) -> None:
        shutil.rmtree(self._store)

    def close(self) -> None:
        """Ends its process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def warm_service(
    folder: Path, targets: Mapping[str, str], settings: Mapping[str, object] | None = None
) -> Iterator[WarmService]:
    """A service for as long as the block runs."""
    service = WarmService(folder, targets, settings or {})
    try:
        yield service
    finally:
        service.close()


def archivers(
    source: str, *, from_stdin: bool, folder: Path, clock: ServerClock, environment: Mapping[str, str]
) -> list[Contender]:
    """Of restic and borg what is installed, each with a new repository every time.

    Args:
        source: a file, or a command whose output is stored.
        from_stdin: whether it is a command.
        folder: where to work.
        clock: of the database's server.
        environment: of the command.
    """
    restic, borg = ("restic -q backup --stdin", "borg create --compression zstd,1 out::a -")
    commands = {
        "restic": ("restic -q init", f"{source} | {restic}" if from_stdin else f"restic -q backup '{source}'"),
        "borg": (
            "borg init --encryption repokey-blake2 out",
            f"{source} | {borg}" if from_stdin else f"borg create --compression zstd,1 out::a '{source}'",
        ),
    }
    passwords = {"RESTIC_REPOSITORY": "out", "RESTIC_PASSWORD": "benchmark", "BORG_PASSPHRASE": "benchmark"}
    return [
        Command(
            name, script, folder=folder, clock=clock, environment={**environment, **passwords}, preparation=preparation
        )
        for name, (preparation, script) in commands.items()
        if shutil.which(name)
    ]


def _plain_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
