"""Pruning: what a target's rules drop is removed, one by one, and what was left before is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import StorageError
from hhh.core.run import Progress, Run, Unattended
from hhh.models import BackupLog, JobKind
from hhh.repositories import jobs as job_rows
from hhh.repositories import retention as rows
from hhh.schemas.retention import CopyLeft, RemovalResource, Retention, RetentionPlan, VerdictResource
from hhh.services.deletion import Deletion
from hhh.services.policies import PolicyService
from hhh.services.removal import Removal, Removed
from hhh.services.retention import Verdict, decide
from hhh.services.standing import reason_against_all
from hhh.services.stores import StoreService
from hhh.services.targets import TargetService
from hhh.services.upkeep import Upkeep, refuse_unknown
from hhh.services.work import Attempt, Failure, NewJob

#: What keeps everything, where a target has no rules.
_EVERYTHING = Retention()
#: For so long a prune that failed is not begun again by itself.
_PAUSE = timedelta(minutes=15)

#: Of how many newest backups the stores are asked at most.
_LOOKED_FOR = 20

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a prune of a target would do."""

    #: None: there are none, and everything is kept.
    rules: Retention | None
    #: Of its successful backups, newest first.
    verdicts: Sequence[Verdict]
    #: Dropped before, and not gone yet.
    removals: list[RemovalResource]


