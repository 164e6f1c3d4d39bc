"""The program that opens SQLite files for the service: a child process that it talks to over pipes, like pg_dump.

apsw may never be used in the service's own process: two SQLite libraries in one process drop each other's POSIX locks
(https://www.sqlite.org/howtocorrupt.html, section 2.2). It stands alone (standard library and apsw, nothing of `hhh`),
so that it starts in some 20 ms; and it is one file of this length because ``python -I`` finds no second one beside it.

* Argument: the number of the descriptor that takes reports.
* Standard input: one line of JSON, ``{"operation": "inspect" or "dump", "source": path, "copy": path, "busy_timeout":
  milliseconds, "thorough_check_size": bytes}``. It stays open; its end means that nobody waits for us any more: the
  source is closed, and we end.
* Standard output: for ``dump`` the bytes of the copy, nothing else.
* Reports: one JSON object a line, told apart by ``event``: ``copying`` (``size`` in bytes, before the first of them)
  and last one of ``inspected``, ``facts`` and ``failed`` (``reason``, ``message``, ``hint``).
"""

# pathlib would take as long to import as all the rest.
# ruff: noqa: PTH110, PTH116, PTH123

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self

import apsw

#: Bytes copied before they are sent on.
STEP_SIZE = 16 << 20
#: KiB of pages that each side of a copy keeps: each page is needed once, and few stay in the processor's cache.
COPY_CACHE = 256
#: KiB of pages kept while a copy is checked: a thorough check comes back to them, a quick one reads each page once and
#: was a third faster with few. A memory map gains a fifth more, but stays resident.
THOROUGH_CHECK_CACHE = 64 << 10
QUICK_CHECK_CACHE = 1 << 10
SEND_SIZE = 64 << 20
#: Seconds between two looks at a lock.
BUSY_INTERVAL = 0.001

#: Seconds for closing the source once nobody waits for us any more.
CLOSING = 10

#: Set once nobody waits for us any more.
ABANDONED = threading.Event()
#: Cleared while a source is open. Whoever ends meanwhile leaves its -wal and -shm behind, owned by this account: the
#: application, under another one, could then not open its own database.
SOURCE_IS_CLOSED = threading.Event()
SOURCE_IS_CLOSED.set()

#: What SQLite says of these codes; an online backup raises them without a message.
_MESSAGES = {
    apsw.SQLITE_FULL: "database or disk is full",
    apsw.SQLITE_IOERR: "disk I/O error",
    apsw.SQLITE_CORRUPT: "database disk image is malformed",
}
#: What SQLite says of a WAL database beside which it can't make a -shm.
_NEEDS_WRITING = (apsw.CantOpenError, apsw.ReadOnlyError)
#: Extended codes of input and output errors that only who writes can get: they are the copy's, not the source's.
_WRITE_ERRORS = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_DELETE,
    }
)
_MAGIC = b"SQLite format 3\0"
#: What an online backup writes into the first page of a copy by itself (https://www.sqlite.org/fileformat2.html,
#: section 1.3): the change counter, the schema cookie, and the version that wrote it.
_WRITTEN_BY_BACKUP = (slice(24, 28), slice(40, 44), slice(92, 100))
_SCRATCH_HINT = "free some space, or set HHH_SCRATCH_DIR to a folder that is large enough and may be written to"
#: Warnings stand in the manifest in clear: they name nothing of the database, and no message of SQLite that does.
_NEEDS_APPLICATION = "they need a module, function, collation or view that only their application has"
_NAMES_OF_TABLES = r"FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'"


class Failed(Exception):
    """What the operator is told; ``reason`` is ``unreadable``, ``busy`` or ``scratch``."""

    def __init__(self, reason: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint


class Abandoned(Exception):
    """Nobody waits for us any more."""


class Reports:
    """Where the parent listens."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, event: str, **values: Any) -> None:
        line = memoryview(json.dumps({"event": event, **values}).encode() + b"\n")
        while line:
            line = line[os.write(self._descriptor, line) :]


# ------------------------------------------------------------------------------------------------ errors


@contextlib.contextmanager
def mapped_errors(source: str) -> Iterator[None]:
    """Turns apsw's errors into `Failed`, with SQLite's own message."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Failed("busy", f"{source} is locked: {said(error)}", "try again when its writer has finished") from error
    except apsw.FullError as error:
        raise Failed("scratch", f"The copy of {source} can't be written: {said(error)}", _SCRATCH_HINT) from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) in _WRITE_ERRORS:
            raise Failed("scratch", f"The copy of {source} can't be written: {said(error)}", _SCRATCH_HINT) from error
        raise Failed("unreadable", f"{source} can't be read: {said(error)}") from error
    except apsw.NotADBError as error:
        hint = "it is no SQLite database, or an encrypted one"
        raise Failed("unreadable", f"{source} can't be read: {said(error)}", hint) from error
    except (apsw.CorruptError, apsw.FormatError) as error:
        raise Failed(
            "unreadable", f"{source} is damaged: {said(error)}", "restore it from an earlier backup"
        ) from error
    except apsw.CantOpenError as error:
        raise Failed("unreadable", f"{source} can't be opened: {said(error)}", _permission_hint(source)) from error
    except (apsw.Error, UnicodeDecodeError) as error:
        raise Failed("unreadable", f"{source} can't be read: {said(error)}") from error


