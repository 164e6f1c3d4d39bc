"""The files of a restore to SQLite, all beside its destination."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hhh.core.errors import EngineError
from hhh.engines.restoring import Destination, RestoreMode

#: What SQLite keeps beside a database.
BESIDE = ("-wal", "-journal", "-shm")
#: Bytes of the longest name that is made of a destination's: ``.before_<token>.part-journal``.
LONGEST_ENDING = len(".before_12345678.part-journal")
_KEPT = re.compile(r".+\.before_[a-z0-9]{8}")


@dataclass(frozen=True, slots=True)
class RestoreFiles:
    """Where things are."""

    #: The destination itself. Of a live one, the file that a link leads to: SQLite keeps its journal beside that.
    final: Path
    #: What is restored, until it is published.
    built: Path
    #: A safety copy that is not yet whole.
    part: Path
    #: A safety copy.
    kept: Path

    @classmethod
    def of(cls, destination: Destination) -> RestoreFiles:
        """All names derive from the destination and the token."""
        final = Path(destination.name)
        if destination.mode is RestoreMode.REPLACE:
            final = Path(os.path.realpath(final))
        kept = final.with_name(f"{final.name}.before_{destination.token}")
        built = final.with_name(f"{final.name}.restore_{destination.token}")
        return cls(final, built, kept.with_name(f"{kept.name}.part"), kept)

    @property
    def folder(self) -> Path:
        """All are in it."""
        return self.final.parent


def remove_database(path: Path) -> None:
    """Removes a file of ours and what SQLite left beside it; a no-op without any."""
    with written(path):
        for file in (path, *(path.with_name(path.name + ending) for ending in BESIDE)):
            file.unlink(missing_ok=True)


def taken_by(path: Path) -> Path | None:
    """What is there already under that name, or beside it for a database of that name."""
    beside = [path.with_name(path.name + ending) for ending in BESIDE]
    return next((file for file in (path, *beside) if os.path.lexists(file)), None)


def is_kept_name(name: str) -> bool:
    """Whether it is one that `RestoreFiles` gives to what is kept."""
    return _KEPT.fullmatch(Path(name).name) is not None


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Turns what the system says of a file that is written into an `EngineError`."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"{path} can't be written: {error.strerror}",
            hint="free some space in its folder, and give this user write access to it",
        ) from error
