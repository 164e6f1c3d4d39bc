"""Whether each database can be got back: as far as that is proven, how fresh, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.repositories.recoverability import Conclusion
from hhh.repositories.recoverability import Known as Row
from hhh.schemas.policy import ProofFields
from hhh.schemas.recoverability import ProvenBackup, Recoverability, RecoverabilityState
from hhh.services.policies import PolicyService
from hhh.services.recovery_facts import Details, Facts, details_of, facts_for_states, known_of
from hhh.services.recovery_state import STATES, Known, is_after, judged, state_of
from hhh.services.recovery_summary import summary
from hhh.services.targets import TargetService
from hhh.services.verdicts import proof

_NO_DEMANDS = ProofFields()


class RecoverabilityService:
    """Reads only."""

    def __init__(self, settings: Settings, database: Database, targets: TargetService, policies: PolicyService) -> None:
        self._own_interval = timedelta(hours=settings.own_backup_hours)
        self._database = database
        self._targets = targets
        self._policies = policies

    def of(self, target: str) -> Recoverability:
        """Of one target.

        Raises:
            NotFound: no such target.
        """
        name = self._targets.get(target).name
        return self._look([name], {name: self._policies.of(name).proof})[0]

    def all(self) -> Sequence[Recoverability]:
        """Of all targets, the worst first."""
        found = self._look(self._targets.names(), self._policies.demands())
        return sorted(found, key=lambda each: STATES.index(each.state))

    def states(self) -> Mapping[str, RecoverabilityState]:
        """By name: of all targets, the worst first, as `all` tells it, and in less time."""
        names, demands, now = self._targets.names(), self._policies.demands(), utcnow()
        with self._database.snapshot() as session:
            facts = facts_for_states(session, names, now)
        found = ((name, state_of(self._known(facts, name, demands, now))) for name in names)
        return dict(sorted(found, key=lambda each: STATES.index(each[1])))

    def among(self, targets: Sequence[str]) -> Mapping[str, Recoverability]:
        """By name: of some targets, whose names are known."""
        policies = self._policies.among(targets)
        demands = {name: policy.proof for name, policy in policies.items()}
        return {each.target: each for each in self._look(targets, demands)}

    def _look(self, targets: Sequence[str], demands: Mapping[str, ProofFields]) -> list[Recoverability]:
        now = utcnow()
        with self._database.snapshot() as session:
            details = details_of(session, targets, now)
        return [_told(details, self._known(details.facts, name, demands, now)) for name in targets]

    def _known(self, facts: Facts, target: str, demands: Mapping[str, ProofFields], now: datetime) -> Known:
        return known_of(facts, target, demands.get(target, _NO_DEMANDS), now, own_interval=self._own_interval)


def _told(details: Details, known: Known) -> Recoverability:
    target, now, demands = known.target, known.now, known.demands
    ids = details.newest[target]
    state, reasons = judged(known)
    ended, proven = details.backup(ids.ended), details.backup(ids.proven)
    proved = proof(details.facts.conclusions[ids.proven or ""])
    return Recoverability(
        target=target,
        state=state,
        summary=summary(known, state, restore_seconds=proved.restore_seconds if proved else None),
        reasons=[*reasons],
        last_backup_at=known.good.created_at if known.good else None,
        last_backup_id=known.good.id if known.good else None,
        last_attempt_at=ended.finished_at if ended else None,
        last_attempt_status=ended.status.lower() if ended else None,
        failed_backup_id=known.failed.id if known.failed and is_after(known.failed, known.stored) else None,
        last_proven=_proven(details, proven, proved),
        rpo_seconds=max(0.0, (now - known.proven.created_at).total_seconds()) if known.proven else None,
        rto_seconds=proved.restore_seconds if proved else None,
        restore_bytes_per_second=proved.restore_bytes_per_second if proved else None,
        proven_within_days=demands.proven_within_days,
        backed_up_within_hours=demands.backed_up_within_hours,
        next_proof_due_at=known.proof_due_at,
        next_backup_due_at=known.backup_due_at,
    )


def _proven(details: Details, row: Row | None, proved: Conclusion | None) -> ProvenBackup | None:
    if row is None:
        return None
    proven_at = proved.finished_at if proved else details.verified_at.get(row.id)
    return ProvenBackup(
        backup_id=row.id,
        backup_file=row.backup_file,
        created_at=row.created_at,
        proven_at=proven_at or row.created_at,
        verification_id=proved.id if proved else None,
    )
