"""Drills of PostgreSQL for tests: in this process, or in one that can be killed; and what is left of them."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from hhh.core.scratch import SCRATCH_PREFIX
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.url import VARIABLES, parse_url
from hhh.engines.restoring import RestoreSource
from support import throwing_away_process
from support.piped import Piped
from support.postgres_rich import normalised
from support.postgres_server import PostgresServer
from support.restoring import taken
from support.session import current_session


@dataclass(frozen=True)
class Told:
    """What a drill in a process of its own says of its place."""

    process: "subprocess.Popen[bytes] | Piped"
    url: str
    built: str
    errors: Sequence[str]
    name: str
    isolation: Sequence[str]
    warnings: Sequence[str]


def new_scratch(parent: Path | None = None) -> Path:
    """The scratch of a run, as if its worker had been killed: nobody holds it."""
    folder = (parent or current_session().new_folder("scratch")) / f"{SCRATCH_PREFIX}w-1"
    folder.mkdir(mode=0o700)
    return folder


def taken_for_drills(server: PostgresServer, database: str, scratch: Path) -> tuple[RestoreSource, Workplace]:
    """A backup of a database in that scratch, and where to drill it with the server's own programs."""
    workplace = Workplace(scratch, pg_bin_dir=server.bin_dir)
    return taken(PostgresqlEngine(), server.url(database), workplace), workplace


@contextlib.contextmanager
def begun(
    source: RestoreSource, workplace: Workplace, server_url: str | None = None, *, account: int | None = None
) -> "Iterator[subprocess.Popen[bytes] | Piped]":
    """A process that begins to drill; it is gone after the block."""
    order = {
        "facts": source.facts.model_dump(mode="json"),
        "versions": dict(source.versions),
        "raw_size": source.raw_size,
        "attachments": {suffix: str(path) for suffix, path in source.attachments.items()},
        "dump": str(source.dump),
        "scratch": str(workplace.scratch),
        "pg_bin_dir": str(workplace.pg_bin_dir),
        "hidden": [str(path) for path in workplace.hidden],
        "server_url": server_url,
    }
    program = throwing_away_process.__file__
    with (
        Piped(program)
        if account is None
        else subprocess.Popen(python_as(account, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def drilling(
    source: RestoreSource, workplace: Workplace, server_url: str | None = None, *, account: int | None = None
) -> Iterator[Told]:
    """A process that has restored the backup, and stays; it is gone after the block."""
    with begun(source, workplace, server_url, account=account) as process:
        assert process.stdout is not None
        yield Told(process=process, **json.loads(process.stdout.readline()))


def python_as(account: int | None, *arguments: str) -> list[str]:
    """A command that runs this Python as another account; None: as this one."""
    # Not by subprocess: setpriv starts programs that lie where the account may not enter.
    become = [] if account is None else ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups"]
    return [*become, sys.executable, *arguments]


def processes_in(folder: Path) -> list[psutil.Process]:
    """All that work in the folder or below it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def restored_text(server: PostgresServer, url: str, *options: str) -> str:
    """As `support.postgres_rich.as_text`, of a database that is named by its URL."""
    address = parse_url(url)
    environment = {VARIABLES[name]: value for name, value in address.parameters.items()}
    answer = subprocess.run(
        [server.bin_dir / "pg_dump", *options],
        check=True,
        capture_output=True,
        env={**environment, "PGPASSWORD": address.password, "PATH": os.defpath},
    )
    return normalised(answer.stdout.decode(), address.parameters["dbname"])


def of_major(source: RestoreSource, major: int) -> RestoreSource:
    """The same, as if it were of another major."""
    return replace(source, facts=source.facts.model_copy(update={"server_version": f"{major}.1"}))
