"""Dumps in files that somebody else made, as an engine's own dump: what they are, and what they tell."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from hhh.core.errors import InvalidInput, SourceUnreadable, ToolMissing
from hhh.core.process import running
from hhh.core.run import Progress, Run
from hhh.engines.base import Dump, DumpForm, DumpResult, EngineKind, Workplace, facts_warning
from hhh.engines.postgresql.archive import MAGIC, Archive, write_list
from hhh.engines.postgresql.binaries import find_tool
from hhh.engines.postgresql.foreign import facts_of_dump
from hhh.engines.registry import ENGINES
from hhh.engines.sqlite.url import url_of
from hhh.schemas.policy import Fingerprint

_SQLITE_MAGIC = b"SQLite format 3\0"
#: Entries whose rows are counted.
_ROWS = "TABLE DATA"
_WARNING = "imported: it was made elsewhere, and what it tells of its source was read from the file"
#: What files of other kinds begin with, and what to do with them.
_OTHERS: Mapping[bytes, str] = {
    b"\x1f\x8b": "it is compressed by gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "it is compressed by zstd: unpack it first",
    b"BZh": "it is compressed by bzip2: unpack it first",
    b"\xfd7zXZ\0": "it is compressed by xz: unpack it first",
    b"age-encryption.org/": "it is encrypted by age: decrypt it first",
    b"-----BEGIN AGE": "it is encrypted by age: decrypt it first",
}


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file that can be taken in, as far as its beginning tells."""

    path: Path
    kind: EngineKind

    @classmethod
    def look(cls, path: Path) -> ForeignFile:
        """Looks at the beginning of a file.

        Raises:
            InvalidInput: it is neither a custom-format dump nor a SQLite database, or no file that can be read.
        """
        path = path.absolute()
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder", hint="make a custom-format dump with pg_dump -Fc")
        if path.exists() and not path.is_file():
            raise InvalidInput(f"{path} is no file")
        try:
            with path.open("rb") as file:
                begun = file.read(64)
        except OSError as error:
            raise InvalidInput(f"{path} can't be read: {error.strerror}") from None
        if not begun:
            raise InvalidInput(f"{path} is empty")
        if begun.startswith(_SQLITE_MAGIC):
            return cls(path, EngineKind.SQLITE)
        for magic, hint in _OTHERS.items():
            if begun.startswith(magic):
                raise InvalidInput(f"{path} is no dump as it is", hint=hint)
        if not begun.startswith(MAGIC):
            Archive.read(path)  # says what it is instead
        return cls(path, EngineKind.POSTGRESQL)

    def dumping(
        self, workplace: Workplace, run: Run, *, fingerprint: Fingerprint = "off"
    ) -> AbstractContextManager[Dump]:
        """The file as a dump. All of it that can be checked without restoring it was checked at the end.

        Args:
            workplace: where to work.
            run: who may cancel.
            fingerprint: of which rows of a database that is the file; of a dump of PostgreSQL there are none.

        Raises:
            EngineError: on entry or in `Dump.finish`: it is damaged, or changed meanwhile, or no pg_restore reads it.
            InvalidInput: it can't be restored by itself.
        """
        if self.kind is EngineKind.SQLITE:
            return _sqlite(self.path, workplace, run, fingerprint)
        return _postgresql(self.path, workplace, run)


@contextlib.contextmanager
def _sqlite(path: Path, workplace: Workplace, run: Run, fingerprint: Fingerprint) -> Iterator[Dump]:
    with ENGINES[EngineKind.SQLITE].dump(url_of(path), workplace, run, fingerprint=fingerprint) as dump:
        yield _Imported(dump)


@contextlib.contextmanager
def _postgresql(path: Path, workplace: Workplace, run: Run) -> Iterator[Dump]:
    # Its rows are counted first, by pg_restore, which reads all of it: what is damaged is not even sent to a store.
    before = _state(path)
    archive = Archive.read(path)
    run.report(Progress("snapshot"))
    pg_restore = _pg_restore(archive, workplace)
    facts = facts_of_dump(path, pg_restore, run)
    _read_other_content(archive, path, pg_restore, workplace, run)
    result = DumpResult(
        facts=facts,
        versions={"server": archive.server_version.partition(" ")[0], "tool": f"pg_dump {archive.dump_version}"},
        warnings=facts_warning(len(facts.warnings)),
    )
    with io.FileIO(path) as file:
        yield _Imported(_FileDump(file, path, before, result))


def _pg_restore(archive: Archive, workplace: Workplace) -> Path:
    made_by = archive.dump_version.partition(" ")[0]
    try:
        tool, _ = find_tool("pg_restore", int(made_by.partition(".")[0]), pg_bin_dir=workplace.pg_bin_dir)
    except (ToolMissing, ValueError) as error:
        raise ToolMissing(
            f"The dump was made by pg_dump {made_by}, and no pg_restore of that version or a newer one is here",
            hint=error.hint if isinstance(error, ToolMissing) else None,
        ) from None
    return tool.path


def _read_other_content(archive: Archive, path: Path, pg_restore: Path, workplace: Workplace, run: Run) -> None:
    """Reads what is not of tables, such as large objects, to see that it is all there."""
    others = [entry for entry in archive.entries if entry.has_data and entry.description != _ROWS]
    if not others:
        return
    wanted = workplace.scratch / "others.list"
    write_list(others, wanted)
    command: list[str | Path] = [pg_restore, "--data-only", f"--use-list={wanted}", "--file=-", path]
    with running(command, environment={}) as child:
        while child.stdout.read(1 << 20):
            run.raise_if_cancelled()
        child.finish()


class _FileDump(Dump):
    """A file, whose facts are known already."""

    form = DumpForm.ROWS

    def __init__(self, file: io.FileIO, path: Path, before: tuple[int, ...], result: DumpResult) -> None:
        self._file = file
        self._path = path
        self._before = before
        self._result = result

    @property
    def stdout(self) -> io.RawIOBase:
        return self._file

    @property
    def expected_size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def finish(self) -> DumpResult:
        if _state(self._path) != self._before:
            raise SourceUnreadable(f"{self._path} changed while it was read", hint="import it when it is complete")
        return self._result


class _Imported(Dump):
    """A dump that says of itself that it was imported."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self.form = dump.form

    @property
    def stdout(self) -> io.RawIOBase:
        return self._dump.stdout

    @property
    def expected_size(self) -> int | None:
        return self._dump.expected_size

    def finish(self) -> DumpResult:
        result = self._dump.finish()
        return replace(result, warnings=(_WARNING, *result.warnings))


def _state(path: Path) -> tuple[int, ...]:
    """By which a file that was changed or replaced is told."""
    try:
        status = path.stat()
    except OSError as error:
        raise SourceUnreadable(f"{path} can't be read: {error.strerror}") from error
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