def said(error: Exception) -> str:
    """SQLite's own message."""
    if str(error) != "not an error":
        return str(error)
    code = getattr(error, "extendedresult", apsw.SQLITE_OK)
    return _MESSAGES.get(code & 0xFF) or str(apsw.mapping_extended_result_codes.get(code, code))


def _permission_hint(source: str) -> str:
    if os.access(source, os.R_OK):
        return "a WAL database needs write access to its folder, or a -wal and a -shm that may be read"
    return "give this user read access to the file"


# ------------------------------------------------------------------------------------------------ source


def check_file(path: str) -> None:
    """Refuses what is no file, before SQLite makes less of it (and before a named pipe keeps us waiting)."""
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
        if is_file:
            open(path, "rb").close()
    except OSError as error:
        hint = "check the path of the target" if isinstance(error, FileNotFoundError) else None
        hint = "give this user read access to the file" if isinstance(error, PermissionError) else hint
        raise Failed("unreadable", f"{path} can't be opened: {error.strerror}", hint) from error
    if not is_file:
        raise Failed("unreadable", f"{path} can't be opened: it is not a regular file")
    for beside in (os.path.realpath(path) + suffix for suffix in ("-journal", "-wal", "-shm")):
        if _is_no_file(beside):  # SQLite would open it, and wait for ever for a named pipe
            raise Failed("unreadable", f"{beside} can't be opened: it is not a regular file")


