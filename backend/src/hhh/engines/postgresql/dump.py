"""A pg_dump under way, with the facts of its snapshot and a schema-only dump beside it."""

from __future__ import annotations

import contextlib
import io
import re
import select
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from hhh.core.errors import EngineError, ScratchError, TargetBusy, ToolFailed
from hhh.core.process import Child, running
from hhh.core.run import Run
from hhh.engines.base import Attachment, Dump, DumpResult, facts_warning
from hhh.engines.postgresql.binaries import Tool
from hhh.engines.postgresql.connection import KEEPALIVE, Session, mapped_errors, wait_for
from hhh.engines.postgresql.facts import take_facts
from hhh.engines.postgresql.snapshot import Snapshot, sequences_at_the_end
from hhh.schemas.facts import PostgresqlFacts
from hhh.schemas.policy import Fingerprint

SCHEMA_SUFFIX = "schema.dump"
#: Bytes of a dump per byte of heap, on tables of realistic rows: text is shorter than a heap's pages and row headers.
_DUMPED_PER_HEAP_BYTE = 0.85
_POLL_MILLISECONDS = 20
_ENDED = select.POLLHUP | select.POLLERR
_SERVER_SAID = re.compile(r"^pg_dump: detail: Error message from server:\s*")
_NO_SPACE = "No space left on device"


class LocksCrossedError(TargetBusy):
    """A change of a table waits for our lock, and pg_dump waits behind it: only letting go and trying again helps."""


@dataclass(frozen=True, slots=True)
class Tools:
    """How the two dumps of one snapshot are made."""

    pg_dump: Tool
    environment: Mapping[str, str]
    #: The private folder of the run.
    scratch: Path
    #: Seconds that pg_dump waits for locks, which we hold already.
    lock_timeout: float
    #: Of which rows fingerprints are taken.
    fingerprint: Fingerprint = "off"
    #: What the operator must know of the choice of pg_dump.
    warnings: tuple[str, ...] = ()


class PostgresqlDump(Dump):
    """The main dump on `stdout`; facts and the schema-only dump come with `finish`."""

    def __init__(
        self, session: Session, snapshot: Snapshot, tools: Tools, main: Child, schema: Child, run: Run
    ) -> None:
        self._session = session
        self._snapshot = snapshot
        self._tools = tools
        self._main = main
        self._schema = schema
        self._run = run
        self._facts: Future[PostgresqlFacts] = session.submit(partial(take_facts, session, snapshot, tools.fingerprint))
        self._facts.add_done_callback(self._stop_without_facts)

    @property
    def stdout(self) -> io.RawIOBase:
        return self._main.stdout

    @property
    def expected_size(self) -> int:
        return round(self._snapshot.size * _DUMPED_PER_HEAP_BYTE)

    def finish(self) -> DumpResult:
        try:
            _finish(self._main)
            _finish(self._schema)
        except (EngineError, ScratchError):
            self._raise_if_facts_failed()
            raise
        facts = wait_for(self._facts, self._run)
        noted = [*self._snapshot.warnings, *_warnings(self._main.last_lines), *facts.warnings]
        sequences = self._session.call(partial(sequences_at_the_end, self._session, self._snapshot), self._run)
        facts = facts.model_copy(update={"warnings": noted, "sequences": list(sequences)})
        self._session.call(self._end_snapshot, self._run)
        tool = self._tools.pg_dump
        return DumpResult(
            facts=facts,
            versions={"server": facts.server_version.partition(" ")[0], "tool": f"pg_dump {tool.version}"},
            attachments=(Attachment(suffix=SCHEMA_SUFFIX, path=schema_file(self._tools.scratch)),),
            warnings=(*self._tools.warnings, *facts_warning(len(noted))),
        )

    def _stop_without_facts(self, facts: Future[PostgresqlFacts]) -> None:
        # Hours of dumping are of no use then. The reader sees the end of the stream, and `finish` says why.
        if not facts.cancelled() and facts.exception() is not None:
            self._main.kill()
            self._schema.kill()

    def _raise_if_facts_failed(self) -> None:
        if self._facts.done() and not self._facts.cancelled():
            self._facts.result()

    def _end_snapshot(self) -> None:
        # That the transaction can still be ended proves that its locks and its snapshot lasted.
        with mapped_errors("The connection that held the snapshot was lost"):
            self._session.rows(sql.SQL("COMMIT"))


