"""What a backup of SQLite is good for: read through, or restored to a throw-away file and compared."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from hhh.core.errors import EngineError
from hhh.core.run import Progress, Run
from hhh.core.scratch import scratch_written
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.proving import ASSERTION_SECONDS, Place, Prover
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.engines.room import require_room
from hhh.engines.sqlite.conversation import conversation
from hhh.engines.sqlite.files import remove_database
from hhh.engines.sqlite.url import path_in, url_of
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.restore import Difference
from hhh.schemas.verification import Asserted

#: What a child that takes longer gets on top, before it is ended: one step of SQLite may be long.
_GRACE_SECONDS: Final = 2.0
#: Of its names; all are in a folder of this drill alone.
_MARK: Final = "drilled0"
_ROOM_FOR: Final = "for the database"
_ISOLATION: Final = (
    "no trigger of the database runs, its views only in queries of the operator",
    "queries of the operator may read the restored file and nothing else, in a process of their own",
)


class SqliteProver(Prover):
    """All of it is done in the child process.

    Args:
        assertion_seconds: so long a query of the operator may take.
    """

    kind = EngineKind.SQLITE

    def __init__(self, *, assertion_seconds: float = ASSERTION_SECONDS) -> None:
        self._assertion_seconds = assertion_seconds

    def read_through(self, pieces: Iterator[bytes], raw_size: int, workplace: Workplace, run: Run) -> str:
        require_room(workplace.scratch, raw_size, _ROOM_FOR)
        path = workplace.scratch / "read.db"
        try:
            _write(pieces, path, raw_size, run)
            return _read_in_words(_ask_child("prove", path, run, answer="proven"))
        finally:
            remove_database(path)

    @contextlib.contextmanager
    def throw_away(
        self,
        source: RestoreSource,
        server_url: str | None,  # noqa: ARG002  a file needs none
        workplace: Workplace,
        run: Run,  # noqa: ARG002  nothing in it takes long
    ) -> Iterator[Place]:
        """See `Prover.throw_away`; the dump is moved there, and so needs no more space than it takes in scratch."""
        if source.dump is None:
            require_room(workplace.scratch, source.raw_size, _ROOM_FOR)
        folder = workplace.scratch / "drill"
        with scratch_written(workplace.scratch):
            folder.mkdir(mode=0o700)
        path = folder / "restored.db"
        destination = Destination(url_of(path), str(path), RestoreMode.NEW, _MARK)
        try:
            yield Place(destination, f"SQLite {_library()}, a file in scratch", _ISOLATION)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def compare_schemas(
        self,
        source: RestoreSource,
        built: Built,
        place: Place,  # noqa: ARG002
        workplace: Workplace,  # noqa: ARG002
        run: Run,
    ) -> tuple[str, Sequence[Difference]]:
        """See `Prover.compare_schemas`; the file is read to its end as well, which no restore of a large one does.

        Raises:
            Lacking: the SQLite that is here can't read all of it.
            ArtifactDamaged: it is no sound database.
        """
        read = _read_in_words(_ask_child("prove", path_in(built.url), run, answer="proven"))
        expected, found = _definitions(source), _definitions(built)
        if expected is None or found is None:
            return f"{read}; the backup is of a release that kept no definitions to compare with", ()
        return f"{len(expected)} definitions, {read}", list(_differences(expected, found))

    def ask(
        self,
        assertions: Sequence[str],
        built: Built,
        place: Place,  # noqa: ARG002
        workplace: Workplace,  # noqa: ARG002
        run: Run,
    ) -> Sequence[Asserted]:
        path = path_in(built.url)
        return [self._ask(sql, path, run) for sql in assertions]

    def _ask(self, sql: str, path: Path, run: Run) -> Asserted:
        begun = time.monotonic()
        limited = _Limited(run, begun + self._assertion_seconds + _GRACE_SECONDS)
        extra = {"sql": sql, "seconds": self._assertion_seconds}
        try:
            answer = _ask_child("ask", path, limited, answer="asked", extra=extra)
            holds, found = bool(answer["holds"]), str(answer["found"])
        except _OutOfTime:
            holds, found = False, f"it took more than {self._assertion_seconds:g} seconds"
        return Asserted(sql=sql, holds=holds, found=found, seconds=time.monotonic() - begun)


_Definitions = Mapping[tuple[str, str], tuple[str, str]]


class _OutOfTime(EngineError):
    """The child was given up."""


class _Limited:
    """A run whose child is given up after a while, whatever it is doing."""

    def __init__(self, run: Run, deadline: float) -> None:
        self._run = run
        self._deadline = deadline

    def report(self, progress: Progress) -> None:
        self._run.report(progress)

    def raise_if_cancelled(self) -> None:
        self._run.raise_if_cancelled()
        if time.monotonic() > self._deadline:
            raise _OutOfTime("A query took too long")


def _write(pieces: Iterator[bytes], path: Path, size: int, run: Run) -> None:
    written = 0
    with scratch_written(path.parent):
        path.touch(0o600, exist_ok=False)
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                written += len(piece)
                run.raise_if_cancelled()
                run.report(Progress("read", written, expected_bytes=size))


def _ask_child(
    operation: str, path: Path, run: Run, *, answer: str, extra: Mapping[str, object] | None = None
) -> Mapping[str, Any]:
    request = {"operation": operation, "source": str(path), **(extra or {})}
    with conversation(request, run) as child:
        return child.wait_for(answer)


def _read_in_words(report: Mapping[str, Any]) -> str:
    """What SQLite itself said of the file.

    A row that refers to another that is not there is no fault of the backup, which is the source page by page: SQLite
    looks after foreign keys only where an application asks it to.
    """
    said = f"integrity_check of {report['tables']} tables, {report['pages']} pages"
    if report["orphans"]:
        said += f"; foreign_key_check: {report['orphans']} rows refer to others that the source does not have either"
    elif not report["mismatches"]:
        said += ", foreign_key_check"
    if report["mismatches"]:
        said += f"; foreign keys that fit nothing, as in the source: {', '.join(report['mismatches'])}"
    return said


def _definitions(of: RestoreSource | Built) -> _Definitions | None:
    """By type and name: the table, and the SQL."""
    if not isinstance(of.facts, SqliteFacts) or of.facts.definitions is None:
        return None
    return {(kind, name): (table, sql) for kind, name, table, sql in of.facts.definitions}


def _differences(expected: _Definitions, found: _Definitions) -> Iterator[Difference]:
    """What is not there at all is told by the comparison of the facts, but for tables whose rows nobody can count."""
    for kind, name in sorted(expected.keys() | found.keys()):
        was, now = expected.get((kind, name)), found.get((kind, name))
        if was != now and (kind == "table" or (was and now)):
            yield Difference(name=f"definition of {kind} {name}", expected=_shown(was), found=_shown(now))


def _shown(definition: tuple[str, str] | None) -> str:
    if definition is None:
        return "none"
    table, sql = definition
    return sql or f"one of {table}"


def _library() -> str:
    return ".".join(version("apsw").split(".")[:3])
