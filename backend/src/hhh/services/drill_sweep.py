"""Sees to what killed drills left on servers that operators named; what is in scratch goes with that."""

from __future__ import annotations

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.engines.registry import prover_for
from hhh.repositories import policies as policy_rows
from hhh.services.targets import TargetService

#: Seconds between two looks.
_PAUSE = 600.0
#: The first look comes so long after the start: a command that takes one backup has none.
_FIRST = 30.0

log = structlog.get_logger(__name__)


class DrillSweep:
    """Looks at each server now and then. Several processes may do so at once: what is gone is gone.

    Args:
        settings: of the service.
        database: has the policies.
        targets: whose servers drills use.
        first: seconds until the first look.
    """

    def __init__(
        self, settings: Settings, database: Database, targets: TargetService, *, first: float = _FIRST
    ) -> None:
        self._settings = settings
        self._database = database
        self._targets = targets
        self._next_look = time.monotonic() + first

    def sweep(self, worker: str) -> None:
        """Looks at every server that a policy names, unless it did lately; what can't be swept is logged, and later.

        Raises:
            DatabaseUnavailable: the own database can't be asked.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _PAUSE
        with self._database.snapshot() as session:
            names = policy_rows.drill_targets(session)
        for name in names:
            self.sweep_server(name, worker)

    def sweep_server(self, name: str, worker: str) -> None:
        """Looks at the server of one target."""
        try:
            target = self._targets.find(name)
            with scratch_folder(self._settings.scratch_dir, worker) as scratch:
                workplace = Workplace(scratch, self._settings.pg_bin_dir, self._settings.drill_user)
                removed = prover_for(target.engine.kind).sweep(target.url, workplace)
        except (HHHError, SQLAlchemyError, OSError) as error:
            log.warning("drills_not_swept", target=name, error=str(error))
        else:
            if removed:
                log.info("drills_swept", target=name, drills=removed)
