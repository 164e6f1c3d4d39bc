"""SQLite: restores beside the destination, and copies into a live database by a child process, under SQLite's locks."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hhh.core.errors import EngineError
from hhh.core.files import fsync_folder
from hhh.core.run import Run, Unattended
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.fingerprints import methods_of
from hhh.engines.restoring import Built, Destination, Published, RestoreMode, Restorer, RestoreSource
from hhh.engines.sqlite.conversation import conversation
from hhh.engines.sqlite.engine import BUSY_TIMEOUT_SECONDS, THOROUGH_CHECK_SIZE
from hhh.engines.sqlite.files import BESIDE, RestoreFiles, is_kept_name, remove_database, taken_by, written
from hhh.engines.sqlite.restore_checks import LIVE_INTEGRITY, Looked, checks_of_mode, checks_of_new, checks_of_replace
from hhh.engines.sqlite.url import url_of
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.restore import Check

#: How long a child that has committed, or was told to give up, may take to close the live database.
_ENDING_SECONDS = 60.0
_PRIVATE = 0o600
_COPIED_AT_ONCE = 16 << 20


class SqliteRestorer(Restorer):
    """Brings SQLite files back, also while they are used.

    Args:
        busy_timeout_seconds: how long a lock of somebody else is waited for.
        thorough_check_size: as of `hhh.engines.sqlite.engine.SqliteEngine`, for what is kept of a live database. What
            replaces one is always checked thoroughly, something new up to this size: it was when it was backed up.
    """

    kind = EngineKind.SQLITE

    def __init__(
        self, *, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS, thorough_check_size: int = THOROUGH_CHECK_SIZE
    ) -> None:
        self._busy_timeout = round(busy_timeout_seconds * 1000)
        self._thorough_check_size = thorough_check_size

    def checks(self, source: RestoreSource, destination: Destination, workplace: Workplace) -> Sequence[Check]:  # noqa: ARG002
        files = RestoreFiles.of(destination)
        match destination.mode:
            case RestoreMode.NEW:
                return checks_of_new(source, files)
            case RestoreMode.REPLACE:
                return checks_of_replace(source, files, self._look)
            case RestoreMode.TABLES:
                return checks_of_mode()

    def steps(self, source: RestoreSource, destination: Destination) -> Sequence[str]:
        files = RestoreFiles.of(destination)
        check = (
            "Compare" if self._was_checked(source, destination) else "Check it with PRAGMA integrity_check, and compare"
        )
        begin = [
            f"Put the {source.raw_size} bytes of the backup beside the destination, as {files.built.name}",
            f"{check} it with the facts of the backup",
        ]
        if destination.mode is RestoreMode.NEW:
            return [*begin, f"Give it the name {files.final}, if nothing has that name by then"]
        return [
            *begin,
            f"Hold the write lock of {files.final}, so that nothing is committed in between",
            f"Copy what it holds to {files.kept.name}, and check that copy",
            "Overwrite it through SQLite's online backup, in one transaction: applications may keep it open",
            f"Keep {files.kept.name} for undo",
        ]

    def build(self, source: RestoreSource, destination: Destination, workplace: Workplace, run: Run) -> Built:  # noqa: ARG002
        """See `Restorer.build`; the dump is moved where scratch and destination are on one file system."""
        if source.dump is None:
            raise ValueError("A restore that is only planned has nothing to build from")
        built = RestoreFiles.of(destination).built
        with written(built):
            _move(source.dump, built, run)
        extra = {"checked": self._was_checked(source, destination), "fingerprint": _methods(source, destination)}
        checked = self._ask("check", built, run, answer="facts", extra=extra)
        return Built(
            url=url_of(built),
            facts=SqliteFacts.model_validate(checked["facts"]),
            warnings=tuple(checked["warnings"]),
        )

    def publish(self, destination: Destination, workplace: Workplace, run: Run) -> str | None:  # noqa: ARG002
        files = RestoreFiles.of(destination)
        if destination.mode is RestoreMode.REPLACE:
            accepted = LIVE_INTEGRITY in destination.acknowledged
            kept = self._replace(files, files.built, run, check_dump=True, accept_damage=accepted)
            remove_database(files.built)
            return kept
        if any(files.built.with_name(files.built.name + ending).exists() for ending in BESIDE):
            self._ask("tidy", files.built, run, answer="tidied")
        _give_name(files)
        return None

    def published(self, destination: Destination, workplace: Workplace) -> Published | None:  # noqa: ARG002
        files = RestoreFiles.of(destination)
        if not files.final.exists():
            return None
        if destination.mode is RestoreMode.REPLACE:
            return Published(str(files.kept)) if files.kept.exists() and self._is_replaced(files) else None
        # Killed between giving it its name and taking the other one away, it has both.
        taken = not files.built.exists() or files.built.samefile(files.final)
        return Published(None) if taken else None

    def discard(self, destination: Destination, workplace: Workplace) -> None:  # noqa: ARG002
        files = RestoreFiles.of(destination)
        remove_database(files.built)
        remove_database(files.part)
        # One that is whole was perhaps published a moment before the end; without the database it is all there is.
        if files.kept.exists() and files.final.exists() and not self._is_replaced(files):
            remove_database(files.kept)

    def undo(self, destination: Destination, kept: str, workplace: Workplace, run: Run) -> str:  # noqa: ARG002
        source = _kept_file(kept)
        if not source.exists():
            raise EngineError(f"{source} is gone", hint="restore a backup instead")
        # It was checked when it was kept, or accepted as it was; and what is there now may be what the undo is for.
        kept_now = self._replace(RestoreFiles.of(destination), source, run, check_dump=False, accept_damage=True)
        remove_database(source)
        return kept_now

    def remove_kept(self, destination: Destination, kept: str, workplace: Workplace) -> None:  # noqa: ARG002
        remove_database(_kept_file(kept))

    def _replace(self, files: RestoreFiles, dump: Path, run: Run, *, check_dump: bool, accept_damage: bool) -> str:
        """Overwrites the destination, or changes nothing; returns the name of what was kept."""
        extra: Mapping[str, object] = {
            "dump": str(dump),
            "part": str(files.part),
            "kept": str(files.kept),
            "check_dump": check_dump,
            "accept_damage": accept_damage,
        }
        try:
            self._ask("replace", files.final, run, answer="replaced", extra=extra, ending=_ENDING_SECONDS)
        except BaseException:
            # Cancelled or killed around the commit: only the database knows. Where it can't tell, `discard` asks again.
            with contextlib.suppress(EngineError):
                if files.kept.exists() and self._is_replaced(files):
                    return str(files.kept)
            raise
        return str(files.kept)

    def _is_replaced(self, files: RestoreFiles) -> bool:
        extra = {"kept": str(files.kept)}
        return bool(self._ask("compare", files.final, Unattended(), answer="compared", extra=extra)["replaced"])

    def _was_checked(self, source: RestoreSource, destination: Destination) -> bool:
        """Whether to leave it at the check of the backup: of a large one, another would take longer than all the rest.

        Its bytes have the hash of the manifest, so they are those that were checked when it was taken. What takes the
        place of a live database is checked again all the same.
        """
        return destination.mode is RestoreMode.NEW and source.raw_size > self._thorough_check_size

    def _look(self, files: RestoreFiles) -> Looked:
        return Looked.model_validate(self._ask("look", files.final, Unattended(), answer="looked"))

    def _ask(
        self,
        operation: str,
        path: Path,
        run: Run,
        *,
        answer: str,
        extra: Mapping[str, object] | None = None,
        ending: float = 0,
    ) -> Mapping[str, Any]:
        """Lets the child do one thing.

        Args:
            operation: see `hhh.engines.sqlite.child.protocol`.
            path: of the database that it is done to.
            run: asked for cancellation.
            answer: the event that ends it.
            extra: what else the operation needs.
            ending: seconds that the child may take to end by itself, more than usual.
        """
        request = {
            "operation": operation,
            "source": str(path),
            "busy_timeout": self._busy_timeout,
            "thorough_check_size": self._thorough_check_size,
            **(extra or {}),
        }
        with conversation(request, run) as child:
            try:
                report = child.wait_for(answer)
            finally:
                if ending:
                    child.end(ending)
        return {name: value for name, value in report.items() if name != "event"}


def _methods(source: RestoreSource, destination: Destination) -> Mapping[str, str]:
    """How the fingerprint of each table is taken again."""
    methods = methods_of(source.facts.tables) if destination.with_fingerprints else {}
    return {table: method for (_, table), method in methods.items()}


def _kept_file(kept: str) -> Path:
    if not is_kept_name(kept):
        raise EngineError(f"{kept} is no name of a database that was kept")
    return Path(kept)


def _move(dump: Path, path: Path, run: Run) -> None:
    """Moves a file to where it is private, whole and durable."""
    dump.chmod(_PRIVATE)
    try:
        dump.rename(path)
    except OSError:  # another file system
        path.touch(_PRIVATE, exist_ok=False)
        with dump.open("rb") as source, path.open("wb") as copy:
            while os.sendfile(copy.fileno(), source.fileno(), None, _COPIED_AT_ONCE):
                run.raise_if_cancelled()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(files: RestoreFiles) -> None:
    """Makes a new file known under its name, unless something else is."""
    if taken := taken_by(files.final):
        raise _exists(taken)
    with written(files.final):
        files.built.chmod(_usual_mode(files.part))
        try:
            os.link(files.built, files.final)
        except FileExistsError as error:
            raise _exists(files.final) from error
        files.built.unlink()
        fsync_folder(files.folder)


def _exists(path: Path) -> EngineError:
    return EngineError(f"{path} exists by now", hint="move it away, or restore under another name")


def _usual_mode(probe: Path) -> int:
    """What the umask, or the folder's own rules, leave of the mode of a new file."""
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink()
