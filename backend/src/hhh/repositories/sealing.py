"""Everything that is sealed with a key derived from ``HHH_SECRET_KEY``, and locks against its rotation.

On SQLite a transaction that writes excludes all others by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hhh.models import AlertChannel, Installation, Store, Target, User


@dataclass(frozen=True, slots=True)
class SealedRows:
    """All rows that hold something sealed."""

    targets: list[Target]
    stores: list[Store]
    #: Those with a second factor.
    users: list[User]
    channels: list[AlertChannel]
    #: None on a database where no installation has begun.
    installation: Installation | None


def lock_for_writing(session: Session) -> None:
    """Waits for the end of a rotation of the key, and lets none begin before this transaction ends.

    Whoever changes targets or stores begins with this or with `lock_stores`, so that no two wait for each other.
    """
    _lock(session, targets="ROW EXCLUSIVE", stores="ROW EXCLUSIVE")


def lock_stores(session: Session) -> None:
    """As `lock_for_writing`, and nobody else changes stores: two must not be registered for one place at once."""
    _lock(session, targets="ROW EXCLUSIVE", stores="SHARE ROW EXCLUSIVE")


def lock_for_rotation(session: Session) -> SealedRows:
    """All of them, which nobody else can change or add to before this transaction ends."""
    _lock(session, targets="SHARE ROW EXCLUSIVE", stores="SHARE ROW EXCLUSIVE")
    return SealedRows(
        targets=list(session.scalars(select(Target).order_by(Target.name))),
        stores=list(session.scalars(select(Store).order_by(Store.name))),
        users=list(
            session.scalars(select(User).where(User.sealed_totp.is_not(None)).order_by(User.id).with_for_update())
        ),
        channels=list(session.scalars(select(AlertChannel).order_by(AlertChannel.id).with_for_update())),
        installation=session.scalar(select(Installation).with_for_update()),
    )


def sealed_check(session: Session) -> str | None:
    """What only the right key opens; None where nothing has said yet which one is right."""
    return session.scalar(select(Installation.sealed_check))


def _lock(session: Session, *, targets: str, stores: str) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"LOCK TABLE targets IN {targets} MODE"))
        session.execute(text(f"LOCK TABLE stores IN {stores} MODE"))
