"""What tests of the sweep share: services, objects of any age, and what a sweep found."""

import dataclasses
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from hhh.artifacts.naming import backup_file_name
from hhh.core.clock import utcnow
from hhh.jobs.worker import working
from hhh.services.container import Services
from hhh.services.stores import StoreService
from hhh.services.sweep import Sweep
from hhh.services.sweep_report import SweepReport
from hhh.storages.base import ObjectInfo, Storage, Unfinished
from hhh.storages.local import LocalStorage

SOURCE = "source"
#: Of no row.
NOBODYS = backup_file_name(utcnow() - timedelta(days=400))


def take(services: Services) -> str:
    """A backup that is stored; its id."""
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(SOURCE))
        worker.execute(backup_id)
    assert services.catalogue.get(backup_id).status == "success"
    return backup_id


def look(services: Services, *, repair: bool = True) -> SweepReport:
    """One sweep."""
    return services.sweep.look(repair=repair)


def found(report: SweepReport) -> list[tuple[str, str, bool]]:
    """Kind, subject, and whether something was done."""
    return [(each.kind.value, each.subject, bool(each.done)) for each in report.findings]


def folder(services: Services) -> Path:
    """The default store."""
    return services.settings.data_dir / "backups"


def age(path: Path, hours: float = 25) -> None:
    """Makes a file, or everything in a folder, that old."""
    moment = utcnow().timestamp() - hours * 3600
    for each in [path, *path.rglob("*")]:
        os.utime(each, (moment, moment))


def left_over(services: Services, name: str = f"{NOBODYS}.1.zst", *, hours: float = 25, installation: str = "") -> Path:
    """An object of a backup that came to nothing."""
    path = folder(services) / (installation or services.identity.installation) / SOURCE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half a dump")
    age(path, hours)
    return path


def key_of(services: Services, path: Path, store: Path | None = None) -> str:
    """The key of a file in the default store, or in another one."""
    return path.relative_to(store or folder(services)).as_posix()


def everything_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Files with their times and contents, but for the empty folder of checks."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def sweeping_in(services: Services, storage: Storage) -> Services:
    """The same services, sweeping another default store."""
    stores = StoreService(services.settings, services.database, storage)
    sweep = Sweep(services.settings, services.database, services.identity, stores, services.pruning)
    return dataclasses.replace(services, stores=stores, sweep=sweep)


class OfAnotherTime(LocalStorage):
    """A folder on a server whose clock is not ours.

    Args:
        root: the folder.
        offset: how far ahead its clock is.
        since_now: whether only what is written from now on is of that time.
    """

    def __init__(self, root: Path, offset: timedelta, *, since_now: bool = False) -> None:
        super().__init__(root)
        self._offset = offset
        self._since = utcnow() if since_now else None

    def head(self, key: str) -> ObjectInfo:
        return self._shifted(super().head(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return map(self._shifted, super().list(prefix))

    def unfinished(self, prefix: str = "") -> Iterator[Unfinished]:
        for each in super().unfinished(prefix):
            yield dataclasses.replace(each, modified_at=each.modified_at + self._offset)

    def _shifted(self, info: ObjectInfo) -> ObjectInfo:
        if self._since is not None and info.modified_at < self._since:
            return info
        return dataclasses.replace(info, modified_at=info.modified_at + self._offset)
