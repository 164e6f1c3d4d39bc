"""How databases are, in one look: whether each can be reached, and can be got back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.repositories import metrics as rows
from hhh.repositories.metrics import Kept
from hhh.schemas.monitoring import MonitoredTarget
from hhh.schemas.recoverability import Recoverability
from hhh.schemas.target import TestedTarget
from hhh.services.reaching import Reaching
from hhh.services.recoverability import RecoverabilityService
from hhh.services.targets import TargetService

#: Seconds for which a database is waited for; drivers give up a little sooner, and say why.
_PATIENCE = 15.0


class MonitoringService:
    """Opens databases, and writes nothing.

    Args:
        database: the own one.
        targets: what is registered.
        recoverability: how it stands.
        patience: seconds for which a target is waited for.
    """

    def __init__(
        self,
        database: Database,
        targets: TargetService,
        recoverability: RecoverabilityService,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._database = database
        self._recoverability = recoverability
        self._reaching = Reaching(targets.test, patience=patience)

    def look(self, names: Sequence[str] = ()) -> Sequence[MonitoredTarget]:
        """All targets, or some of them, the worst first.

        Raises:
            NotFound: there is no target of that name.
        """
        standing = self._standing(names)
        tested = self._reaching.all(each.target for each in standing)
        with self._database.snapshot() as session:
            kept = {each.target: each for each in rows.kept_backups(session)}
        return sorted((_monitored(each, tested, kept) for each in standing), key=lambda each: each.fine)

    def _standing(self, names: Sequence[str]) -> Sequence[Recoverability]:
        standing = [each for each in self._recoverability.all() if not names or each.target in names]
        known = {each.target for each in standing}
        if unknown := [name for name in names if name not in known]:
            raise NotFound(f"No target is named {unknown[0]!r}", hint="see `hhh target list`")
        return standing


def _lacks_only_a_proof(standing: Recoverability) -> bool:
    """Whether it has a good backup that is not overdue, and a proof which nobody has asked for is all that is missing.

    It is no healthy one, since nobody knows whether it can be restored. But to wake somebody by it, again and again,
    would be an alarm that is switched off.
    """
    has_backup = standing.last_backup_at is not None
    return standing.state == "unproven" and has_backup and standing.proven_within_days is None


def _monitored(
    standing: Recoverability, tested: Mapping[str, TestedTarget], kept: Mapping[str, Kept]
) -> MonitoredTarget:
    found, counted = tested[standing.target], kept.get(standing.target)
    return MonitoredTarget(
        target=standing.target,
        reachable=found.ok,
        unreachable_because=found.error,
        healthy=standing.state == "healthy",
        fine=found.ok and (standing.state == "healthy" or _lacks_only_a_proof(standing)),
        state=standing.state,
        reasons=standing.reasons,
        backups=counted.successful if counted is not None else 0,
        used_bytes=counted.size if counted is not None else 0,
        last_backup_at=standing.last_backup_at,
        last_proven_at=standing.last_proven.created_at if standing.last_proven is not None else None,
    )
