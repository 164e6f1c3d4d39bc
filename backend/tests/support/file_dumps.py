"""A dump that stands in a file."""

import io
from pathlib import Path

from hhh.engines.base import Dump, DumpResult
from support.stored_backups import FACTS


class FileDump(Dump):
    """The dump of a tool that ends well or not."""

    def __init__(self, path: Path, error: Exception | None = None) -> None:
        self._file = io.FileIO(path)
        self._error = error

    @property
    def stdout(self) -> io.RawIOBase:
        return self._file

    @property
    def expected_size(self) -> int | None:
        return None

    def finish(self) -> DumpResult:
        self._file.close()
        if self._error:
            raise self._error
        return DumpResult(FACTS, {"server": "3.54.0"})
