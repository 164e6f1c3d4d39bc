"""A PostgreSQL server for one drill: made in scratch, fast and unsafe, reached by a socket only, thrown away."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hhh.core.errors import Lacking, ScratchError, ToolFailed, ToolMissing
from hhh.core.files import write_private
from hhh.core.orphans import end_processes_in
from hhh.core.process import Child, running
from hhh.core.run import Run
from hhh.core.scratch import scratch_written
from hhh.engines.base import Workplace
from hhh.engines.postgresql.binaries import Tool
from hhh.engines.postgresql.isolation import Isolation, isolate
from hhh.engines.postgresql.tool import wait_for_silence
from hhh.engines.postgresql.url import Address

_PORT = "5432"
_SOCKET = f".s.PGSQL.{_PORT}"
#: Bytes of a path that the address of a Unix socket has room for, with its end.
_LONGEST_SOCKET_PATH = 107
_POLL_MILLISECONDS = 10
_START_SECONDS = 60.0
_STOP_MILLISECONDS = 5000
_READY_LINE = 7
_CHECKSUMS_BY_DEFAULT_SINCE = 18
_MEGABYTE = 1 << 20
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
#: Nothing of it has to survive anything, so nothing is written for safety: a table that is filled in the transaction
#: that made or emptied it is not logged at all (``wal_level=minimal``). Shared memory is the processes' own, or in
#: files of the data folder: a killed server leaves none in ``/dev/shm``. The socket is in the data folder, too; that is
#: named as the server sees it, since the whole path may be too long for a socket.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "shared_memory_type": "mmap",
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_init_zero": "off",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1d",
    "autovacuum": "off",
    "bgwriter_lru_maxpages": "0",
    "restart_after_crash": "off",
    "jit": "off",
    "track_counts": "off",
    "update_process_title": "off",
    "max_connections": "64",
    # Of thousands of tables, each with its indexes, by one session.
    "max_locks_per_transaction": "1024",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "lc_messages": "C",
    "TimeZone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; nobody but its superuser may sign in yet."""

    #: Of its superuser, with the password, to the database ``postgres``.
    url: str = field(repr=False)
    isolation: Isolation


@contextlib.contextmanager
def throw_away_server(
    initdb: Tool, postgres: Tool, taken: Collection[str], workplace: Workplace, run: Run
) -> Iterator[Server]:
    """A new server; whatever ends the block, it has ended and its files are gone afterwards.

    Args:
        initdb: that makes it.
        postgres: that runs it, of the same version.
        taken: names that its superuser may not have.
        workplace: where to work.
        run: who may cancel.

    Raises:
        Lacking: it can't be made or does not start here.
        Cancelled, LeaseLost: the run is over.
    """
    superuser, password = _free_name(taken), secrets.token_urlsafe(32)
    with _folder(workplace.scratch) as folder:
        data = folder / "data"
        with _lacking("made"):
            write_private(folder / "password", password.encode())
            isolation = isolate(folder, initdb.path, workplace)
            _initialise(initdb, superuser, folder, isolation, run)
        with contextlib.ExitStack() as stack:
            with _lacking("started"):
                stack.enter_context(_started(postgres, data, isolation, run))
            host = stack.enter_context(_socket_folder(data))
            parameters = {"host": host, "port": _PORT, "user": superuser, "dbname": "postgres"}
            yield Server(Address(parameters, password).url, isolation)


def _free_name(taken: Collection[str]) -> str:
    name = "hhh_drill"
    while name in taken:
        name += "_"
    return name


@contextlib.contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    with scratch_written(scratch):
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir=scratch))
    try:
        yield folder
    finally:
        end_processes_in(folder)
        shutil.rmtree(folder, ignore_errors=True)  # what stays, goes with the scratch, or is told with it


