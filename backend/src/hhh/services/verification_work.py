"""Verifications as they are performed by a worker, and recorded with what they found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, Lacking, LeaseLost, NotFound, Unrecorded
from hhh.core.run import Run
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.models import Job, JobState, Verification, VerificationStatus
from hhh.repositories import retention as retention_rows
from hhh.repositories import verifications as rows
from hhh.schemas.verification import Level, VerificationResult
from hhh.services import job_ends
from hhh.services.drill_sweep import DrillSweep
from hhh.services.policies import PolicyService
from hhh.services.proof import Demand, Proof
from hhh.services.proof_demands import ProofDemands
from hhh.services.storing import insistently
from hhh.services.targets import TargetService
from hhh.services.verification import row_of
from hhh.services.verification_outcome import REMOVED, apply_rules_again, end, judge, record
from hhh.services.work import Attempt, Failure, NewJob


class VerificationWork:
    """The `hhh.services.work.Work` of `JobKind.VERIFY`."""

    #: It changes nothing but what is known of the backup.
    repeatable = True

    def __init__(
        self, settings: Settings, database: Database, targets: TargetService, policies: PolicyService, proof: Proof
    ) -> None:
        self._settings = settings
        self._database = database
        self._targets = targets
        self._policies = policies
        self._proof = proof
        self._demands = ProofDemands(settings, database)
        self._drills = DrillSweep(settings, database, targets)

    def begin(self, session: Session, job: Job) -> bool:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job.id)
        if row is None:
            return False
        row.status, row.started_at = VerificationStatus.RUNNING, job.started_at
        return True

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Finds out, and records what was found, whatever it is.

        Raises:
            Unrecorded: only the record of it is missing.
            HHHError: it could not be looked at, or the lease was lost.
        """
        with self._database.snapshot() as session:
            row = row_of(session, attempt.job_id)
        self._record(attempt, self._find_out(row, attempt, run))

    def record_failure(self, session: Session, job_id: str, failure: Failure, now: datetime) -> None:
        """See `hhh.services.work.Work`: what could not be looked at, speaks neither for nor against the backup."""
        row = rows.get(session, job_id)
        if row is None or row.finished_at is not None:
            return
        if failure.state is JobState.CANCELLED:
            end(row, VerificationStatus.CANCELLED, failure.text, now)
        else:
            there = retention_rows.hold(session, row.backup_id)
            end(row, VerificationStatus.INCONCLUSIVE, failure.text if there else REMOVED, now)
        apply_rules_again(session, row, now)

    def requeue(self, session: Session, job_id: str) -> None:
        """See `hhh.services.work.Work`."""
        if (row := rows.get(session, job_id)) is not None:
            row.status, row.started_at = VerificationStatus.QUEUED, None

    def recorded(self, session: Session, job_id: str) -> bool:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job_id)
        return row is not None and row.status == VerificationStatus.SUCCESS

    def demanded(self, target: str) -> Sequence[NewJob]:
        """See `ProofDemands.of`."""
        return self._demands.of(target)

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: what policies ask for, and a part of all copies each day."""
        return self._demands.due()

    def sweep(self, worker: str) -> None:
        """See `hhh.services.work.Work`: throw-away databases of drills that were killed, on operators' servers."""
        self._drills.sweep(worker)

    def _find_out(self, row: Verification, attempt: Attempt, run: Run) -> VerificationResult:
        settings, policy, level = self._settings, self._policies.of(row.target).proof, _level(row)
        server_url = None
        if policy.drill_target is not None and level == "proven":
            try:
                server_url = self._drill_server(policy.drill_target, row.target)
            except Lacking as error:
                return VerificationResult(lacking=[str(error)])
            self._drills.sweep_server(policy.drill_target, attempt.worker)
        demand = Demand(row.backup_id, level, policy, server_url)
        with scratch_folder(settings.scratch_dir, attempt.worker) as scratch:
            workplace = Workplace(scratch, settings.pg_bin_dir, settings.drill_user, settings.private_paths)
            return self._proof.find_out(demand, workplace, run)

    def _drill_server(self, name: str, target: str) -> str:
        """The URL of the server that a target's policy names for drills.

        Raises:
            Lacking: it is no longer registered.
        """
        try:
            return self._targets.find(name).url
        except NotFound as error:
            raise Lacking(
                f"The backups of {target} are to be drilled on the server {name!r}, which is no longer registered",
                hint=f"register it anew, or `hhh target set {target} --drill-server …`",
            ) from error

    def _record(self, attempt: Attempt, result: VerificationResult) -> None:
        """Ends the job together with what is known from now on.

        Raises:
            LeaseLost: another worker may have the job by now.
            Unrecorded: the own database stays away.
        """
        held = True

        def write() -> None:
            nonlocal held
            held = self._write(attempt, result)

        try:
            insistently(write, is_done=lambda: self._has_ended(attempt.job_id))
        except DatabaseUnavailable as error:
            raise Unrecorded("The verification has ended, but could not be recorded", record=write) from error
        if not held:
            raise LeaseLost("The verification was given up while it ran; another worker may have it now")

    def _write(self, attempt: Attempt, result: VerificationResult) -> bool:
        """False where the attempt no longer holds the job, and nothing was written."""
        with self._database.transaction() as session:
            row, now = row_of(session, attempt.job_id), utcnow()
            outcome = judge(session, row, result)
            state = JobState.SUCCESS if outcome.status is VerificationStatus.SUCCESS else JobState.FAILED
            told = {"outcome": outcome.status}
            if not job_ends.finish(
                session, row.id, attempt.number, state=state, error=outcome.reason, now=now, detail=told
            ):
                return False
            record(session, row, outcome, now)
        return True

    def _has_ended(self, verification_id: str) -> bool:
        try:
            with self._database.snapshot() as session:
                return row_of(session, verification_id).finished_at is not None
        except DatabaseUnavailable:  # not known yet; a second write of it does no harm
            return False


def _level(row: Verification) -> Level:
    return cast("Level", row.level)
