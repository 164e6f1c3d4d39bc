"""Rows of policies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.models import Policy
from hhh.repositories.batches import in_batches


def find(session: Session, target: str) -> Policy | None:
    """The policy of a target."""
    return session.get(Policy, target)


def locked(session: Session, new: Policy) -> Policy:
    """The policy of a target, written if there is none; others who change it wait until the transaction ends."""
    asked = select(Policy).where(Policy.target == new.target).with_for_update()
    if (row := session.scalar(asked)) is not None:
        return row
    try:
        with session.begin_nested():
            session.add(new)
    except IntegrityError:  # another process was first
        return session.scalars(asked).one()
    return new


def all_of_them(session: Session) -> Sequence[Policy]:
    """Every policy."""
    return session.scalars(select(Policy)).all()


def proofs(session: Session) -> Sequence[tuple[str, dict[str, Any]]]:
    """By target: what is demanded of its backups, where that is anything."""
    found = session.execute(select(Policy.target, Policy.proof).where(Policy.proof.is_not(None)))
    return [(target, proof) for target, proof in found if proof is not None]


def among(session: Session, targets: Collection[str]) -> Sequence[Policy]:
    """The policies of some targets, of those that have one."""
    found: list[Policy] = []
    for some in in_batches(targets):
        found += session.scalars(select(Policy).where(Policy.target.in_(some)))
    return found


def stores_by_target(session: Session) -> Mapping[str, Sequence[str]]:
    """By target that has a policy, registered or not: the stores that it names."""
    return {target: [*stores] for target, stores in session.execute(select(Policy.target, Policy.stores))}


def naming(session: Session, store: str) -> Sequence[str]:
    """The targets whose policies name a store, in the order of their names."""
    # The two databases look into JSON in different ways; these are small columns of as many rows as there are targets.
    rows = session.execute(select(Policy.target, Policy.stores).order_by(Policy.target))
    return [target for target, stores in rows if store in stores]


def drilling_on(session: Session, name: str) -> Sequence[str]:
    """The targets, registered or not, whose policies have drills use the server of a target, by their names."""
    asked = select(Policy.target, Policy.proof).where(Policy.proof.is_not(None)).order_by(Policy.target)
    rows: Iterable[Any] = session.execute(asked)
    return [target for target, proof in rows if proof.get("drill_target") == name]


def drill_targets(session: Session) -> Sequence[str]:
    """The targets whose servers drills use by some policy, by their names."""
    proofs = session.scalars(select(Policy.proof).where(Policy.proof.is_not(None)))
    return sorted({proof["drill_target"] for proof in proofs if proof is not None and proof.get("drill_target")})


def level_after_backup(session: Session, target: str) -> str | None:
    """The level that each backup of a target is to be verified at once it is stored."""
    proof = session.scalar(select(Policy.proof).where(Policy.target == target)) or {}
    return proof.get("verify_after_backup")


def remove(session: Session, target: str) -> None:
    """Removes the policy of a target, if it has one."""
    session.execute(delete(Policy).where(Policy.target == target))
