"""Whether each database can be got back: as far as that is proven, how fresh, and how fast."""

from __future__ import annotations

from collections.abc import Sequence

from hhh.core.database import Database
from hhh.schemas.recoverability import Recoverability
from hhh.services.policies import PolicyService
from hhh.services.targets import TargetService


class RecoverabilityService:
    """Reads only."""

    def __init__(self, database: Database, targets: TargetService, policies: PolicyService) -> None:
        self._database = database
        self._targets = targets
        self._policies = policies

    def of(self, target: str) -> Recoverability:
        """Of one target.

        Raises:
            NotFound: no such target.
        """
        raise NotImplementedError

    def all(self) -> Sequence[Recoverability]:
        """Of all targets, the worst first."""
        raise NotImplementedError
