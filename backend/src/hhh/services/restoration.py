"""One restore, from a store to its destination: checks, build beside it, compare, publish.

Needs no catalogue and no server: `hhh restore --from` works with it alone. What was there before is touched only by the
last step, which happens or does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hhh.artifacts.retrieval import StoredBackup
from hhh.core.run import Run
from hhh.engines.base import Workplace
from hhh.engines.restoring import Built, Destination
from hhh.schemas.restore import Check, Plan, Receipt


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is to be restored, to where, and where to work."""

    backup: StoredBackup
    destination: Destination
    workplace: Workplace
    #: Checks made before, e.g. of the manifest's signature.
    earlier_checks: tuple[Check, ...] = ()
    #: Bytes a second that this installation's restores of this kind took; None without any.
    measured_rate: float | None = None

    def plan(self, run: Run, *, thorough: bool = True) -> Plan:
        """All checks, and what would happen.

        Args:
            run: who is told, and may cancel.
            thorough: whether to read the stored object to its end and compare its hash; without, only what manifest,
                facts and destination tell.

        Raises:
            HHHError: it could not be planned at all, e.g. since the store does not answer.
        """
        raise NotImplementedError

    def perform(
        self,
        run: Run,
        *,
        planned: Callable[[Plan], None] | None = None,
        prepare: Callable[[Built], None] | None = None,
    ) -> Receipt:
        """Restores. Whatever is raised, what was there before is as it was, and nothing is left beside it.

        Args:
            run: who is told, and may cancel.
            planned: told of the plan before anything is touched.
            prepare: works on what was built and compared, before it is published.

        Raises:
            RestoreUnsafe: checks stand against it.
            RestoreFailed: the tool reported an error, or what was restored differs; ``receipt`` says how.
            HHHError: anything else that failed.
        """
        raise NotImplementedError

    @property
    def _dump_path(self) -> Path:
        return self.workplace.scratch / "dump"
