"""Rows of policies."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hhh.models import Policy


def find(session: Session, target: str, *, locked: bool = False) -> Policy | None:
    """The policy of a target; locked, so that others who ask for it so wait until the transaction ends."""
    asked = select(Policy).where(Policy.target == target)
    return session.scalar(asked.with_for_update() if locked else asked)


def all_of_them(session: Session) -> Sequence[Policy]:
    """Every policy."""
    return session.scalars(select(Policy)).all()


def naming(session: Session, store: str) -> Sequence[str]:
    """The targets whose policies name a store, in the order of their names."""
    # The two databases look into JSON in different ways; these are small columns of as many rows as there are targets.
    rows = session.execute(select(Policy.target, Policy.stores).order_by(Policy.target))
    return [target for target, stores in rows if store in stores]


def remove(session: Session, target: str) -> None:
    """Removes the policy of a target, if it has one."""
    session.execute(delete(Policy).where(Policy.target == target))
