"""What a verification found, as it is recorded: in its own row, of its backup, and of the copies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import structlog
from sqlalchemy.orm import Session

from hhh.core.errors import Lacking, VerificationFailed
from hhh.models import BackupLog, CopyStatus, Verification, VerificationStatus
from hhh.repositories import copies as copy_rows
from hhh.repositories import proofs as proof_rows
from hhh.repositories import retention as retention_rows
from hhh.schemas.verification import Level, VerificationResult, reaches
from hhh.services.proof import verdict
from hhh.services.proof_demands import POLICY
from hhh.services.verification import said_of

#: What is told of a backup that went while it was looked at.
REMOVED = "The backup was removed while it was verified"
#: The codes of those that tell something; the others have none.
_CODES = {
    VerificationStatus.FAILED: VerificationFailed.code,
    VerificationStatus.INCONCLUSIVE: Lacking.code,
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verification comes to, now that its backup can't be removed before that is written."""

    result: VerificationResult
    status: VerificationStatus
    #: None of a success.
    reason: str | None
    #: Locked; None where it was removed, and then nothing is said against it.
    backup: BackupLog | None


def judge(session: Session, row: Verification, result: VerificationResult) -> Outcome:
    """What a result comes to, in the transaction that records it."""
    backup = proof_rows.locked(session, row.backup_id)
    if backup is None:
        return Outcome(result, VerificationStatus.INCONCLUSIVE, REMOVED, None)
    return Outcome(result, *verdict(result, cast("Level", row.level)), backup)


def record(session: Session, row: Verification, outcome: Outcome, now: datetime) -> None:
    """Writes what was found, in the transaction that ends the job."""
    result = outcome.result
    if outcome.backup is not None:
        row.refuted = outcome.status is VerificationStatus.FAILED and not _is_about_copies(result)
        _note_level(outcome.backup, result, now, refuted=row.refuted)
        _note_copies(session, row, result, now)
    row.result, row.reached = result.model_dump(mode="json"), result.reached
    end(row, outcome.status, outcome.reason, now)
    apply_rules_again(session, row, now)


def apply_rules_again(session: Session, row: Verification, now: datetime) -> None:
    """Has the target pruned once more: until the backup was verified, it took the place of no good one.

    Only where the policy asks, right after a backup: when backups stop, no rule is applied.
    """
    if row.requested_by == POLICY:
        retention_rows.mark_prune_due(session, row.target, now=now)


def end(row: Verification, status: VerificationStatus, reason: str | None, now: datetime) -> None:
    """Writes how a verification ended."""
    row.status, row.finished_at, row.error, row.error_code = status, now, reason, _CODES.get(status)
    log.info("verification_ended", status=str(status), reached=row.reached, error=reason, **said_of(row))


def _note_level(backup: BackupLog, result: VerificationResult, now: datetime, *, refuted: bool) -> None:
    """Raises what the backup is known for; takes it down only where something speaks against what it holds."""
    if refuted:
        backup.verified_level, backup.verified_at = result.reached, now if result.reached else None
    elif result.reached is not None and reaches(result.reached, backup.verified_level):
        backup.verified_level, backup.verified_at = result.reached, now


def _is_about_copies(result: VerificationResult) -> bool:
    """Whether all that is wrong is a copy, of which another store has a good one: what was proven, is so of that."""
    return result.has_good_copy and not result.speaks_against_content


def _note_copies(session: Session, row: Verification, result: VerificationResult, now: datetime) -> None:
    good = [copy.storage for copy in result.copies if copy.status == "good"]
    proof_rows.note_read(session, row.backup_id, good, now=now)
    for copy in result.bad_copies:
        # From then on a repair makes it again, from a good one.
        error = f"The verification: {copy.problem}"
        copy_rows.set_status(session, row.backup_id, copy.storage, CopyStatus.MISSING, error)
        log.warning("copy_not_good", store=copy.storage, error=copy.problem, **said_of(row))
