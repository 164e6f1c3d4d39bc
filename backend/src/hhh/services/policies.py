"""How each target is backed up: where to, how often it is tried, and what is kept.

The service's own database goes to every store that there is, unless its policy names some: who has any store left can
bring the service back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.artifacts.naming import valid_target_name
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.core.text import listed
from hhh.engines.base import EngineKind
from hhh.models import Policy
from hhh.repositories import policies as rows
from hhh.repositories import stores as store_rows
from hhh.repositories import targets as target_rows
from hhh.schemas.policy import PolicyFields, ProofFields
from hhh.schemas.retention import Retention
from hhh.services.stores import DEFAULT_STORE

#: The target that is the service's own database; it is always there.
APP = "app"


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """The policy of one target."""

    #: Names of stores; empty is the default store alone. Of `APP`, `PolicyService` names them all in its place.
    stores: tuple[str, ...] = ()
    #: In how many stores a backup must be; None: in all of them.
    minimum_copies: int | None = None
    #: How often a scheduled backup that failed, and may pass, is tried again.
    retries: int = 2
    #: None: no limit.
    time_limit_seconds: int | None = None
    #: None: everything is kept.
    retention: Retention | None = None
    #: What is demanded of its backups, and how they are proven.
    proof: ProofFields = field(default_factory=ProofFields)


class PolicyService:
    """Reads and changes policies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, target: str) -> TargetPolicy:
        """The policy of a target; the defaults where none was set."""
        with self._database.snapshot() as session:
            row = rows.find(session, target)
            return _effective(session, target, _policy(row) if row is not None else TargetPolicy())

    def among(self, targets: Collection[str]) -> Mapping[str, TargetPolicy]:
        """By name: the policies of some targets."""
        with self._database.snapshot() as session:
            found = {row.target: _policy(row) for row in rows.among(session, targets)}
            return {target: _effective(session, target, found.get(target, TargetPolicy())) for target in targets}

    def stores(self) -> Mapping[str, Sequence[str]]:
        """By target whose policy was set, and `APP`: the stores that its backups go to; of others the default one."""
        with self._database.snapshot() as session:
            named = {APP: (), **rows.stores_by_target(session)}
            named[APP] = named[APP] or _every_store(session)
        return {target: stores or (DEFAULT_STORE,) for target, stores in named.items()}

    def set_policies(self) -> Mapping[str, TargetPolicy]:
        """The policies that were set, by target, and that of `APP`; all others have the defaults."""
        with self._database.snapshot() as session:
            found = {APP: TargetPolicy(), **{row.target: _policy(row) for row in rows.all_of_them(session)}}
            return {**found, APP: _effective(session, APP, found[APP])}

    def stores_without_own_backups(self) -> Sequence[str]:
        """The stores that the policy of `APP` leaves out, since it names others."""
        with self._database.snapshot() as session:
            row, every = rows.find(session, APP), _every_store(session)
        return [name for name in every if row is not None and row.stores and name not in row.stores]

    def demands(self) -> Mapping[str, ProofFields]:
        """What the policies demand of backups, by target; all others have the defaults."""
        with self._database.snapshot() as session:
            return {target: ProofFields.model_validate(proof) for target, proof in rows.proofs(session)}


def apply(session: Session, target: str, change: PolicyFields, *, whole: bool, now: datetime) -> None:
    """Writes the policy of a target, in the caller's transaction.

    Args:
        session: of the transaction; one that changes the same policy waits for its end.
        target: whose policy.
        change: what is to be set.
        whole: what is left out of it becomes the default, instead of staying as it is.
        now: the moment.

    Raises:
        InvalidInput: a store is not known, or named twice, or there are fewer of them than copies that must be; drills
            are to use the server of what is no registered PostgreSQL target.
    """
    given = change.model_fields_set & PolicyFields.model_fields.keys()
    if not given and not whole:
        return
    row = rows.locked(session, _row(target, now))
    before = _policy(row)
    fresh = PolicyFields.model_fields.keys() if whole else given
    after = TargetPolicy(
        stores=_chosen(session, target, change.storages) if "storages" in fresh else before.stores,
        minimum_copies=change.minimum_copies if "minimum_copies" in fresh else before.minimum_copies,
        retries=change.retries if "retries" in fresh else before.retries,
        time_limit_seconds=change.time_limit_seconds if "time_limit_seconds" in fresh else before.time_limit_seconds,
        retention=change.retention if "retention" in fresh else before.retention,
        proof=_merged(before.proof, change, fresh),
    )
    _check_stores(session, after, there=len(_effective(session, target, after).stores) or 1)
    if "drill_target" in fresh and after.proof.drill_target is not None:
        _check_drill_target(session, after.proof.drill_target)
    _write(row, after, now)
    session.flush()