@contextlib.contextmanager
def _lacking(doing: str) -> Iterator[None]:
    """A server that can't be had says nothing of the backup.

    Raises:
        Lacking: instead of what the tools, or the system, say.
    """
    try:
        yield
    except (ToolFailed, ToolMissing, ScratchError) as error:
        raise Lacking(f"A throw-away server could not be {doing}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise Lacking(f"A throw-away server could not be {doing}: {error.strerror}") from error


def _initialise(initdb: Tool, superuser: str, folder: Path, isolation: Isolation, run: Run) -> None:
    options = [
        f"--pgdata={folder / 'data'}",
        f"--username={superuser}",
        f"--pwfile={folder / 'password'}",
        # What the dump's own code does there, comes from the same account: it is no superuser without the password.
        "--auth-local=scram-sha-256",
        "--auth-host=reject",
        # Of its own databases: the one that is restored has its own.
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
        *(["--no-data-checksums"] if initdb.major >= _CHECKSUMS_BY_DEFAULT_SINCE else []),
    ]
    with _running("initdb", isolation.command(initdb.path, *options), folder) as child:
        wait_for_silence(child, run)
        try:
            child.finish()
        except ToolFailed as error:  # its last line tells how it cleans up
            if (stopped := _stopped_by(child)) is None:
                raise
            raise ToolFailed(f"initdb failed: {stopped}") from error
    (folder / "password").unlink()


def _running(name: str, command: Sequence[str | Path], folder: Path) -> contextlib.AbstractContextManager[Child]:
    # Without TZ, initdb compares all time zones there are with this machine's.
    return running(command, environment={"HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}, cwd=folder, name=name)


@contextlib.contextmanager
def _started(postgres: Tool, data: Path, isolation: Isolation, run: Run) -> Iterator[None]:
    settings = [f"--{name}={value}" for name, value in {**_SETTINGS, **_memory_settings()}.items()]
    command = isolation.command(postgres.path, "-D", data, *settings)
    with _running("postgres", command, data) as child:
        try:
            _wait_until_ready(child, data, run)
            yield
        finally:
            if not isolation.ends_together:
                _stop(child, data)


def _wait_until_ready(child: Child, data: Path, run: Run) -> None:
    deadline = time.monotonic() + _START_SECONDS
    poll = select.poll()
    poll.register(child.stdout.fileno(), select.POLLIN)
    while not _is_ready(data):
        run.raise_if_cancelled()
        if poll.poll(_POLL_MILLISECONDS):  # the end of its standard output, to which it writes nothing
            raise ToolFailed(f"postgres ended: {_reason(child)}")
        if time.monotonic() > deadline:
            raise ToolFailed(f"postgres is not ready after {_START_SECONDS:.0f} s: {_reason(child)}")


def _is_ready(data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > _READY_LINE and lines[_READY_LINE].strip() == "ready"


def _reason(child: Child) -> str:
    return _stopped_by(child) or next(reversed(child.last_lines), "it said nothing")


def _stopped_by(child: Child) -> str | None:
    """The last line that tells of a reason; after that it says that it is stopped, or cleans up."""
    return next((line for line in reversed(child.last_lines) if "FATAL" in line or ": error: " in line), None)


def _stop(child: Child, data: Path) -> None:
    """Ends the server so that it takes back its part of the system's shared memory, and then what is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGQUIT)
    poll = select.poll()
    poll.register(child.stdout.fileno(), select.POLLIN)
    poll.poll(_STOP_MILLISECONDS)
    end_processes_in(data)


@contextlib.contextmanager
def _socket_folder(data: Path) -> Iterator[str]:
    """What libpq takes as the host; where the path is too long for the address of a socket, by a descriptor of ours."""
    if len(os.fsencode(data / _SOCKET)) <= _LONGEST_SOCKET_PATH:
        yield str(data)
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _memory_settings() -> Mapping[str, str]:
    """A share of the memory: two gigabytes are enough, and tens of them are not all taken."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no such limit, or ``max``
        memory = min(memory, int(_CGROUP_LIMIT.read_text()))
    megabytes = memory // _MEGABYTE
    return {
        "shared_buffers": f"{max(64, min(megabytes // 8, 1024))}MB",
        "maintenance_work_mem": f"{max(32, min(megabytes // 16, 512))}MB",
    }