class Pruning(Upkeep):
    """The `hhh.services.work.Work` of `JobKind.PRUNE`, and what it would do."""

    def __init__(
        self,
        database: Database,
        targets: TargetService,
        stores: StoreService,
        policies: PolicyService,
        deletion: Deletion,
    ) -> None:
        super().__init__(database)
        self._targets = targets
        self._stores = stores
        self._policies = policies
        self._deletion = deletion

    def request(self, target: str) -> NewJob:
        """A prune that somebody asks for, to be handed to a queue; whatever was left before is tried again.

        Raises:
            NotFound: no such target, and no backup of one.
        """
        refuse_unknown(self._database, self._targets, target)

        def write(session: Session, _job_id: str, now: datetime) -> None:
            rows.mark_prune_due(session, target, now=now)
            rows.try_removals_now(session, target, now=now)

        return NewJob(JobKind.PRUNE, target, write)

    def removals_of(self, target: str) -> NewJob:
        """A job for what has a tombstone; it asks the rules only where a prune is due as well."""
        return NewJob(JobKind.PRUNE, target)

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: after a backup of a target with rules, and where a removal is to go on."""
        with self._database.snapshot() as session:
            targets = rows.targets_to_prune(session, now=utcnow())
        return [self.removals_of(target) for target in targets]

    def is_due(self, target: str) -> bool:
        """Whether a backup was taken since the target was pruned last."""
        return self._due_at(target) is not None

    def plan(self, target: str, tried: Retention | None = None) -> RetentionPlan:
        """What a prune would do now; changes nothing.

        Args:
            target: of the backups.
            tried: rules to try instead of the target's own.

        Raises:
            NotFound: no such target, and no backup of one.
        """
        decided = self.decided(target, tried)
        dropped = [verdict for verdict in decided.verdicts if not verdict.keep]
        return RetentionPlan(
            target=target,
            rules=decided.rules,
            saved=tried is None,
            kept=len(decided.verdicts) - len(dropped),
            dropped=len(dropped),
            dropped_bytes=sum(verdict.backup.size for verdict in dropped),
            backups=[_verdict_resource(verdict) for verdict in decided.verdicts],
            removals=decided.removals,
        )

    def decided(self, target: str, tried: Retention | None = None) -> Decided:
        """As `plan`, for who makes something else of it: of thousands of backups no answer is written.

        Raises:
            NotFound: as `plan`.
        """
        refuse_unknown(self._database, self._targets, target)
        rules = tried or self._policies.of(target).retention
        with self._database.snapshot() as session:
            candidates = rows.candidates(session, target)
            removals = [_removal_resource(row) for row in rows.being_removed(session, target)]
        return Decided(rules, decide(candidates, rules or _EVERYTHING, utcnow()), removals)

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Goes on with what has a tombstone; then, where a prune is due, removes what the rules drop, oldest first.

        Raises:
            StorageError: no store has a backup that must stay, so that no rule is applied.
            Cancelled, LeaseLost, Interrupted: the run is over; a later one goes on.
            DatabaseUnavailable: the catalogue does not answer.
        """
        run.report(Progress("prune"))
        removal = Removal(self._database, self._stores, run)
        with self._database.snapshot() as session:
            pending = rows.due_removals(session, attempt.target, now=utcnow())
        removed = [removal.remove(backup_id) for backup_id in pending]
        # Asked before the backups are read: one that ends after that makes it due again.
        due_at = self._due_at(attempt.target)
        if due_at is not None:
            removed += self._apply_rules(attempt.target, removal, run)
        ours = [each for each in removed if each is not None]  # with the others somebody was faster
        left = sum(1 for each in ours if each.left)
        changed = {"removed": len(ours) - left, "left": left}
        self._succeed(
            attempt, lambda session: rows.mark_pruned(session, attempt.target, due_at=due_at), changed=changed
        )
        log.info("pruned", target=attempt.target, **changed)

    def remove(self, backup_id: str) -> Removed | None:
        """Removes one backup that has a tombstone, here and now; None if somebody was faster.

        Raises:
            DatabaseUnavailable: the catalogue does not answer.
        """
        return Removal(self._database, self._stores, Unattended()).remove(backup_id)

    def record_failure(self, session: Session, job_id: str, _failure: Failure, now: datetime) -> None:
        """See `hhh.services.work.Work`."""
        if (job := job_rows.get(session, job_id)) is not None:
            rows.postpone_prune(session, job.target, until=now + _PAUSE)

    def _due_at(self, target: str) -> datetime | None:
        with self._database.snapshot() as session:
            return rows.prune_due_at(session, target)

    def _apply_rules(self, target: str, removal: Removal, run: Run) -> list[Removed | None]:
        rules = self._policies.of(target).retention or _EVERYTHING
        with self._database.snapshot() as session:
            candidates = rows.candidates(session, target)
        removed = []
        verdicts = decide(candidates, rules, utcnow())
        if any(not verdict.keep for verdict in verdicts):
            self._refuse_without_the_kept(verdicts, rules)
        for verdict in reversed(verdicts):
            run.raise_if_cancelled()
            if not verdict.keep and self._drop(verdict, rules):
                removed.append(removal.remove(verdict.backup.id))
        return removed

    def _refuse_without_the_kept(self, verdicts: Sequence[Verdict], rules: Retention) -> None:
        """What others are dropped for must be there in fact: a catalogue may be older than its stores, or one be lost.

        Raises:
            StorageError: a backup that must stay can't be seen in any store; the sweep finds out about its copies.
        """
        now = utcnow()
        good = [each.backup for each in verdicts if each.backup.good and each.backup.created_at <= now]
        must_stay = good[: min(rules.minimum_kept, _LOOKED_FOR)] + [backup for backup in good if backup.proven][:1]
        for backup in must_stay:
            if reason := reason_against_all(self._database, self._stores, backup.id):
                raise StorageError(
                    f"Nothing is dropped, since {backup.backup_file}, which must stay, can't be seen in any store: "
                    f"{reason}",
                    hint="`hhh doctor --repair` looks for its copies",
                )

    def _drop(self, verdict: Verdict, rules: Retention) -> bool:
        by = f"retention: {', '.join(verdict.reasons)}"
        return self._deletion.drop(verdict.backup.id, by=by, minimum_kept=rules.minimum_kept)


def _verdict_resource(verdict: Verdict) -> VerdictResource:
    return VerdictResource(
        backup_id=verdict.backup.id,
        backup_file=verdict.backup.backup_file,
        created_at=verdict.backup.created_at,
        stored_size=verdict.backup.size,
        keep=verdict.keep,
        reasons=list(verdict.reasons),
    )


def _removal_resource(row: BackupLog) -> RemovalResource:
    return RemovalResource.model_validate(
        {
            "backup_id": row.id,
            "backup_file": row.backup_file,
            "created_at": row.created_at,
            "deleted_at": row.deleted_at,
            "deleted_by": row.deleted_by or "",
            "copies": [CopyLeft(storage=copy.storage, status=copy.status, error=copy.error) for copy in row.copies],
        }
    )
