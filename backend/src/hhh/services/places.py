"""Where the API may restore to: to the server of a registered target, or into folders that are allowed for it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.core.scratch import SCRATCH_PREFIX
from hhh.engines.base import EngineKind
from hhh.engines.postgresql.names import LONGEST_NAME
from hhh.engines.postgresql.url import parse_url
from hhh.engines.restoring import Destination, RestoreMode
from hhh.engines.sqlite.files import BESIDE
from hhh.engines.sqlite.url import path_in, url_of
from hhh.models import Restore
from hhh.services.stores import StoreService
from hhh.services.targets import APP, Target

_PORT: Final = "5432"
_LOOPBACK: Final = "loopback"


class Places:
    """Finds, and refuses, destinations."""

    def __init__(self, settings: Settings, database: Database, stores: StoreService) -> None:
        self._settings = settings
        self._database = database
        self._stores = stores

    def name(self, target: Target, mode: RestoreMode, asked: str | None, *, anywhere: bool = False) -> str:
        """The destination's name: of a database on the target's server, or the absolute path of a file.

        Args:
            target: on whose server, or in whose folder.
            mode: of the restore.
            asked: what the caller named.
            anywhere: whether a file may go to any folder.

        Raises:
            InvalidInput: nothing may be restored there, or it is not told where.
        """
        if mode is RestoreMode.REPLACE:
            if asked is not None:
                raise InvalidInput(
                    "A restore that replaces goes where the target is", hint="leave out `destination`, or use `new`"
                )
            self._refuse_own(target)
            return _name_of(target)
        if not asked:
            raise InvalidInput("A destination is missing", hint="name a new database, or the path of a new file")
        if any(not character.isprintable() for character in asked):
            raise InvalidInput("The destination's name holds a control character", hint="choose another name")
        return self._path(target, asked, anywhere=anywhere) if _is_file(target) else self._database_name(target, asked)

    def url(self, target: Target, name: str) -> str:
        """How the restorer reaches it, with a password: any database of the server, or the file itself."""
        return url_of(name) if _is_file(target) else target.url

    def _refuse_own(self, target: Target) -> None:
        # By another name than `app`: nobody would see to its sessions, jobs and catalogue.
        name = _name_of(target)
        own = self._is_own_file(Path(name)) if _is_file(target) else name == self._own_name(target)
        if own and target.name != APP:
            raise InvalidInput("This is the service's own database", hint=f"replace it as the target {APP!r}")

    def _is_own_file(self, path: Path) -> bool:
        """By whatever name: a hard link is another one of the same file."""
        files = self._own_files()
        if Path(os.path.realpath(path)) in files:
            return True
        return path.exists() and any(own.exists() and own.samefile(path) for own in files)

    def _database_name(self, target: Target, asked: str) -> str:
        if len(asked.encode()) > LONGEST_NAME:
            raise InvalidInput(
                f"The name of a PostgreSQL database has at most {LONGEST_NAME} bytes", hint="choose a shorter name"
            )
        if asked == self._own_name(target):
            raise InvalidInput(f"{asked} is the service's own database", hint="choose another name")
        return asked

    def _own_name(self, target: Target) -> str | None:
        """The name of the own database, if it is on the target's server."""
        server, own = parse_url(target.url), self._database.url
        if own.get_backend_name() != "postgresql":
            return None
        ours = parse_url(own.set(drivername="postgresql").render_as_string(hide_password=False)).parameters
        same_port = server.parameters.get("port", _PORT) == ours.get("port", _PORT)
        return ours["dbname"] if same_port and _addresses(server.parameters) & _addresses(ours) else None

    def _path(self, target: Target, asked: str, *, anywhere: bool) -> str:
        path = Path(asked)
        if not path.is_absolute() or ".." in path.parts or asked.endswith("/"):
            raise InvalidInput(
                "The destination is not the absolute path of a file, without '..'", hint="e.g. /var/lib/app/restored.db"
            )
        if path.name.endswith(BESIDE):
            raise InvalidInput(f"SQLite would take {path.name} for a part of another database", hint="use another name")
        try:
            found = path.parent.resolve(strict=True) / path.name
            is_link = found.is_symlink()
        except (OSError, RuntimeError):
            raise InvalidInput("The destination's folder can't be used", hint="make it first") from None
        if is_link:
            raise InvalidInput("The destination is a symbolic link", hint="name what it points to")
        self._refuse_forbidden(target, found, anywhere=anywhere)
        return str(found)

    def _refuse_forbidden(self, target: Target, path: Path, *, anywhere: bool) -> None:
        if not anywhere and not any(path.is_relative_to(folder) for folder in self._allowed(target)):
            raise InvalidInput(
                "Nothing may be restored into that folder",
                hint="name one of HHH_RESTORE_DIRS (default: the target's own folder and the data folder)",
            )
        if path in self._own_files() or any(path.is_relative_to(folder) for folder in self._own_folders(path)):
            raise InvalidInput("The service keeps its own files there", hint="choose another folder")

    def _allowed(self, target: Target) -> Sequence[Path]:
        defaults = [Path(_name_of(target)).parent, self._settings.data_dir]
        return [folder.resolve() for folder in self._settings.restore_dirs or defaults]

    def _own_folders(self, path: Path) -> Sequence[Path]:
        places = [urlsplit(store.url) for store in self._stores.list()]
        stores = [Path(unquote(place.path)) for place in places if place.scheme == "file"]
        # HHH_SCRATCH_DIR itself may be everybody's (/tmp): ours is what runs make there.
        scratch = [folder for folder in path.parents if folder.name.startswith(SCRATCH_PREFIX)]
        return [folder.resolve() for folder in (*stores, *scratch, self._settings.data_dir / "workers")]

    def _own_files(self) -> frozenset[Path]:
        settings = self._settings
        # Of a key that is being rotated, the new one stands beside it for a moment.
        files = [settings.signing_key_path, settings.data_dir / "secret.key", settings.data_dir / "secret.key.new"]
        files += filter(None, (self._database.file, settings.age_identity_file))
        return frozenset(Path(os.path.realpath(file)) for file in files)


def _addresses(parameters: Mapping[str, str]) -> frozenset[str]:
    """Where a server is: two names may be of one. A name that is not known any more stands for itself."""
    host = parameters.get("hostaddr") or parameters.get("host") or ""
    if not host or host.startswith(("/", "@")):  # a socket of this machine
        host = "localhost"
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset({host})
    addresses = (str(address[0]) for *_, address in found)
    return frozenset(
        _LOOPBACK if ipaddress.ip_address(each.partition("%")[0]).is_loopback else each for each in addresses
    )


def _name_of(target: Target) -> str:
    if target.engine.kind is EngineKind.SQLITE:
        return str(path_in(target.url))
    return str(parse_url(target.url).parameters["dbname"])


def _is_file(target: Target) -> bool:
    return target.engine.kind is EngineKind.SQLITE


def destination_of(row: Restore, url: str) -> Destination:
    """What a restorer is told.

    Args:
        row: of the restore.
        url: as `Places.url` gives it.
    """
    return Destination(
        url=url,
        name=row.destination,
        mode=RestoreMode(row.mode),
        token=row.token,
        tables=tuple(row.tables),
        acknowledged=frozenset(row.acknowledge),
    )
