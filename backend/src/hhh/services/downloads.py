"""Artifacts to take away: as they are stored, or plain, as the database's own tools read them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from hhh.artifacts.manifest import Manifest
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.database import Database
from hhh.core.errors import ArtifactDamaged, HHHError
from hhh.core.run import Run
from hhh.engines.base import EngineKind
from hhh.models import Action, Result
from hhh.services import audit
from hhh.services.copies import Copies, first_that_answers

_PLAIN_SUFFIXES = {EngineKind.POSTGRESQL: ".dump", EngineKind.SQLITE: ".db"}


class Form(StrEnum):
    """What is downloaded."""

    STORED = "stored"  #: the object, compressed, and encrypted if recipients were set
    PLAIN = "plain"  #: what ``pg_restore`` or ``sqlite3`` reads


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a download, in bytes; its last one is still a part of it."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Download:
    """One artifact in one form."""

    #: What the file should be called.
    name: str
    #: Bytes.
    size: int
    #: Another one for each other content, without quotes.
    tag: str
    form: Form
    #: In the order in which they are tried.
    copies: tuple[StoredBackup, ...] = field(repr=False)

    def pieces(self, span: Span | None = None) -> Generator[bytes]:
        """The content, or a part of it; whoever breaks off closes it.

        The first piece is read at once: where a copy does not give it, the next one is tried. The last piece comes only
        if size and hash of the whole were right, so that a download is short where something is damaged; of a part only
        the size is known.

        Raises:
            IdentityMissing: it is encrypted, and no identity is here that opens it.
            ObjectMissing, ArtifactDamaged, StorageUnavailable: no copy is what was stored; also in the middle.
        """
        part = None if span is None or span.length == self.size else span

        def begin(copy: StoredBackup) -> tuple[bytes, Generator[bytes]]:
            pieces = _last_held_back(self._read(copy, part))
            return next(pieces, b""), pieces

        return _chained(*first_that_answers(self.copies, begin))

    def save(self, path: Path, run: Run) -> None:
        """Writes it to a new private file, whose hash was compared; otherwise no file is left.

        Raises:
            ScratchError: the file is there already, or can't be written.
            IdentityMissing, ObjectMissing, ArtifactDamaged, StorageUnavailable: as for `pieces`.
        """

        def save(copy: StoredBackup) -> None:
            write = copy.copy if self.form is Form.STORED else copy.fetch
            write(copy.manifest.object, path, run)

        first_that_answers(self.copies, save)

    def _read(self, copy: StoredBackup, part: Span | None) -> Generator[bytes]:
        stored = copy.manifest.object
        if self.form is Form.PLAIN:
            return _cut(copy.plain(stored), part, self.size) if part else copy.plain(stored)
        return (
            _exactly(copy.storage.read_range(stored.key, part.first, part.length), part)
            if part
            else copy.packed(stored)
        )


class Downloads:
    """Opens them, and hands their content out; the audit log has who got it."""

    def __init__(self, database: Database, copies: Copies) -> None:
        self._database = database
        self._copies = copies

    def open(self, backup_id: str, form: Form) -> Download:
        """A backup's dump; nothing of it is read yet.

        Raises:
            NotFound: no backup has that id, or no known store has it.
            IdentityMissing: it is asked for in plain, but encrypted, and no identity is here that opens it.
            ManifestInvalid, ConfigurationError: see `Copies.of`.
        """
        copies = tuple(self._copies.of(backup_id))
        manifest = copies[0].manifest
        stored = manifest.object
        if form is Form.STORED:
            return Download(PurePosixPath(stored.key).name, stored.size, stored.sha256, form, copies)
        copies[0].require_identity(stored)
        return Download(_plain_name(manifest), stored.raw_size, f"{stored.sha256}-plain", form, copies)

    def pieces(self, found: Download, span: Span | None = None) -> Generator[bytes]:
        """As `Download.pieces`, for whoever is to have it."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._told(found, span))
            pieces = found.pieces(span)
            stack.enter_context(contextlib.closing(pieces))
            return _until_its_end(pieces, stack.pop_all())

    def save(self, found: Download, path: Path, run: Run) -> None:
        """As `Download.save`, for whoever is to have it."""
        with self._told(found, None):
            found.save(path, run)

    @contextlib.contextmanager
    def _told(self, found: Download, span: Span | None) -> Iterator[None]:
        """Records, before anything is handed out, that it will be, and afterwards what came of it."""
        manifest = found.copies[0].manifest
        detail = {"file": manifest.backup_file, "form": found.form}
        if span is not None:
            detail["bytes"] = f"{span.first}-{span.last}"

        def tell(result: Result) -> None:
            audit.record_alone(
                self._database,
                Action.BACKUP_DOWNLOAD,
                manifest.backup_id,
                target=manifest.target,
                result=result,
                detail=detail,
            )

        tell(Result.ASKED)
        result = Result.CANCELLED  # whoever takes it may break off
        try:
            yield
            result = Result.DONE
        except HHHError:
            result = Result.FAILED
            raise
        finally:
            tell(result)


def _until_its_end(pieces: Generator[bytes], ending: contextlib.ExitStack) -> Generator[bytes]:
    with ending:
        yield from pieces


def _plain_name(manifest: Manifest) -> str:
    return manifest.backup_file.removesuffix(".sql") + _PLAIN_SUFFIXES[manifest.engine]


def _last_held_back(pieces: Generator[bytes]) -> Generator[bytes]:
    """The pieces, each only when the next one is there or the end was reached without an error."""
    with contextlib.closing(pieces):
        held = next(pieces, b"")
        for piece in pieces:
            yield held
            held = piece
    yield held


def _chained(first: bytes, rest: Generator[bytes]) -> Generator[bytes]:
    with contextlib.closing(rest):
        yield first
        yield from rest


def _cut(pieces: Generator[bytes], part: Span, size: int) -> Generator[bytes]:
    """A part of what can only be read from its beginning; where the part reaches its end, the whole was compared."""
    at = 0
    with contextlib.closing(pieces):
        for piece in pieces:
            wanted = piece[max(0, part.first - at) : max(0, part.last + 1 - at)]
            at += len(piece)
            if wanted:
                yield wanted
            if part.last < at < size:
                return


def _exactly(pieces: Iterator[bytes], part: Span) -> Generator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        yield piece
    if size != part.length:
        raise ArtifactDamaged(f"The store gave {size} bytes of an object where {part.length} were asked for")
