"""Whether each database can be got back: as far as that is proven, how fresh, and how fast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.models import VerificationStatus
from hhh.repositories import recoverability as rows
from hhh.repositories.recoverability import Conclusion, Planned
from hhh.repositories.retention import PROVEN
from hhh.schemas.policy import ProofFields
from hhh.schemas.recoverability import ProvenBackup, Recoverability
from hhh.schemas.verification import reaches
from hhh.services.instants import overdue_after
from hhh.services.policies import PolicyService
from hhh.services.recovery_state import STATES, Known, Seen, Verified, is_after, judged
from hhh.services.recovery_summary import summary
from hhh.services.targets import TargetService

#: The clocks of the machines of one installation differ by less; what is dated further ahead counts as none.
_CLOCKS_DIFFER = timedelta(minutes=5)
_NO_DEMANDS = ProofFields()


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
        name = self._targets.get(target).name
        return self._look([name], {name: self._policies.of(name).proof})[0]

    def all(self) -> Sequence[Recoverability]:
        """Of all targets, the worst first."""
        found = self._look(self._targets.names(), self._policies.demands())
        return sorted(found, key=lambda each: STATES.index(each.state))

    def among(self, targets: Sequence[str]) -> Mapping[str, Recoverability]:
        """By name: of some targets, whose names are known."""
        return {each.target: each for each in self._look(targets, self._policies.demands())}

    def _look(self, targets: Sequence[str], demands: Mapping[str, ProofFields]) -> list[Recoverability]:
        now = utcnow()
        with self._database.snapshot() as session:
            looked = _Looked(session, targets, now)
        return [_told(looked, name, demands.get(name, _NO_DEMANDS), now) for name in targets]


class _Looked:
    """What the own database tells of some targets, in a number of queries that does not depend on theirs."""

    def __init__(self, session: Session, targets: Collection[str], now: datetime) -> None:
        self.newest = rows.newest(session, targets, until=now + _CLOCKS_DIFFER)
        found = self.newest.values()
        self.backups = rows.backups(session, {each for one in found for each in one.ids})
        self.conclusions: Mapping[str, list[Conclusion]] = defaultdict(list)
        looked_into = {each for one in found for each in (one.good, one.proven) if each is not None}
        self.lacking = rows.lacking_copies(session, looked_into)
        for conclusion in rows.conclusions(session, looked_into):
            self.conclusions[conclusion.backup_id].append(conclusion)
        without_record = {each.proven for each in found if each.proven and not _proof(self.conclusions[each.proven])}
        self.verified_at = rows.verified_at(session, without_record) if without_record else {}
        self.schedules: Mapping[str, list[Planned]] = defaultdict(list)
        for schedule in rows.schedules_of_backups(session, targets):
            self.schedules[schedule.target].append(schedule)

    def row(self, backup_id: str | None) -> rows.Known | None:
        """None also for one that was removed meanwhile."""
        return self.backups.get(backup_id) if backup_id is not None else None

    def seen(self, backup_id: str | None) -> Seen | None:
        row = self.row(backup_id)
        return Seen(row.id, row.backup_file, row.created_at, row.error) if row is not None else None


def _told(looked: _Looked, target: str, demands: ProofFields, now: datetime) -> Recoverability:
    ids = looked.newest[target]
    known = _known(looked, target, demands, now)
    state, reasons = judged(known)
    ended, proof = looked.row(ids.ended), _proof(looked.conclusions[ids.proven or ""])
    return Recoverability(
        target=target,
        state=state,
        summary=summary(known, state, restore_seconds=proof.restore_seconds if proof else None),
        reasons=[*reasons],
        last_backup_at=known.good.created_at if known.good else None,
        last_backup_id=known.good.id if known.good else None,
        last_attempt_at=ended.finished_at if ended else None,
        last_attempt_status=ended.status.lower() if ended else None,
        failed_backup_id=known.failed.id if known.failed and is_after(known.failed, known.stored) else None,
        last_proven=_proven(looked, looked.row(ids.proven), proof),
        rpo_seconds=max(0.0, (now - known.proven.created_at).total_seconds()) if known.proven else None,
        rto_seconds=proof.restore_seconds if proof else None,
        restore_bytes_per_second=proof.restore_bytes_per_second if proof else None,
        proven_within_days=demands.proven_within_days,
        backed_up_within_hours=demands.backed_up_within_hours,
        next_proof_due_at=known.proof_due_at,
        next_backup_due_at=known.backup_due_at,
    )


def _known(looked: _Looked, target: str, demands: ProofFields, now: datetime) -> Known:
    ids = looked.newest[target]
    good = looked.seen(ids.good)
    of_good = looked.conclusions[good.id] if good else []
    return Known(
        target=target,
        now=now,
        demands=demands,
        stored=looked.seen(ids.stored),
        good=good,
        proven=looked.seen(ids.proven),
        failed=looked.seen(ids.failed),
        ahead=looked.seen(ids.ahead),
        against=_against(of_good, whole=ids.good not in looked.lacking),
        inconclusive=_inconclusive(of_good),
        scheduled_until=_scheduled_until(looked.schedules[target], good, now),
    )


def _against(found: Iterable[Conclusion], *, whole: bool) -> Verified | None:
    """The newest fault that no later verification of its level, or of a higher one, says otherwise of.

    Of what was refuted `hhh.repositories.retention.IS_REFUTED` says the same to the database. A bad copy is a fault as
    well here, until it was made again from a good one.
    """
    faults = [fault for fault in _with(found, VerificationStatus.FAILED) if fault.refuted or not whole]
    if not faults:  # as a rule
        return None
    passed = _with(found, VerificationStatus.SUCCESS)
    standing = [fault for fault in faults if not any(_outdates(each, fault) for each in passed)]
    return _newest(standing)


def _inconclusive(found: Iterable[Conclusion]) -> Verified | None:
    """The newest that could not find out, if none of its level, or of a higher one, has found out since."""
    inconclusive = _with(found, VerificationStatus.INCONCLUSIVE)
    if not inconclusive:  # as a rule
        return None
    others = [*_with(found, VerificationStatus.SUCCESS), *_with(found, VerificationStatus.FAILED)]
    standing = [still for still in inconclusive if not any(_outdates(each, still) for each in others)]
    return _newest(standing)


def _with(found: Iterable[Conclusion], status: VerificationStatus) -> list[Conclusion]:
    return [each for each in found if each.status == status]


def _outdates(one: Conclusion, other: Conclusion) -> bool:
    is_later = (one.created_at, one.id) > (other.created_at, other.id)
    return is_later and reaches(one.level, other.level)


def _newest(found: Sequence[Conclusion]) -> Verified | None:
    if not found:
        return None
    newest = max(found, key=lambda each: (each.created_at, each.id))
    return Verified(newest.level, newest.finished_at or newest.created_at, newest.error)


def _proof(found: Iterable[Conclusion]) -> Conclusion | None:
    return next((each for each in _with(found, VerificationStatus.SUCCESS) if each.level == PROVEN), None)


def _proven(looked: _Looked, row: rows.Known | None, proof: Conclusion | None) -> ProvenBackup | None:
    if row is None:
        return None
    proven_at = proof.finished_at if proof else looked.verified_at.get(row.id)
    return ProvenBackup(
        backup_id=row.id,
        backup_file=row.backup_file,
        created_at=row.created_at,
        proven_at=proven_at or row.created_at,
        verification_id=proof.id if proof else None,
    )


def _scheduled_until(schedules: Sequence[Planned], good: Seen | None, now: datetime) -> datetime | None:
    """Until then one of the schedules should have made a newer backup than that."""
    missed = [_missed_at(each, good.created_at if good else each.created_at, now) for each in schedules]
    return min(missed, default=None)


def _missed_at(schedule: Planned, since: datetime, now: datetime) -> datetime:
    try:
        # A clock that was ahead when it was set up must not make it wait.
        begin = max(since, min(schedule.created_at, now))
        return overdue_after(schedule.cron, schedule.time_zone, schedule.jitter_seconds, begin)
    except InvalidInput:  # its time zone is no longer known, so that it begins nothing any more
        return since