def schema_file(scratch: Path) -> Path:
    """Where the schema-only dump is put."""
    return scratch / SCHEMA_SUFFIX


@contextlib.contextmanager
def dumping(session: Session, snapshot: Snapshot, tools: Tools, run: Run) -> Iterator[PostgresqlDump]:
    """Starts both dumps; the block begins once both have all their locks and the first byte can be read.

    Raises:
        LocksCrossedError: pg_dump did not get its locks.
        EngineError: pg_dump failed otherwise.
    """
    with (
        running(_main_command(tools, snapshot), environment=tools.environment) as main,
        running(_schema_command(tools, snapshot), environment=tools.environment) as schema,
    ):
        _wait_for_locks(main, schema, schema_file(tools.scratch), run)
        yield PostgresqlDump(session, snapshot, tools, main, schema, run)


def _main_command(tools: Tools, snapshot: Snapshot) -> list[str | Path]:
    runbook = ["--no-owner", "--no-privileges", "--clean", "--if-exists", "--format=custom"]
    return [tools.pg_dump.path, *runbook, *_common_options(tools, snapshot)]


def _schema_command(tools: Tools, snapshot: Snapshot) -> list[str | Path]:
    """With owners, privileges and the database itself: what the runbook's flags leave out and a restore needs."""
    options = ["--schema-only", "--create", "--clean", "--if-exists", "--format=custom", "--no-sync"]
    return [tools.pg_dump.path, *options, f"--file={schema_file(tools.scratch)}", *_common_options(tools, snapshot)]


def _common_options(tools: Tools, snapshot: Snapshot) -> list[str]:
    lock_timeout = f"--lock-wait-timeout={round(tools.lock_timeout * 1000)}"
    # All else of the connection comes by the environment: other users of the machine can read arguments.
    connection = f"--dbname={make_conninfo(**KEEPALIVE)}"
    return ["--compress=0", f"--snapshot={snapshot.identifier}", lock_timeout, "--no-password", connection]


def _wait_for_locks(main: Child, schema: Child, file: Path, run: Run) -> None:
    # pg_dump locks all tables, reads the catalogue, and only then writes its first byte; so it is past its locks once
    # there is one. Until then nothing has been read and everything can be tried again.
    poll = select.poll()
    waiting = {child.stdout.fileno(): child for child in (main, schema)}
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    while waiting:
        run.raise_if_cancelled()
        for descriptor, event in poll.poll(_POLL_MILLISECONDS):
            poll.unregister(descriptor)
            child = waiting.pop(descriptor)
            if event & _ENDED and not event & select.POLLIN:
                _finish(child)
        if schema.stdout.fileno() in waiting and _has_content(file):
            poll.unregister(schema.stdout.fileno())
            del waiting[schema.stdout.fileno()]


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _finish(child: Child) -> None:
    """Waits for the end of a pg_dump; its errors tell what the server said and not the query that failed."""
    try:
        child.finish()
    except ToolFailed as error:
        lines = child.last_lines
        if not lines:
            raise
        message = error.message.removesuffix(lines[-1]) + _reason(lines)
        raise _mapped(message, lines) from error


def _mapped(message: str, lines: Sequence[str]) -> EngineError | ScratchError:
    if any("Query was: LOCK TABLE" in line for line in lines) and "permission denied" not in message:
        return LocksCrossedError(message, hint="a change of a table (ALTER, DROP, …) waits for locks: try again later")
    if any(_NO_SPACE in line for line in lines):
        return ScratchError(message, hint="the scratch folder is full: HHH_SCRATCH_DIR names another")
    return ToolFailed(message)


def _reason(lines: Sequence[str]) -> str:
    errors = [line for line in lines if line.startswith("pg_dump: error:")]
    said = [_SERVER_SAID.sub("", line) for line in lines if _SERVER_SAID.match(line)]
    return " ".join([*(errors[-1:] or lines[-1:]), *said[-1:]])


def _warnings(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for line in lines if line.startswith("pg_dump: warning:")))
