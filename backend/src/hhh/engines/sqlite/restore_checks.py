"""What is looked at before a SQLite file is restored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

from hhh.core.errors import EngineError, TargetBusy
from hhh.engines.restoring import RestoreSource
from hhh.engines.sqlite.files import LONGEST_ENDING, RestoreFiles, taken_by
from hhh.schemas.facts import FactsModel, SqliteFacts
from hhh.schemas.restore import Check

#: The check that lets a damaged live database be replaced, and what is kept of it be as damaged.
LIVE_INTEGRITY = "live_integrity"
_LONGEST_NAME = 255
_INSTEAD = (
    "restore as a new file and put it in its place while the application is stopped, or take the live one out of WAL "
    "mode before (PRAGMA journal_mode = DELETE)"
)
_INSTEAD_ALWAYS = "restore as a new file, and put it in its place while the application is stopped"


class Looked(FactsModel):
    """A live database, as the child saw it."""

    #: Bytes.
    size: int
    page_size: int
    encoding: str
    wal: bool
    #: Processes that have a write transaction open, or read (in WAL mode: have it open); None without any, 0 or less
    #: where they can't be seen from here.
    writer: int | None
    reader: int | None
    #: The first line that SQLite says of it, empty for none; None for one too large to check while planning.
    damage: str | None


def checks_of_mode() -> Sequence[Check]:
    """Of a restore of single tables."""
    return [
        Check.unsafe(
            "mode", "Single tables of SQLite can't be restored: restore as a new file, and copy their rows from it"
        )
    ]


def checks_of_new(source: RestoreSource, files: RestoreFiles) -> Sequence[Check]:
    """Of a restore to a new file."""
    return [
        _check_name(files) or _check_absent(files),
        _check_folder(files),
        _check_space(files, _built_size(source, files), "the new file"),
        _check_tool(source),
    ]


def checks_of_replace(
    source: RestoreSource, files: RestoreFiles, look: Callable[[RestoreFiles], Looked]
) -> Sequence[Check]:
    """Of a restore into a live database."""
    common = [_check_permissions(files), _check_tool(source)]
    if (problem := _check_name(files) or _check_present(files)) is not None:
        return [problem, *common]
    try:
        live = look(files)
    except TargetBusy as error:
        return [Check.unknown("destination", str(error)), *common]
    except EngineError as error:
        return [Check.unsafe("destination", f"{error.message}: {_INSTEAD_ALWAYS}"), *common]
    return [
        Check.ok("destination", f"{files.final} is a SQLite database of {live.size} bytes"),
        *common,
        *_checks_of_live(source, files, live),
    ]


def _checks_of_live(source: RestoreSource, files: RestoreFiles, live: Looked) -> Iterator[Check]:
    yield _check_space(files, _replace_size(source, files, live), "a copy of each, and the journal of the overwrite")
    yield _check_damage(live)
    if isinstance(source.facts, SqliteFacts):
        yield _check_page_size(source.facts, live)
        yield _check_encoding(source.facts, live)
    yield _check_writers(live)
    yield _check_readers(live)
    yield _check_owner(files)


# ---------------------------------------------------------------------------------------- the destination


def _check_name(files: RestoreFiles) -> Check | None:
    if len(os.fsencode(files.final.name)) + LONGEST_ENDING > _LONGEST_NAME:
        return Check.unsafe("destination", f"The name of {files.final} is too long to make others of it")
    return None


def _check_absent(files: RestoreFiles) -> Check:
    if taken := taken_by(files.final):
        return Check.unsafe("destination", f"{taken} exists: choose another name, or move it away")
    if not files.folder.is_dir():
        return Check.unsafe("destination", f"{files.folder} is no folder: make it first")
    return Check.ok("destination", f"{files.final} does not exist yet")


def _check_present(files: RestoreFiles) -> Check | None:
    if not os.path.lexists(files.final):
        return Check.unsafe("destination", f"{files.final} does not exist: restore as a new file (--to)")
    return None


def _check_folder(files: RestoreFiles) -> Check:
    if not os.access(files.folder, os.W_OK | os.X_OK):
        return Check.unsafe("permissions", f"This user may not write to {files.folder}")
    return Check.ok("permissions", f"This user may write to {files.folder}")


def _check_permissions(files: RestoreFiles) -> Check:
    if os.access(files.final, os.F_OK) and not os.access(files.final, os.R_OK | os.W_OK):
        return Check.unsafe("permissions", f"This user may not read and write {files.final}")
    return _check_folder(files)


def _check_owner(files: RestoreFiles) -> Check:
    if os.geteuid() in {0, files.final.stat().st_uid}:
        return Check.ok("owner", "What is kept of it gets its owner and its mode; the file itself stays the same one")
    return Check.warning(
        "owner", "The file belongs to another user: it stays so, but what is kept of it belongs to this one alone"
    )


# ------------------------------------------------------------------------------------------------- space


def _built_size(source: RestoreSource, files: RestoreFiles) -> int:
    """Bytes that the restored file needs beside the destination; none where the dump lies there already."""
    if source.dump is not None and source.dump.exists() and files.folder.is_dir():
        return 0 if source.dump.stat().st_dev == files.folder.stat().st_dev else source.raw_size
    return source.raw_size


def _replace_size(source: RestoreSource, files: RestoreFiles, live: Looked) -> int:
    """Bytes: both copies, growth, and a WAL with all new pages or a journal with all old ones."""
    journal = source.raw_size if live.wal else live.size
    growth = max(0, source.raw_size - live.size)
    # Each page has a header of 24 bytes in a WAL, 8 in a journal.
    return _built_size(source, files) + live.size + growth + journal + journal * 24 // live.page_size


def _check_space(files: RestoreFiles, needed: int, purpose: str) -> Check:
    try:
        state = os.statvfs(files.folder)
    except OSError as error:
        return Check.unknown("free_space", f"{files.folder} has no space: {error.strerror}")
    free = state.f_bavail * state.f_frsize
    said = f"{needed} bytes are needed in {files.folder} for {purpose}, {free} are free"
    return Check.unsafe("free_space", said) if free < needed else Check.ok("free_space", said)


# -------------------------------------------------------------------------------------------- the database


def _check_tool(source: RestoreSource) -> Check:
    ours = ".".join(version("apsw").split(".")[:3])
    theirs = source.versions.get("sqlite")
    if theirs is None:
        return Check.unknown("tool", f"SQLite {ours} is here; the backup names none")
    said = f"The backup was made with SQLite {theirs}, {ours} is here"
    if _numbers(theirs) > _numbers(ours):
        return Check.warning("tool", f"{said}: what is newer in it can't be checked")
    return Check.ok("tool", said)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".") if part.isdigit()]


def _check_damage(live: Looked) -> Check:
    if live.damage is None:
        said = "It is too large to be checked for a plan; what is kept of it is checked before it is overwritten"
        return Check(name=LIVE_INTEGRITY, status="unknown", message=said, acknowledge=LIVE_INTEGRITY)
    if live.damage:
        said = f"The live database is damaged, and what is kept for undo would be as well: {live.damage}"
        return Check.doubtful(LIVE_INTEGRITY, said)
    return Check.ok(LIVE_INTEGRITY, "The live database is not damaged")


def _check_page_size(facts: SqliteFacts, live: Looked) -> Check:
    said = f"The backup has pages of {facts.page_size} bytes, the live database of {live.page_size}"
    if facts.page_size != live.page_size and live.wal:
        return Check.unsafe("page_size", f"{said}, and it is in WAL mode: {_INSTEAD}")
    return Check.ok("page_size", said)


def _check_encoding(facts: SqliteFacts, live: Looked) -> Check:
    said = f"The backup has text in {facts.encoding}, the live database in {live.encoding}"
    if facts.encoding != live.encoding:
        return Check.unsafe("encoding", f"{said}, which applications that have it open can't change: {_INSTEAD_ALWAYS}")
    return Check.ok("encoding", said)


def _check_writers(live: Looked) -> Check:
    if live.writer is None:
        return Check.ok("writers", "Nobody writes just now")
    said = f"{_process(live.writer)} writes just now: its transaction is waited for, but not for long"
    return Check.warning("writers", said)


def _check_readers(live: Looked) -> Check:
    if live.reader is None:
        return Check.ok("readers", "Nobody has it open" if live.wal else "Nobody reads just now")
    if live.wal:
        return Check.ok("readers", f"{_process(live.reader)} has it open, and will see the new content")
    said = f"{_process(live.reader)} reads just now: its transaction is waited for, but not for long"
    return Check.warning("readers", said)


def _process(number: int) -> str:
    return f"Process {number}" if number > 0 else "Another process"
