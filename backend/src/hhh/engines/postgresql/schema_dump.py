"""What a database defines, by its own pg_dump."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo

from hhh.core.errors import Lacking, ToolFailed, ToolMissing
from hhh.core.process import Child, running
from hhh.core.run import Run
from hhh.core.scratch import scratch_written
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import Administration, administration
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.binaries import SYSTEM_INSTALLS, Tool, find_tool
from hhh.engines.postgresql.connection import EVENT_TRIGGERS_OFF_SINCE, KEEPALIVE, tool_environment
from hhh.engines.postgresql.tool import wait_for_silence
from hhh.engines.postgresql.url import parse_url

#: No plan is long enough to be compiled. Names are quoted where they need it, whatever the database's settings say.
_SETTINGS = ("jit=off", "quote_all_identifiers=off")


def schema_of(url: str, workplace: Workplace, run: Run, *, installs: Path = SYSTEM_INSTALLS) -> Archive:
    """The definitions of a database, without owners and privileges; ``installs`` is as of `find_tool`.

    Raises:
        Lacking: there is no pg_dump for its server.
        ToolFailed: pg_dump failed.
        EngineError: the server can't be reached.
        Cancelled, LeaseLost: the run is over.
    """
    with administration(url, workplace) as admin:
        tool = _pg_dump(admin, workplace, installs)
        environment = _environment(admin, parse_url(url).parameters["dbname"])
        with scratch_written(workplace.scratch):
            folder = tempfile.TemporaryDirectory(prefix="schema-", dir=workplace.scratch)
        with folder as path:
            file = Path(path) / "schema.dump"
            with running(_command(tool, file), environment=environment) as child:
                wait_for_silence(child, run)
                _finish(child)
            return Archive.read(file)


def _pg_dump(admin: Administration, workplace: Workplace, installs: Path) -> Tool:
    try:
        return find_tool("pg_dump", admin.major, pg_bin_dir=workplace.pg_bin_dir, installs=installs)[0]
    except ToolMissing as error:
        raise Lacking(error.message, hint=error.hint) from error


def _environment(admin: Administration, database: str) -> dict[str, str]:
    environment = tool_environment(admin.password_file, admin.connection)
    settings: Sequence[str] = _SETTINGS
    if admin.is_superuser and admin.server_version >= EVENT_TRIGGERS_OFF_SINCE:
        settings = (*_SETTINGS, "event_triggers=off")  # some are for sign-ins, and would run as the superuser
    options = [environment.get("PGOPTIONS", ""), *(f"-c {setting}" for setting in settings)]
    return environment | {"PGDATABASE": database, "PGOPTIONS": " ".join(options).strip()}


def _command(tool: Tool, file: Path) -> list[str | Path]:
    what = ["--schema-only", "--no-owner", "--no-privileges", "--no-subscriptions"]
    how = ["--format=custom", "--compress=0", "--no-sync", f"--file={file}"]
    # All else of the connection comes by the environment: other users of the machine can read arguments.
    return [tool.path, *what, *how, "--no-password", f"--dbname={make_conninfo(**KEEPALIVE)}"]


def _finish(child: Child) -> None:
    try:
        child.finish()
    except ToolFailed as error:
        said = [line for line in child.last_lines if "Query was:" not in line]
        if not said:
            raise
        raise ToolFailed(f"What was restored can't be compared: {said[-1]}") from error