def _is_no_file(path: str) -> bool:
    """Whether something else is there; what can't be looked at, SQLite itself says more about."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


class FirstPage(apsw.VFS):
    """The usual access to files, which remembers the first page of a database that was read last.

    An online backup writes the first page last, but it must be sent first. Within a read transaction it is read before
    any other page, from the database or from its WAL.
    """

    NAME = "first-page"

    def __init__(self) -> None:
        super().__init__(self.NAME, "")
        self.content = b""
        self._watching = True

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  apsw's
        return _WatchedFile(self, name, flags) if self._watching else apsw.VFSFile("", name, flags)

    def see(self, content: bytes) -> None:
        """A piece of a file that was read."""
        if self._watching and content.startswith(_MAGIC) and len(content) == _page_size(content):
            self.content = content

    def stop(self) -> None:
        """The transaction has begun: what was seen is its first page."""
        self._watching = False


class _WatchedFile(apsw.VFSFile):
    def __init__(self, first_page: FirstPage, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._first_page = first_page

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  apsw's
        content = super().xRead(amount, offset)
        self._first_page.see(content)
        return content


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 1 << 16 if size == 1 else size


class Snapshot:
    """A source, with one read transaction held on it."""

    def __init__(self, path: str, busy_timeout: int) -> None:
        self.path = path
        self._first_page = FirstPage()
        self._seen: os.stat_result | None = None
        SOURCE_IS_CLOSED.clear()
        try:
            self.connection = _begin(path, busy_timeout, immutable=False)
        except _NEEDS_WRITING:
            # WAL needs a -shm, and we may not make one. Where there is no WAL either, the file alone is the database.
            self._seen = os.stat(path)
            if not _stands_alone(path):
                raise
            self.connection = _begin(path, busy_timeout, immutable=True)
        self._first_page.stop()

    @property
    def first_page(self) -> bytes:
        """The page with the header; empty for a database without a page."""
        return self._first_page.content

    @property
    def page_size(self) -> int:
        """Bytes."""
        return int(self.connection.pragma("page_size"))

    @property
    def size(self) -> int:
        """Bytes of all pages."""
        return int(self.connection.pragma("page_count")) * self.page_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._let_go()

    def close(self) -> None:
        """Ends the transaction.

        Raises:
            Failed: nothing kept writers away, and one came: what was read is no snapshot.
        """
        self._let_go()
        if self._seen is not None and not (_stands_alone(self.path) and _same(self._seen, os.stat(self.path))):
            hint = "try again, or let this user write to its folder: readers of a WAL database need a -shm there"
            raise Failed("busy", f"{self.path} was changed while it was read", hint)

    def _let_go(self) -> None:
        self.connection.close()
        SOURCE_IS_CLOSED.set()


def _begin(path: str, busy_timeout: int, *, immutable: bool) -> apsw.Connection:
    connection = _connect(path, immutable=immutable)
    try:
        connection.set_busy_handler(patience(busy_timeout))
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str, *, immutable: bool) -> apsw.Connection:
    # Opened for writing where that is allowed (SQLite falls back to reading by itself), as by every other user of the
    # file: a crashed writer's journal must be rolled back, and who opens a WAL database only for reading leaves a -wal
    # and a -shm behind. Nothing else is written: what stands in a WAL that was there before stays in it.
    if immutable:
        connection = apsw.Connection(
            immutable_uri(path), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, vfs=FirstPage.NAME
        )
    else:
        left_by_others = os.path.exists(os.path.realpath(path) + "-wal")
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=FirstPage.NAME)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(left_by_others))
    harden(connection)
    connection.pragma("query_only", 1)
    return connection


def patience(milliseconds: int) -> Callable[[int], bool]:
    """A busy handler that looks again and again until the time is over.

    SQLite's own looks ten times a second at last, and so misses the short gaps that a busy writer leaves.
    """
    deadline = time.monotonic() + milliseconds / 1000

    def wait(_attempts: int) -> bool:
        time.sleep(BUSY_INTERVAL)
        return time.monotonic() < deadline and not ABANDONED.is_set()

    return wait


def harden(connection: apsw.Connection) -> None:
    """Whoever owns a database may have put code into it: none of it runs here."""
    for setting, value in (
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    ):
        connection.config(setting, value)


def immutable_uri(path: str) -> str:
    """The URI of a file that nobody changes."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?immutable=1"


def _stands_alone(path: str) -> bool:
    """Whether a WAL database has nothing in a WAL (or in the journal of its last days without one)."""
    real = os.path.realpath(path)
    return _is_wal(real) and not any(_has_content(real + suffix) for suffix in ("-wal", "-journal"))


def _is_wal(path: str) -> bool:
    """Whether the header says so; every other journal mode is a connection's own and lasts no longer."""
    with open(path, "rb") as file:
        return file.read(20)[18:] == b"\2\2"  # https://www.sqlite.org/fileformat2.html, section 1.3.3


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)


# -------------------------------------------------------------------------------------------------- copy


