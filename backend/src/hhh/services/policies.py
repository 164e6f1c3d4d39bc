"""How each target is backed up: where to, how often it is tried, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from hhh.core.database import Database
from hhh.models import Policy
from hhh.schemas.retention import Retention


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """The policy of one target."""

    #: Names of stores; empty is the default store alone.
    stores: tuple[str, ...] = ()
    #: In how many stores a backup must be; None: in all of them.
    minimum_copies: int | None = None
    #: How often a scheduled backup that failed, and may pass, is tried again.
    retries: int = 2
    #: None: no limit.
    time_limit_seconds: int | None = None
    #: None: everything is kept.
    retention: Retention | None = None


class PolicyService:
    """Reads and changes policies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, target: str) -> TargetPolicy:
        """The policy of a target; the defaults where none was set."""
        with self._database.snapshot() as session:
            row = session.get(Policy, target)
            return _policy(row) if row is not None else TargetPolicy()


def _policy(row: Policy) -> TargetPolicy:
    return TargetPolicy(
        stores=tuple(row.stores),
        minimum_copies=row.minimum_copies,
        retries=row.retries,
        time_limit_seconds=row.time_limit_seconds,
        retention=Retention.model_validate(row.retention) if row.retention is not None else None,
    )
