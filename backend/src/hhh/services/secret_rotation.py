"""Another ``HHH_SECRET_KEY``: everything that is sealed is sealed anew, in one transaction, or stays as it was.

Where the key is kept in the data folder, the new one is written beside it first and takes its place afterwards. A
process that dies in between leaves two keys and a database that knows which is right: the next command asks it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, InvalidInput
from hhh.core.files import fsync_folder, needed, write_private
from hhh.core.secretbox import SecretBox
from hhh.models import Action
from hhh.repositories import installation as installation_rows
from hhh.repositories import restored, sealing
from hhh.repositories.sealing import SealedRows
from hhh.services import audit
from hhh.services.sealing import CHECK_OWNER, channel_owner, opens, second_factor_owner, store_owner, target_owner

_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was sealed anew."""

    targets: int
    stores: int
    second_factors: int
    channels: int
    #: What the old key does not open, e.g. ``target shop``: as it was, and lost unless an older key is found.
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """One column of one row."""

    row: Any
    column: str
    owner: str

    @property
    def text(self) -> str:
        return str(getattr(self.row, self.column))


def new_key() -> str:
    """A key as ``HHH_SECRET_KEY`` takes it, of 384 random bits."""
    return secrets.token_urlsafe(48)


def kept_key(settings: Settings) -> Path | None:
    """Where the service keeps its key by itself; None where ``HHH_SECRET_KEY`` is set."""
    return None if settings.secret_key.get_secret_value() else settings.data_dir / "secret.key"


def rotate(settings: Settings, database: Database, key: str) -> Rotation:
    """Seals everything with a new key, and ends all sessions, which are signed with the old one.

    A key that the service keeps by itself is replaced; ``HHH_SECRET_KEY`` is for whoever has set it.

    Raises:
        InvalidInput: the new key is too short, or the present one, or everything is sealed with it already.
        ConfigurationError: the present key is not the one that secrets are sealed with.
    """
    if len(key) < _SHORTEST or not key.isprintable() or " " in key:
        raise InvalidInput(
            f"The new key is shorter than {_SHORTEST} characters, or holds spaces",
            hint="make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'",
        )
    if key.encode() == settings.secret:
        raise InvalidInput("The new key is the present one")
    rotation = _reseal(settings, database, key.encode())
    finish_interrupted(settings, database)
    return rotation


def finish_interrupted(settings: Settings, database: Database) -> None:
    """Puts a new key in its place whose rotation was done but for that; cheap where there was none.

    Raises:
        ConfigurationError: a key can't be read or moved.
    """
    path = kept_key(settings)
    if path is None or not _beside(path).exists():
        return
    # Within the lock of rotations: another one must not put its key there meanwhile.
    with needed(path), database.transaction() as session:
        sealing.lock_for_writing(session)
        check = sealing.sealed_check(session)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            # Else the rotation has not happened.
            if check is not None and opens(SecretBox(_beside(path).read_bytes().strip()), check):
                _beside(path).replace(path)
                fsync_folder(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _reseal(settings: Settings, database: Database, key: bytes) -> Rotation:
    before, after = SecretBox(settings.secret), SecretBox(key)
    with database.transaction() as session:
        rows = sealing.lock_for_rotation(session)
        everything = list(_sealed(rows))
        _refuse_wrong_key(rows, everything, before, after)
        opened = {each.owner: plain for each in everything if (plain := _opened(each, before)) is not None}
        for each in everything:
            if each.owner in opened:
                setattr(each.row, each.column, after.seal(opened[each.owner], owner=each.owner))
        _write_check(session, rows, after)
        restored.end_sessions(session)
        audit.record(session, Action.KEYS, "HHH_SECRET_KEY")
        if (path := kept_key(settings)) is not None:
            with needed(path):
                write_private(_beside(path), key)
    return Rotation(
        targets=sum(target_owner(row.name) in opened for row in rows.targets),
        stores=sum(store_owner(row.name) in opened for row in rows.stores),
        second_factors=sum(second_factor_owner(row.id) in opened for row in rows.users),
        channels=sum(channel_owner(row.id) in opened for row in rows.channels),
        left=tuple(each.owner for each in everything if each.owner not in opened),
    )


def _sealed(rows: SealedRows) -> Iterator[_Sealed]:
    yield from (_Sealed(row, "sealed_url", target_owner(row.name)) for row in rows.targets)
    yield from (_Sealed(row, "sealed_totp", second_factor_owner(row.id)) for row in rows.users)
    yield from (_Sealed(row, "sealed_options", store_owner(row.name)) for row in rows.stores)
    yield from (_Sealed(row, "sealed_url", channel_owner(row.id)) for row in rows.channels)


def _refuse_wrong_key(rows: SealedRows, everything: list[_Sealed], before: SecretBox, after: SecretBox) -> None:
    check = rows.installation.sealed_check if rows.installation is not None else None
    if check is not None:
        if opens(before, check):
            return
        if opens(after, check):
            raise InvalidInput("Everything is sealed with the new key already", hint="set it as HHH_SECRET_KEY")
    elif not everything or any(_opened(each, before) is not None for each in everything):
        return
    raise ConfigurationError(
        "The present HHH_SECRET_KEY is not the one that secrets are sealed with", hint="set that one for this command"
    )


def _opened(sealed: _Sealed, box: SecretBox) -> str | None:
    try:
        return box.open(sealed.text, owner=sealed.owner)
    except ConfigurationError:
        return None


def _write_check(session: Session, rows: SealedRows, box: SecretBox) -> None:
    """Lets every process see that its key is the old one."""
    row = rows.installation
    if row is None:
        installation_rows.create_installation(session)
        row = installation_rows.get(session)
    row.sealed_check = box.seal(CHECK_OWNER, owner=CHECK_OWNER)
