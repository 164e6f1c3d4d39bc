"""Rows of each table of a dump, counted as ``pg_restore`` writes them out; nothing is restored."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hhh.core.errors import SourceUnreadable
from hhh.core.process import running
from hhh.core.run import Progress, Run
from hhh.engines.postgresql.archive import Entry, listed

_CHUNK = 1 << 20
#: The comment before each table's rows, which has no line break whatever the table's name is.
_TABLE = b"-- Data for Name: "
#: What matters in SQL: quoted texts, or their beginning if the end is not there yet; comments; one ``VALUES (`` for
#: each row, or a line for each with several in a statement; and where rows of COPY begin.
_TOKEN = re.compile(
    rb"""'(?:[^']++|'')*+'|"(?:[^"]++|"")*+"|["']|--[^\n]*\n?|VALUES \(|DEFAULT VALUES|\n\t\(|FROM stdin;\n"""
)
_QUOTES = frozenset({b'"', b"'"})
#: The longest of the tokens of fixed length, less one.
_TAIL = len(b"DEFAULT VALUES") - 1
_COPY_BEGINS = b"FROM stdin;\n"
_COPY_ENDS = b"\n\\.\n"


def count_rows(dump: Path, pg_restore: Path, entries: Sequence[Entry], run: Run) -> list[int]:
    """How many rows belong to each of the entries, which are ``TABLE DATA``, in their order.

    Reads the dump once, whole, also one with ``INSERT`` statements; what is held in memory is some MiB.

    Raises:
        ToolFailed: pg_restore can't read it.
        SourceUnreadable: there are other rows in it than its table of contents says.
        Cancelled, LeaseLost: the run is over.
    """
    counter = RowCounter()
    for number, chunk in enumerate(_written(dump, pg_restore, entries), 1):
        run.raise_if_cancelled()
        run.report(Progress(stage="inspect", raw_bytes=number * _CHUNK))
        counter.feed(chunk)
    if len(counter.rows) != len(entries):
        raise SourceUnreadable(
            f"The dump {dump.name} has rows of {len(counter.rows)} tables, "
            f"and its table of contents has {len(entries)} with rows"
        )
    return counter.rows


def _written(dump: Path, pg_restore: Path, entries: Sequence[Entry]) -> Iterator[bytes]:
    """What pg_restore writes, in chunks."""
    with tempfile.TemporaryFile() as wanted:
        wanted.write(listed(entries).encode())
        wanted.flush()
        wanted.seek(0)
        use_list = f"--use-list=/dev/fd/{wanted.fileno()}"  # gone with us, however we end
        command: list[str | Path] = [pg_restore, "--data-only", use_list, "--file=-", dump]
        with running(command, environment={}, pass_fds=[wanted.fileno()]) as child:
            while chunk := child.stdout.read(_CHUNK):
                yield chunk
            child.finish()


class RowCounter:
    """Reads SQL as pg_dump writes it, chunk by chunk, however it is cut."""

    def __init__(self) -> None:
        #: Of each table, in the order of the SQL.
        self.rows: list[int] = []
        self._text = b""
        #: Up to where it has been read.
        self._place = 0
        self._quote = b""
        self._step = self._read_sql

    def feed(self, chunk: bytes) -> None:
        """Takes the next piece; a step is False where it needs more."""
        self._text = self._text[self._place :] + chunk
        self._place = 0
        while self._step():
            pass

    def _read_sql(self) -> bool:
        found = _TOKEN.search(self._text, self._place)
        if found is None:
            self._place = max(self._place, len(self._text) - _TAIL)
            return False
        token = found[0]
        if token.startswith(b"--"):
            return self._read_comment(token, found.start())
        self._place = found.end()
        if token in _QUOTES:
            self._quote = token
            self._step = self._read_quoted
        elif token == _COPY_BEGINS:
            self._place -= 1  # its line break belongs to the mark of the end, where there are no rows
            self._step = self._read_copied
        elif self.rows and token[:1] not in _QUOTES:
            self.rows[-1] += 1
        return True

    def _read_comment(self, comment: bytes, start: int) -> bool:
        if len(comment) > _CHUNK:
            raise SourceUnreadable("The dump is damaged: no name is as long as one in it")
        is_whole = comment.endswith(b"\n")
        self._place = start + len(comment) if is_whole else start
        if is_whole and comment.startswith(_TABLE):
            self.rows.append(0)
        return is_whole

    def _read_quoted(self) -> bool:
        """The rest of a quoted text. A quote in it is written twice, so that it ends and begins again."""
        end = self._text.find(self._quote, self._place)
        self._place = end + 1 if end >= 0 else len(self._text)
        self._step = self._read_sql if end >= 0 else self._read_quoted
        return end >= 0

    def _read_copied(self) -> bool:
        """Rows of COPY, one a line: line breaks in values are escaped."""
        end = self._text.find(_COPY_ENDS, self._place)
        whole = end if end >= 0 else max(self._place, len(self._text) - len(_COPY_ENDS))
        if self.rows:
            self.rows[-1] += self._text.count(b"\n", self._place, whole)
        self._place = end + len(_COPY_ENDS) if end >= 0 else whole
        self._step = self._read_sql if end >= 0 else self._read_copied
        return end >= 0
