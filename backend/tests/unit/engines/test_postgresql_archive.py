"""Tables of contents of versions that no server here writes any more, and of hostile files."""

import os
import struct
from datetime import datetime
from pathlib import Path

import pytest

from hhh.core.errors import InvalidInput, SourceUnreadable
from hhh.engines.postgresql.archive import Archive, Entry, Section, write_list


def number(value: int) -> bytes:
    return struct.pack("<?I", value < 0, abs(value))


def text(value: str | None) -> bytes:
    raw = b"" if value is None else value.encode()
    return number(-1 if value is None else len(raw)) + raw


def head(minor: int) -> bytes:
    fixed = b"PGDMP" + bytes([1, minor, 0, 4, 8, 1])
    compression = b"\0" if minor >= 15 else number(-1)
    moment = b"".join(map(number, (59, 30, 12, 24, 11, 113, 0)))
    return fixed + compression + moment + text("shop") + text("9.3.1") + text("9.3.2")


def entry(minor: int, dump_id: int = 7, dependencies: tuple[str, ...] = ("3", "5")) -> bytes:
    access_method = text("heap") if minor >= 14 else b""
    kind = number(ord("r")) if minor >= 16 else b""
    return (
        b"".join([number(dump_id), number(1), text("1259"), text("16384"), text("a\nb"), text("TABLE DATA"), number(3)])
        + b"".join([text(None), text(""), text("COPY x FROM stdin;\n"), text("public"), text("fast")])
        + b"".join([access_method, kind, text("me"), text("false"), *map(text, dependencies), text(None)])
        + b"\2"
        + bytes(8)
    )


def read(path: Path, content: bytes) -> Archive:
    path.write_bytes(content)
    return Archive.read(path)


@pytest.mark.parametrize("minor", range(12, 17))
def test_each_known_version_is_read(tmp_path: Path, minor: int) -> None:
    archive = read(tmp_path / "dump", head(minor) + number(1) + entry(minor))
    assert archive.format_version == f"1.{minor}"
    assert (archive.database, archive.server_version, archive.dump_version) == ("shop", "9.3.1", "9.3.2")
    assert archive.created_at == datetime(2013, 12, 24, 12, 30, 59)  # noqa: DTZ001 - as in the archive
    assert archive.entries == (
        Entry(
            dump_id=7,
            tag="a\nb",
            description="TABLE DATA",
            section=Section.DATA,
            definition="",
            drop_statement="",
            copy_statement="COPY x FROM stdin;\n",
            namespace="public",
            owner="me",
            tablespace="fast",
            dependencies=(3, 5),
            has_data=True,
            access_method="heap" if minor >= 14 else "",
        ),
    )


@pytest.mark.parametrize("minor", [11, 17])
def test_other_versions_are_refused(tmp_path: Path, minor: int) -> None:
    with pytest.raises(InvalidInput, match=rf"version 1\.{minor} .* only 1\.12 to 1\.16"):
        read(tmp_path / "dump", head(minor) + number(0))


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (number(-1), "it has -1 entries"),
        (number(2**31) + entry(14), "it ends there"),
        (number(2) + entry(14) + entry(14), "two entries have the number 7"),
        (number(1) + entry(14, dump_id=-7), "has the number -7"),
        (number(1) + entry(14, dependencies=("x",)), "depends on what is no number"),
        (number(1) + number(1) + number(0) + number(2**32 - 1), "larger than 256 MiB"),
        (number(1) + number(1) + number(0) + number(200 << 20), "it ends there"),
        (b"\7" + bytes(4), "no number where one must be"),
    ],
)
def test_contents_that_can_not_be_are_refused(tmp_path: Path, contents: bytes, said: str) -> None:
    with pytest.raises(SourceUnreadable, match=said):
        read(tmp_path / "dump", head(14) + contents)


def test_a_size_of_numbers_that_no_machine_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="numbers of 200 bytes"):
        read(tmp_path / "dump", b"PGDMP" + bytes([1, 14, 0, 200, 8, 1]))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidInput, match="fifo is no file"):
        Archive.read(tmp_path / "fifo")
    with pytest.raises(SourceUnreadable, match="No such file"):
        Archive.read(tmp_path / "none")


def test_other_files_are_told_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="psql would run its commands"):
        read(tmp_path / "x.sql", b"-- PostgreSQL database dump\n\\! id\n")
    with pytest.raises(InvalidInput, match=r"no dump in PostgreSQL's custom format \(make one with pg_dump -Fc\)"):
        read(tmp_path / "x.db", b"SQLite format 3\0")
    with pytest.raises(SourceUnreadable, match="it ends there"):
        read(tmp_path / "empty", b"")


def test_a_list_has_a_line_for_each_entry_whatever_its_name_is(tmp_path: Path) -> None:
    archive = read(tmp_path / "dump", head(16) + number(2) + entry(16, 9) + entry(16, 4))
    write_list(archive.entries, tmp_path / "list")
    assert (tmp_path / "list").read_text() == "9;\n4;\n"
