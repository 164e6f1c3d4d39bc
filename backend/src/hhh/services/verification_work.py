"""Verifications as they are performed by a worker, and recorded with what they found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.run import Run
from hhh.models import Job
from hhh.services.policies import PolicyService
from hhh.services.proof import Proof
from hhh.services.targets import TargetService
from hhh.services.work import Attempt, Failure, NewJob


class VerificationWork:
    """The `hhh.services.work.Work` of `JobKind.VERIFY`."""

    #: It changes nothing but its own record.
    repeatable = True

    def __init__(
        self, settings: Settings, database: Database, targets: TargetService, policies: PolicyService, proof: Proof
    ) -> None:
        self._settings = settings
        self._database = database
        self._targets = targets
        self._policies = policies
        self._proof = proof

    def begin(self, session: Session, job: Job) -> bool:
        """See `hhh.services.work.Work`."""
        raise NotImplementedError

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Finds out, and records what was found, whatever it is.

        Raises:
            HHHError: it could not be looked at.
        """
        raise NotImplementedError

    def record_failure(self, session: Session, job_id: str, failure: Failure, now: datetime) -> None:
        """See `hhh.services.work.Work`."""
        raise NotImplementedError

    def requeue(self, session: Session, job_id: str) -> None:
        """See `hhh.services.work.Work`."""
        raise NotImplementedError

    def recorded(self, session: Session, job_id: str) -> bool:
        """See `hhh.services.work.Work`."""
        raise NotImplementedError

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: `hhh.services.proof_demands` knows."""
        return ()

    def sweep(self, worker: str) -> None:
        """See `hhh.services.work.Work`: throw-away databases of drills that were killed."""