def make_copy(snapshot: Snapshot, path: str, final: Callable[[int], None]) -> int:
    """Copies the snapshot to an empty file and returns its size; the read transaction keeps writers from restarting it.

    The copy is the source page by page, its header included: what is restored has the journal mode that the source had.

    Args:
        snapshot: what to copy.
        path: of the copy.
        final: called with the number of bytes that no longer change, but for the first page.
    """
    copy = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    for setting, value in (("locking_mode", "exclusive"), ("journal_mode", "off"), ("synchronous", "off")):
        copy.pragma(setting, value)
    for connection in (copy, snapshot.connection):
        connection.pragma("cache_size", -COPY_CACHE)
    page_size = snapshot.page_size
    with copy.backup("main", snapshot.connection, "main") as backup:
        while not backup.done:
            backup.step(STEP_SIZE // page_size)
            if ABANDONED.is_set():
                raise Abandoned
            copy.cache_flush()
            final((backup.page_count - backup.remaining) * page_size)
    copy.close()
    _finish_first_page(path, snapshot.first_page)
    return os.stat(path).st_size


def _finish_first_page(path: str, content: bytes) -> None:
    """Makes the first page of a copy what was sent, and with it the copy what is sent, byte for byte."""
    with open(path, "r+b", buffering=0) as file:
        written = file.read(len(content))
        if _without_marks(written) != _without_marks(content):
            raise Failed("unreadable", "The first page of the copy is not the one that was sent", "please report this")
        os.pwrite(file.fileno(), content, 0)


def _without_marks(page: bytes) -> bytes:
    content = bytearray(page)
    for written in _WRITTEN_BY_BACKUP:
        content[written] = bytes(written.stop - written.start)
    return bytes(content)


def make_file(path: str) -> None:
    """Makes a new and empty file that nobody else may read."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Failed("scratch", f"{path} can't be made: {error.strerror}", _SCRATCH_HINT) from error


class Stream(threading.Thread):
    """Sends a growing file to standard output and closes it, beside the work.

    Args:
        path: of the file.
        beginning: what will stand at its beginning in the end; without it nothing is sent before the end.
    """

    def __init__(self, path: str, beginning: bytes) -> None:
        super().__init__(name="stream", daemon=True)
        self._path = path
        self._beginning = beginning
        self._final = 0
        self._is_complete = False
        self._grown = threading.Condition()
        self._error: OSError | None = None

    def grow(self, final: int) -> None:
        """The first ``final`` bytes stay as they are."""
        with self._grown:
            self._final = final
            self._grown.notify()

    def end_at(self, size: int) -> None:
        """The file is complete."""
        with self._grown:
            self._final, self._is_complete = size, True
            self._grown.notify()

    def finish(self) -> None:
        """Waits until all is sent."""
        self.join()
        if self._error is not None:
            raise Failed("scratch", f"{self._path} can't be sent: {self._error.strerror}")

    def run(self) -> None:
        try:
            self._send()
        except OSError as error:
            self._error = error
        finally:
            os.close(1)

    def _send(self) -> None:
        rest = self._beginning
        while rest:
            rest = rest[os.write(1, rest) :]
        offset = len(self._beginning)
        with open(self._path, "rb", buffering=0) as file:
            while count := self._ready(offset):
                sent = os.sendfile(1, file.fileno(), offset, min(count, SEND_SIZE))
                if not sent:
                    raise OSError(errno.EIO, "it is shorter than it was")
                offset += sent

    def _ready(self, offset: int) -> int:
        """How many bytes may be sent, as soon as there are any; 0 at the end."""
        with self._grown:
            self._grown.wait_for(lambda: self._is_complete or (self._beginning and self._final > offset))
            return max(0, self._final - offset)


# ------------------------------------------------------------------------------------------------- facts


def take_facts(path: str, *, thorough: bool) -> dict[str, Any]:
    """Checks a copy, thoroughly or not, and says what is in it.

    Returns:
        ``facts`` in the form of `hhh.schemas.facts.SqliteFacts`, ``warnings`` and ``versions``.
    """
    connection = apsw.Connection(immutable_uri(path), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    harden(connection)
    names = [name for (name,) in connection.execute(f"SELECT name {_NAMES_OF_TABLES} ORDER BY name")]
    connection.pragma("cache_size", -(THOROUGH_CHECK_CACHE if thorough else QUICK_CHECK_CACHE))
    warnings = check_integrity(connection, names, thorough=thorough)
    tables = count_all_rows(connection, names)
    if len(tables) < len(names):
        warnings.append(f"The rows of {len(names) - len(tables)} tables were not counted: {_NEEDS_APPLICATION}")
    names_of_pragmas = ("page_size", "page_count", "encoding", "user_version", "application_id", "auto_vacuum")
    facts = {
        "engine": "sqlite",
        "sqlite_version": apsw.sqlite_lib_version(),
        "journal_mode": "wal" if _is_wal(path) else "delete",
        **{name: connection.pragma(name) for name in names_of_pragmas},
        "integrity_check": "ok" if thorough else None,
        "quick_check": "ok",
        "tables": tables,
        "objects": connection.execute(
            "SELECT type, name FROM sqlite_schema WHERE type <> 'table' ORDER BY type, name"
        ).fetchall(),
    }
    versions = {"sqlite": apsw.sqlite_lib_version(), "apsw": apsw.apsw_version()}
    return {"facts": facts, "warnings": warnings, "versions": versions}


def check_integrity(connection: apsw.Connection, tables: list[str], *, thorough: bool) -> list[str]:
    """``PRAGMA integrity_check``, or ``quick_check`` and a count of each index; warnings of what could not be seen.

    A collation or function that only the application has keeps SQLite from checking the whole; then it is asked for
    table after table.

    Raises:
        apsw.CorruptError: the copy, and so the source, is damaged; with the first line that SQLite says about it.
    """
    pragma = "integrity_check" if thorough else "quick_check"
    if not thorough:
        for name in tables:
            compare_index_counts(connection, name)
    try:
        _expect_ok(connection, f"PRAGMA {pragma}(1)")
    except apsw.SQLError:
        unchecked = sum(not _is_checked(connection, pragma, name) for name in tables)
        return [f"Tables were checked one by one, and {unchecked} of them not at all: {_NEEDS_APPLICATION}"]
    return []


def compare_index_counts(connection: apsw.Connection, table: str) -> None:
    """Finds entries that an index lacks or has too many, which a quick check does not look for.

    Raises:
        apsw.CorruptError: in the words of ``PRAGMA integrity_check``.
    """
    rows = _count(connection, f"{quoted(table)} NOT INDEXED")
    for _, index, _, origin, partial in _indexes(connection, table):
        entries = (
            None if partial or origin == "pk" else _count(connection, f"{quoted(table)} INDEXED BY {quoted(index)}")
        )
        if entries not in {rows, None}:
            raise apsw.CorruptError(f"wrong # of entries in index {index}")


def _indexes(connection: apsw.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"PRAGMA index_list({quoted(table)})").fetchall()


def _count(connection: apsw.Connection, source: str) -> int | None:
    """The rows of a table, read in a certain way; None where that is not possible here."""
    try:
        return int(connection.execute(f"SELECT count(*) FROM {source}").get)  # noqa: S608  quoted by the caller
    except apsw.SQLError:
        return None


def _is_checked(connection: apsw.Connection, pragma: str, table: str) -> bool:
    try:
        _expect_ok(connection, f"PRAGMA {pragma}({quoted(table)})")
    except apsw.SQLError:
        return False
    return True


def _expect_ok(connection: apsw.Connection, pragma: str) -> None:
    first = str(connection.execute(pragma).get)
    if first != "ok":
        line = next((line for line in first.splitlines() if not line.startswith("***")), first)
        raise apsw.CorruptError(line)


def count_all_rows(connection: apsw.Connection, tables: list[str]) -> list[dict[str, Any]]:
    """The rows of each table, without those that can't be counted; neither a trigger nor a view runs."""
    counts = {name: _count(connection, quoted(name)) for name in tables}
    return [{"schema_name": "", "name": name, "rows": rows} for name, rows in counts.items() if rows is not None]


def quoted(name: str) -> str:
    """The name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


# -------------------------------------------------------------------------------------------- operations


def inspect(request: dict[str, Any], reports: Reports) -> None:
    """Looks at a source."""
    with Snapshot(request["source"], request["busy_timeout"]) as snapshot:
        tables = snapshot.connection.execute(f"SELECT count(*) {_NAMES_OF_TABLES}").get
        size = snapshot.size
    reports.send("inspected", tables=tables, size=size)


def dump(request: dict[str, Any], reports: Reports) -> None:
    """Copies a source and sends the copy as it grows, then takes its facts."""
    path = request["copy"]
    with Snapshot(request["source"], request["busy_timeout"]) as snapshot:
        make_file(path)
        reports.send("copying", size=snapshot.size)
        stream = Stream(path, snapshot.first_page)
        stream.start()
        size = make_copy(snapshot, path, stream.grow)
    stream.end_at(size)
    result = take_facts(path, thorough=size <= request["thorough_check_size"])
    stream.finish()
    reports.send("facts", **result)


OPERATIONS = {"inspect": inspect, "dump": dump}


def read_request() -> dict[str, Any]:
    """The one line of standard input."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)
        if not chunk:
            os._exit(1)
        line += chunk
    request: dict[str, Any] = json.loads(line)
    return request


def end_with_parent() -> NoReturn:
    """Waits for the end of standard input: the parent is gone, or no longer interested."""
    while os.read(0, 1):
        pass
    ABANDONED.set()
    SOURCE_IS_CLOSED.wait(CLOSING)
    os._exit(1)


def work(request: dict[str, Any], reports: Reports) -> None:
    """Does what is asked for."""
    try:
        check_file(request["source"])
        with mapped_errors(request["source"]):
            OPERATIONS[request["operation"]](request, reports)
    except Failed as failed:
        reports.send("failed", reason=failed.reason, message=failed.message, hint=failed.hint)


def main() -> None:
    reports = Reports(int(sys.argv[1]))
    request = read_request()
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    try:
        work(request, reports)
    except (Abandoned, BrokenPipeError):
        os._exit(1)
    # Not the usual end: it would wait for threads that have nothing more to do.
    os._exit(0)


if __name__ == "__main__":
    main()
