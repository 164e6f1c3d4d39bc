"""What monitoring measures: how every target stands, what waits and runs, who works, what is stored.

Read in a number of queries that does not depend on how many targets there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.repositories import metrics as rows
from hhh.repositories.metrics import Alerted, InStore, Kept, Lacking, Measured, Waiting
from hhh.schemas.recoverability import Recoverability
from hhh.schemas.worker import WorkerResource
from hhh.services.recoverability import RecoverabilityService
from hhh.services.workers import WorkerService


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All of it, as it was at one moment."""

    at: datetime
    targets: Sequence[Recoverability]
    #: By target: its newest good backup; nothing where it has none.
    newest: Mapping[str, Measured]
    #: Also of targets that are registered no more, as long as they have backups.
    kept: Sequence[Kept]
    stores: Sequence[InStore]
    #: Nothing where nothing is missing.
    lacking: Sequence[Lacking]
    #: Nothing of kinds of which no job waits or runs.
    jobs: Sequence[Waiting]
    workers: Sequence[WorkerResource]
    #: Those that are switched on.
    channels: Sequence[Alerted]


@dataclass(frozen=True, slots=True)
class MetricsService:
    """Reads only."""

    database: Database
    recoverability: RecoverabilityService
    workers: WorkerService

    def measure(self) -> Measurements:
        """What there is now.

        Raises:
            DatabaseUnavailable: the own database can't be asked.
        """
        targets, workers = self.recoverability.all(), self.workers.list()
        newest = {each.target: each.last_backup_id for each in targets if each.last_backup_id is not None}
        with self.database.snapshot() as session:
            sizes = rows.measured(session, newest.values())
            return Measurements(
                at=utcnow(),
                targets=targets,
                # One may have been removed meanwhile.
                newest={target: sizes[backup] for target, backup in newest.items() if backup in sizes},
                kept=rows.kept_backups(session),
                stores=rows.stored_copies(session),
                lacking=rows.missing_copies(session),
                jobs=rows.unfinished_jobs(session),
                workers=workers,
                channels=rows.alert_channels(session),
            )
