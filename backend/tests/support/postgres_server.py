"""One real PostgreSQL server on loopback: made, started, killed, stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from support.ports import LOOPBACK, free_port
from support.postgres_installs import give_to_server_account, server_account, server_bin_dir
from support.session import current_session
from support.waiting import wait_until

SUPERUSER = "postgres"

#: Quick and small; nothing that changes what a dump contains.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",  # in the data dir, so that a killed server leaves nothing in /dev/shm
    "listen_addresses": LOOPBACK,
}

_ATTEMPTS_TO_FIND_A_PORT = 5


@dataclass(frozen=True)
class PostgresServer:
    """A running server with password sign-in (scram) on TCP and on its Unix socket."""

    #: 15, 16, 18 …
    major: int
    #: Programs of exactly this major: pg_dump, pg_restore, psql …
    bin_dir: Path
    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    data_dir: Path
    #: The folder of the Unix socket; works as libpq's `host` too.
    socket_dir: Path
    #: Its standard error, with what clients did wrong.
    log_file: Path
    #: Made for one test, which may do with it what it likes.
    private: bool
    settings: Mapping[str, str] = field(repr=False)
    _processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list, repr=False)

    def url(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        """A libpq URL over TCP; the superuser's unless `user` (then with `password`) is given."""
        if user is None:
            user, password = self.superuser, password or self.password
        secret = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}/{quote(database, safe='')}"

    def environment(self, database: str = "postgres") -> dict[str, str]:
        """Variables for libpq, for running this server's own tools by hand as the superuser."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.superuser,
            "PGPASSWORD": self.password,
            "PGDATABASE": database,
        }

    def connect(self, database: str = "postgres", **options: Any) -> "psycopg.Connection[Any]":
        """A psycopg connection as the superuser; `options` (such as `autocommit`) go to psycopg.connect."""
        return psycopg.connect(self.url(database), **options)

    def execute(self, query: str | sql.Composable, *, database: str = "postgres") -> None:
        """Run one statement as the superuser, outside a transaction block."""
        with self.connect(database, autocommit=True) as connection:
            connection.execute(query)  # type: ignore[arg-type]

    def create_database(self, name: str | None = None, *, template: str | None = None) -> str:
        """Create a database, by default empty and with a unique name, and answer its name.

        With `template` it is a copy of that one, which nobody may be connected to.
        """
        name = name or f"db_{uuid.uuid4().hex[:12]}"
        # Half of the work of writing each page to the WAL, as is usual.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template1")))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database and the connections to it; no error if it is gone already."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def is_running(self) -> bool:
        """Whether the postmaster lives."""
        return self._postmaster.poll() is None

    def kill_postmaster(self) -> None:
        """SIGKILL the postmaster; return once its backends have noticed and gone, so that `start` may follow."""
        if not self.private:
            raise RuntimeError("a shared server serves other tests: use the fixture private_postgres")
        backends = psutil.Process(self._postmaster.pid).children()
        self._postmaster.kill()
        self._postmaster.wait()
        current_session().release(self._postmaster)
        _, stubborn = psutil.wait_procs(backends, timeout=10)
        for backend in stubborn:
            backend.kill()

    def start(self) -> None:
        """Start it, again on the same port, and wait until it accepts connections; RuntimeError with its log if not."""
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
        options = {"port": str(self.port), "unix_socket_directories": str(self.socket_dir), **self.settings}
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [
                    self.bin_dir / "postgres",
                    "-D",
                    self.data_dir,
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **program_context(),
            )
        self._processes.append(process)
        current_session().watch(process)
        try:
            wait_until(lambda: self._is_ready() or not self.is_running(), seconds=60, what=f"PostgreSQL {self.major}")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        if not self.is_running():
            raise RuntimeError(f"PostgreSQL {self.major} did not start:\n{self.log_file.read_text()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT rolls back and closes well (“fast”), SIGQUIT drops everything. No-op when it has ended."""
        if not self._processes:
            return
        self._postmaster.send_signal(how)
        try:
            self._postmaster.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._postmaster.kill()
            self._postmaster.wait()
        current_session().release(self._postmaster)

    def remove(self) -> None:
        """Stop it at once and remove its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.data_dir.parent, ignore_errors=True)

    @property
    def _postmaster(self) -> "subprocess.Popen[bytes]":
        return self._processes[-1]

    def _is_ready(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[0] == str(self._postmaster.pid) and lines[7].strip() == "ready"
        return False


def program_context() -> dict[str, Any]:
    """Arguments for subprocess: the servers' account, a small environment, a folder that it may enter."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return {"cwd": "/", "env": environment, **server_account()}


def make_data_dir(major: int, password: str) -> Path:
    """A freshly initialised data dir (its own system identifier, UTF-8, scram) in a folder of its own."""
    home = _new_home(major)
    data_dir, password_file = home / "data", home / "password"
    password_file.write_text(password)
    give_to_server_account(password_file)
    try:
        subprocess.run(
            [
                server_bin_dir(major) / "initdb",
                f"--pgdata={data_dir}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            **program_context(),
        )
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"initdb of PostgreSQL {major}: {error.stderr.decode()}") from error
    password_file.unlink()
    return data_dir


def copy_data_dir(major: int, template: Path) -> Path:
    """A copy of a data dir whose server never ran, owners and modes kept, in a folder of its own."""
    data_dir = _new_home(major) / "data"
    subprocess.run(["cp", "-Rp", template, data_dir], check=True)
    return data_dir


def start_server(
    major: int, data_dir: Path, password: str, *, private: bool, settings: Mapping[str, str]
) -> PostgresServer:
    """Start a server on a data dir of ours, on another port if somebody took the first one."""
    for attempt in range(_ATTEMPTS_TO_FIND_A_PORT):
        server = PostgresServer(
            major=major,
            bin_dir=server_bin_dir(major),
            host=LOOPBACK,
            port=free_port(),
            superuser=SUPERUSER,
            password=password,
            data_dir=data_dir,
            socket_dir=data_dir.parent,
            log_file=data_dir.parent / f"log.{attempt}",
            private=private,
            settings={**SETTINGS, **settings},
        )
        try:
            server.start()
        except RuntimeError:
            if "could not bind" not in server.log_file.read_text():
                raise
        else:
            return server
    raise RuntimeError(f"no free port for PostgreSQL {major} after {_ATTEMPTS_TO_FIND_A_PORT} attempts")


def _new_home(major: int) -> Path:
    home = current_session().new_folder(f"pg{major}")
    give_to_server_account(home)
    return home
