"""Whether databases and their backups would be lost together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hhh.core.errors import HHHError
from hhh.engines.base import EngineKind
from hhh.engines.sqlite.url import path_in
from hhh.services.container import Services

#: Whether one of so many lies there is looked at; they are rarely on many disks.
_LOOKED_AT = 20


def shares_a_disk(services: Services, stores: Sequence[str]) -> bool:
    """Whether all stores are folders on the disk of a database that is a file.

    Args:
        services: know the databases.
        stores: their URLs.
    """
    parts = [urlsplit(url) for url in stores]
    if any(each.scheme != "file" for each in parts):
        return False
    databases = {_disk(file) for file in _files(services)}
    return all(_disk(Path(unquote(each.path))) in databases for each in parts)


def _files(services: Services) -> Iterator[Path]:
    if services.database.file is not None:
        yield services.database.file
    targets, _ = services.targets.page("", limit=_LOOKED_AT, offset=0)
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
