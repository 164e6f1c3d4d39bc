"""Whether databases and their backups would be lost together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hhh.core.errors import HHHError
from hhh.engines.base import EngineKind
from hhh.engines.sqlite.url import path_in
from hhh.services.targets import ListedTarget


def shares_a_disk(targets: Iterable[ListedTarget], stores: Sequence[str]) -> bool:
    """Whether all stores are folders, each on the disk of a database that is a file.

    Args:
        targets: the databases.
        stores: the URLs of the stores.
    """
    parts = [urlsplit(url) for url in stores]
    if any(each.scheme != "file" for each in parts):
        return False
    disks = {_disk(file) for file in _files(targets)}
    return all(_disk(Path(unquote(each.path))) in disks for each in parts)


def _files(targets: Iterable[ListedTarget]) -> Iterator[Path]:
    for target in targets:
        if target.engine is EngineKind.SQLITE and target.url is not None:
            with contextlib.suppress(HHHError):
                yield path_in(target.url)


def _disk(path: Path) -> int | None:
    """The disk that a file or folder is on, or would be made on."""
    for each in (path, *path.parents):
        with contextlib.suppress(OSError):
            return each.stat().st_dev
    return None