def _merged(before: ProofFields, change: ProofFields, fresh: Collection[str]) -> ProofFields:
    names = ProofFields.model_fields.keys() & fresh
    return before.model_copy(update={name: getattr(change, name) for name in names})


def _chosen(session: Session, target: str, names: Sequence[str]) -> tuple[str, ...]:
    """As they are kept: of `APP` all are none, so that one that is added later is among them by itself."""
    if target == APP and len(names) == len({*names}) and {*names} == {*_every_store(session)}:
        return ()
    return tuple(names)


def _effective(session: Session, target: str, policy: TargetPolicy) -> TargetPolicy:
    if target != APP or policy.stores or len(every := _every_store(session)) == 1:
        return policy
    # A store that is down must not keep the backup from the others.
    return replace(policy, stores=every, minimum_copies=policy.minimum_copies or 1)


def _every_store(session: Session) -> tuple[str, ...]:
    return DEFAULT_STORE, *store_rows.names(session)


def _check_stores(session: Session, policy: TargetPolicy, *, there: int) -> None:
    if len(set(policy.stores)) != len(policy.stores):
        raise InvalidInput("A store is named twice", hint="each copy goes to another store")
    asked = [name for name in policy.stores if name != DEFAULT_STORE]
    # Another name may hold what no database takes as a text.
    known = store_rows.known_among(session, list(filter(valid_target_name, asked))) if asked else frozenset()
    if unknown := [name for name in asked if name not in known]:
        raise InvalidInput(
            f"No store is named {listed([repr(name) for name in unknown])}", hint="see `hhh storage list`"
        )
    if policy.minimum_copies is not None and policy.minimum_copies > there:
        raise InvalidInput(
            f"{policy.minimum_copies} copies can't be in {there} store(s)",
            hint="name more stores, or ask for fewer copies",
        )


def _check_drill_target(session: Session, name: str) -> None:
    # It may hold what no database takes as a text.
    kind = target_rows.kind_held(session, name) if valid_target_name(name) else None
    if kind is None:
        raise InvalidInput(
            f"Drills can't use the server of {name!r}: no registered target is named so", hint="see `hhh target list`"
        )
    if kind != EngineKind.POSTGRESQL:
        raise InvalidInput(
            f"Drills can't use the server of {name!r}: it is a target of {kind}", hint="name a PostgreSQL target"
        )


def _row(target: str, now: datetime) -> Policy:
    row = Policy(target=target)
    _write(row, TargetPolicy(), now)
    return row


def _write(row: Policy, policy: TargetPolicy, now: datetime) -> None:
    row.stores = list(policy.stores)
    row.minimum_copies = policy.minimum_copies
    row.retries = policy.retries
    row.time_limit_seconds = policy.time_limit_seconds
    row.retention = policy.retention.model_dump(mode="json") if policy.retention is not None else None
    row.proof = policy.proof.model_dump(mode="json", exclude_defaults=True) or None
    row.updated_at = now


def _policy(row: Policy) -> TargetPolicy:
    return TargetPolicy(
        stores=tuple(row.stores),
        minimum_copies=row.minimum_copies,
        retries=row.retries,
        time_limit_seconds=row.time_limit_seconds,
        retention=Retention.model_validate(row.retention) if row.retention is not None else None,
        proof=ProofFields.model_validate(row.proof or {}),
    )


def resolved(policy: TargetPolicy) -> Sequence[str]:
    """The names of the stores that backups go to; at least one."""
    return policy.stores or (DEFAULT_STORE,)
