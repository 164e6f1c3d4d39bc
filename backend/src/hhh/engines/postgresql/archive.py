"""The table of contents of a dump in PostgreSQL's custom format.

Read here and not from ``pg_restore --list``: that turns the line breaks of names into spaces and separates names by
spaces, so that odd names can't be told apart, and it has no definitions. The format is that of ``ReadHead``,
``ReadToc`` and ``ReadStr`` in PostgreSQL's ``src/bin/pg_dump/pg_backup_archiver.c`` and of ``_ReadExtraToc`` in
``pg_backup_custom.c``: versions 1.12 (PostgreSQL 9.0) to 1.16 (17 and 18).

Nothing in it has a checksum, so a flipped letter of a name is not seen here; that is what the artifact's hash is for.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from hhh.core.errors import InvalidInput, SourceUnreadable

#: What each dump in the custom format begins with.
MAGIC = b"PGDMP"
PLAIN_SQL_HINT = "plain SQL is not taken: psql would run its commands; make a custom-format dump with pg_dump -Fc"
_CUSTOM_FORMAT = 1
_OLDEST, _NEWEST = (1, 12), (1, 16)
_WITH_ACCESS_METHOD, _WITH_ALGORITHM, _WITH_RELKIND = (1, 14), (1, 15), (1, 16)
#: What a table of contents may take up: half a million tables with all that belongs to them stay below.
_MOST_BYTES = 256 << 20
#: Of integers and offsets: 4 and 8 on all machines that PostgreSQL supports today.
_SIZES = range(1, 9)
#: Texts longer than that hardly come twice.
_SHORT = 64
_SNIFFED = 512
_ENCODING = re.compile(r"client_encoding = '([^']+)'")
#: The encodings of PostgreSQL, by the names that Python has for them; it has none for EUC_TW and MULE_INTERNAL.
_CODECS = {
    "UTF8": "utf-8",
    "SQL_ASCII": "utf-8",
    **{name: name for name in ("BIG5", "EUC_JP", "EUC_KR", "GB18030", "GBK", "JOHAB", "SJIS", "SHIFT_JIS_2004", "UHC")},
    "EUC_CN": "gb2312",
    "EUC_JIS_2004": "euc_jis_2004",
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    **{f"LATIN{number}": f"latin{number}" for number in range(1, 11)},
    **{f"ISO_8859_{number}": f"iso8859-{number}" for number in range(5, 9)},
    **{f"WIN{number}": f"cp{number}" for number in (866, 874, *range(1250, 1259))},
}


class UnknownVersionError(InvalidInput):
    """A dump in a version of the custom format that is not known here; it may be a newer one."""


class Section(IntEnum):
    """When an entry is restored."""

    NONE = 1  #: with what it belongs to: comments, privileges
    PRE_DATA = 2
    DATA = 3
    POST_DATA = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the table of contents. Texts that the archive does not have are empty."""

    #: What `pg_restore --use-list` knows it by.
    dump_id: int
    #: The object's name, for parts of a table ``table part``; signatures of functions are in it.
    tag: str
    #: ``TABLE``, ``TABLE DATA``, ``FK CONSTRAINT``, …
    description: str
    section: Section
    #: SQL that makes it.
    definition: str
    drop_statement: str
    copy_statement: str
    #: Its schema.
    namespace: str
    owner: str
    tablespace: str
    #: The dump ids of what must be there before it.
    dependencies: tuple[int, ...]
    #: Whether rows or large objects belong to it.
    has_data: bool
    #: How a table keeps its rows: ``heap``.
    access_method: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is laid out."""

    #: Bytes of numbers, without the one for the sign, and of offsets.
    int_size: int
    offset_size: int
    #: Whether rows are as the server gave them.
    is_plain: bool
    #: Where the table of contents ends: the first block of rows follows.
    blocks_at: int
    #: By dump id, where the table of contents says where the entry's rows are: a flag, then the offset.
    slots: Mapping[int, int]
    #: The flags in them.
    flags: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Archive:
    """A dump in the custom format, as its beginning describes it."""

    #: ``1.15``.
    format_version: str
    #: Of the server that was dumped: ``16.4 (Debian …)``.
    server_version: str
    #: Of the pg_dump that made it.
    dump_version: str
    database: str
    #: In the local time of the machine that dumped: the archive does not say which; None where it is no time at all.
    created_at: datetime | None
    #: As the server calls it: ``UTF8``; empty where the archive does not say.
    encoding: str
    #: In the order in which they are restored.
    entries: tuple[Entry, ...] = field(repr=False)
    #: None where it was not read from a file.
    layout: Layout | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Reads the beginning of a dump; its rows are not touched.

        Raises:
            InvalidInput: it is no dump in the custom format, or in a version of it that is not known.
            SourceUnreadable: it can't be read, is damaged, or its table of contents is larger than any real one.
        """
        try:
            _refuse_other_kinds(path)
            with path.open("rb") as file:
                return cls.begun_by(file, path.name)
        except OSError as error:
            raise SourceUnreadable(f"{path.name} can't be read: {error.strerror}") from error

    @classmethod
    def begun_by(cls, file: BinaryIO, name: str) -> Archive:
        """Reads the beginning of a dump from an open file, and no further; OSError passes through.

        Args:
            file: at its beginning, to which it can be set back.
            name: what errors call it.

        Raises:
            InvalidInput, SourceUnreadable: as in `read`.
        """
        return _read(_Reader(file, name))


