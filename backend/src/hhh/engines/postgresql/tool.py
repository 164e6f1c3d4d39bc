"""pg_restore under way: which entries, and as whom. What it tells is put together by `tool_lines`."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from psycopg.conninfo import make_conninfo

from hhh.core.errors import ScratchError, ToolFailed
from hhh.core.process import Child, running
from hhh.core.run import Run
from hhh.engines.base import Workplace
from hhh.engines.postgresql.archive import Entry, write_list
from hhh.engines.postgresql.binaries import Tool, find_tool
from hhh.engines.postgresql.connection import KEEPALIVE, Connection, tool_environment
from hhh.engines.postgresql.tool_lines import ToolLines

_POLL_MILLISECONDS = 200
_FEWEST_JOBS, _MOST_JOBS = 2, 8
#: Of all its sessions. What a crash of the server could lose is written at the latest with the commit that gives the
#: database its name: the log is written in its order, and that commit waits for it. Checks of foreign keys are long
#: enough to be compiled and too simple to gain by it.
_SETTINGS = ("synchronous_commit=off", "jit=off")
#: Where the jobs have all processors of the server: more processes for an index or a check only get in their way.
_WITHOUT_HELPERS = ("max_parallel_maintenance_workers=0", "max_parallel_workers_per_gather=0")


@dataclass(frozen=True, slots=True)
class Told:
    """What pg_restore told."""

    #: Each with what belongs to it, of several lines.
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PgRestore:
    """How pg_restore is started: one dump, into one database, as one role."""

    tool: Tool
    dump: Path
    environment: Mapping[str, str]
    scratch: Path
    #: Where the tablespaces of the dump do not exist here.
    without_tablespaces: bool = False

    def with_option(self, option: str) -> PgRestore:
        """The same with a setting of its sessions: ``name=value``."""
        options = f"{self.environment.get('PGOPTIONS', '')} -c {option}".strip()
        return replace(self, environment={**self.environment, "PGOPTIONS": options})

    def restore(self, entries: Sequence[Entry], run: Run, *, at_once: bool = False) -> Told:
        """Restores these entries and nothing else; no-op without any.

        Args:
            entries: of the dump, in their order.
            run: who may cancel; then the program and all its jobs are ended.
            at_once: in one transaction that the first error takes back, instead of in parallel and to the end.

        Raises:
            ToolFailed: it ended without success and said nothing, e.g. since it was killed.
            ScratchError: the list of entries can't be written.
        """
        if not entries:
            return Told()
        said = ToolLines()
        with running(self._command(entries, at_once=at_once), environment=self.environment, on_line=said.add) as child:
            wait_for_silence(child, run)
            try:
                child.finish()
            except ToolFailed:
                if not said.errors:
                    raise
        return Told(said.errors, tuple(said.warnings))

    def _command(self, entries: Iterable[Entry], *, at_once: bool) -> list[str | Path]:
        listing = self.scratch / "restore.list"
        try:
            write_list(entries, listing)
        except OSError as error:
            raise ScratchError(f"The scratch folder {self.scratch} can't be written: {error.strerror}") from error
        how = ["--single-transaction", "--exit-on-error"] if at_once else [f"--jobs={parallel_jobs()}"]
        if self.without_tablespaces:
            how.append("--no-tablespaces")
        # All else of the connection comes by the environment: other users of the machine can read arguments.
        where = [f"--dbname={make_conninfo(**KEEPALIVE)}", "--no-password"]
        return [self.tool.path, "--no-owner", "--no-privileges", *how, *where, f"--use-list={listing}", self.dump]


def pg_restore_environment(password_file: Path, connection: Connection) -> dict[str, str]:
    """The variables with which pg_restore reaches the server of a connection and gets done quickly there."""
    environment = tool_environment(password_file, connection)
    settings = (*_SETTINGS, *(_WITHOUT_HELPERS if _is_here(connection) else ()))
    options = [environment.get("PGOPTIONS", ""), *(f"-c {setting}" for setting in settings)]
    return environment | {"PGOPTIONS": " ".join(options).strip()}


def find_pg_restore(server_version: int, workplace: Workplace) -> tuple[Tool, str | None]:
    """The pg_restore for a server, and a warning where it is a newer one.

    Raises:
        ToolMissing: there is none.
    """
    return find_tool("pg_restore", server_version // 10_000, pg_bin_dir=workplace.pg_bin_dir)


def wait_for_silence(child: Child, run: Run) -> None:
    """Until a program and its jobs have closed their standard output, to which they write nothing.

    Raises:
        Cancelled, LeaseLost: the run is over.
    """
    poll = select.poll()
    poll.register(child.stdout.fileno(), select.POLLIN)
    while True:
        run.raise_if_cancelled()
        if poll.poll(_POLL_MILLISECONDS) and not child.stdout.read(1 << 16):
            return


def _is_here(connection: Connection) -> bool:
    """Whether the server is on this machine: by a socket or the loopback."""
    host, address = connection.info.host, connection.info.hostaddr
    return host.startswith(("/", "@")) or (bool(address) and ip_address(address).is_loopback)


def parallel_jobs() -> int:
    """How many things a restore does at the same time."""
    return max(_FEWEST_JOBS, min(os.cpu_count() or 1, _MOST_JOBS))