def listed(entries: Iterable[Entry]) -> str:
    """A list for ``pg_restore --use-list``, which restores in its order.

    It has ids alone: pg_restore reads no further, and names may have line breaks.
    """
    return "".join(f"{entry.dump_id};\n" for entry in entries)


def write_list(entries: Iterable[Entry], path: Path) -> None:
    """Writes a file with `listed` entries."""
    path.write_text(listed(entries), encoding="ascii")


def _refuse_other_kinds(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise InvalidInput(f"{path.name} is a folder", hint="make a custom-format dump with pg_dump -Fc")
    if not stat.S_ISREG(mode):
        raise InvalidInput(f"{path.name} is no file")


class _Reader:
    """The elements that the archive is made of."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._place = 0
        #: Most texts come again and again: kinds, owners, schemas.
        self._known: dict[bytes, str] = {}
        self.codec = "utf-8"
        self.int_size = 4
        self.slots: dict[int, int] = {}
        self.flags: dict[int, int] = {}

    @property
    def place(self) -> int:
        """How many bytes were taken."""
        return self._place

    def damaged(self, what: str) -> SourceUnreadable:
        return SourceUnreadable(f"The dump {self._name} is damaged before byte {self._place}: {what}")

    def other_kind(self) -> InvalidInput:
        self._file.seek(0)
        begun = self._file.read(_SNIFFED)
        hint = "make one with pg_dump -Fc"
        if begun[257:262] == b"ustar":
            hint = f"it is a tar archive; {hint}"
        elif b"\0" not in begun:
            hint = PLAIN_SQL_HINT
        return InvalidInput(f"{self._name} is no dump in PostgreSQL's custom format", hint=hint)

    def other_version(self, version: tuple[int, int]) -> UnknownVersionError:
        return UnknownVersionError(
            f"{self._name} is a dump in version {version[0]}.{version[1]} of the custom format, and only "
            f"{_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]} are known here",
            hint="make a dump with pg_dump 9.0 to 18",
        )

    def take(self, size: int) -> bytes:
        self._place += size
        if self._place > _MOST_BYTES:
            raise self.damaged(f"its table of contents is larger than {_MOST_BYTES >> 20} MiB")
        content = self._file.read(size)
        if len(content) < size:
            raise self.damaged("it ends there")
        return content

    def byte(self) -> int:
        return self.take(1)[0]

    def size(self) -> int:
        size = self.byte()
        if size not in _SIZES:
            raise self.damaged(f"no machine has numbers of {size} bytes")
        return size

    def integer(self) -> int:
        """A byte that says whether it is negative, then the number, its lowest byte first."""
        content = self.take(1 + self.int_size)
        if content[0] > 1:
            raise self.damaged("there is no number where one must be")
        number = int.from_bytes(content[1:], "little")
        return -number if content[0] else number

    def raw_text(self) -> bytes | None:
        """Its length, -1 where there is none, then the text itself."""
        size = self.integer()
        return None if size < 0 else self.take(size)

    def text(self) -> str:
        return self.decoded(self.raw_text() or b"")

    def decoded(self, raw: bytes) -> str:
        """As text that can always be shown; letters that are none of the encoding become escapes."""
        if len(raw) > _SHORT:
            return raw.decode(self.codec, "backslashreplace")
        if raw not in self._known:
            self._known[raw] = raw.decode(self.codec, "backslashreplace")
        return self._known[raw]


@dataclass(frozen=True, slots=True)
class _Head:
    version: tuple[int, int]
    offset_size: int
    is_plain: bool
    created_at: datetime | None
    database: bytes
    server_version: str
    dump_version: str


def _read(reader: _Reader) -> Archive:
    head = _read_head(reader)
    entries, encoding = _read_entries(reader, head)
    return Archive(
        format_version=".".join(map(str, head.version)),
        server_version=head.server_version,
        dump_version=head.dump_version,
        database=reader.decoded(head.database),
        created_at=head.created_at,
        encoding=encoding,
        entries=entries,
        layout=Layout(
            int_size=reader.int_size,
            offset_size=head.offset_size,
            is_plain=head.is_plain,
            blocks_at=reader.place,
            slots=reader.slots,
            flags=reader.flags,
        ),
    )


def _read_head(reader: _Reader) -> _Head:
    if reader.take(len(MAGIC)) != MAGIC:
        raise reader.other_kind()
    version = (reader.byte(), reader.byte())
    reader.byte()  # the revision, of no meaning so far
    if not _OLDEST <= version <= _NEWEST:
        raise reader.other_version(version)
    reader.int_size = reader.size()
    offset_size = reader.size()
    if reader.byte() != _CUSTOM_FORMAT:
        raise reader.other_kind()
    # The algorithm, or the level of the only one that there was: 0 stands for none.
    is_plain = (reader.byte() if version >= _WITH_ALGORITHM else reader.integer()) == 0
    return _Head(
        version=version,
        offset_size=offset_size,
        is_plain=is_plain,
        created_at=_read_time(reader),
        database=reader.raw_text() or b"",
        server_version=reader.text(),
        dump_version=reader.text(),
    )


def _read_time(reader: _Reader) -> datetime | None:
    """The fields of C's ``struct tm``: months from 0, years from 1900, and whether it is summer time."""
    second, minute, hour, day, month, year, _ = (reader.integer() for _ in range(7))
    try:
        return datetime(year + 1900, month + 1, day, hour, minute, second)  # noqa: DTZ001 - the archive has no zone
    except (ValueError, OverflowError):
        return None


def _read_entries(reader: _Reader, head: _Head) -> tuple[tuple[Entry, ...], str]:
    entries: dict[int, Entry] = {}
    encoding = ""
    count = reader.integer()
    if count < 0:
        raise reader.damaged(f"it has {count} entries")
    for _ in range(count):
        entry = _read_entry(reader, head)
        if entry.dump_id in entries:
            raise reader.damaged(f"two entries have the number {entry.dump_id}")
        entries[entry.dump_id] = entry
        if entry.description == "ENCODING" and (found := _ENCODING.search(entry.definition)):
            encoding = found[1]  # pg_dump writes this entry before all others
            reader.codec = _CODECS.get(encoding, "utf-8")
    return tuple(entries.values()), encoding


def _read_entry(reader: _Reader, head: _Head) -> Entry:
    dump_id = reader.integer()
    if dump_id <= 0:
        raise reader.damaged(f"an entry has the number {dump_id}")
    has_data = reader.integer() != 0
    reader.raw_text()  # the object's place in the catalogue: its table,
    reader.raw_text()  # and its oid there
    tag, description = reader.text(), reader.text()
    section = _read_section(reader)
    definition, drop_statement, copy_statement = reader.text(), reader.text(), reader.text()
    namespace, tablespace = reader.text(), reader.text()
    access_method = reader.text() if head.version >= _WITH_ACCESS_METHOD else ""
    if head.version >= _WITH_RELKIND:
        reader.integer()
    owner = reader.text()
    reader.raw_text()  # whether a table has oids, before PostgreSQL 12
    dependencies = _read_dependencies(reader)
    # Where its rows are, if that was known when this was written.
    reader.slots[dump_id] = reader.place
    reader.flags[dump_id] = reader.byte()
    reader.take(head.offset_size)
    return Entry(
        dump_id=dump_id,
        tag=tag,
        description=description,
        section=section,
        definition=definition,
        drop_statement=drop_statement,
        copy_statement=copy_statement,
        namespace=namespace,
        owner=owner,
        tablespace=tablespace,
        dependencies=dependencies,
        has_data=has_data,
        access_method=access_method,
    )


def _read_section(reader: _Reader) -> Section:
    number = reader.integer()
    try:
        return Section(number)
    except ValueError as error:
        raise reader.damaged(f"an entry is in section {number}") from error


def _read_dependencies(reader: _Reader) -> tuple[int, ...]:
    """Numbers written out as texts; none ends them."""
    found: list[int] = []
    while (raw := reader.raw_text()) is not None:
        try:
            found.append(int(raw))
        except ValueError as error:
            raise reader.damaged("an entry depends on what is no number") from error
    return tuple(found)
