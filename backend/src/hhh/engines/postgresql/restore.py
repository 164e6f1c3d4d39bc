"""Restores of PostgreSQL databases."""

from __future__ import annotations

from collections.abc import Sequence

from hhh.core.run import Run
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.postgresql import build, checks, steps, swap
from hhh.engines.restoring import Built, Destination, Published, Restorer, RestoreSource
from hhh.schemas.restore import Check


class PostgresqlRestorer(Restorer):
    """Into a new database, in the place of a live one, or some tables into one that is named."""

    kind = EngineKind.POSTGRESQL

    def checks(self, source: RestoreSource, destination: Destination, workplace: Workplace) -> Sequence[Check]:
        return checks.checks(source, destination, workplace)

    def steps(self, source: RestoreSource, destination: Destination) -> Sequence[str]:
        return steps.steps(source, destination)

    def build(self, source: RestoreSource, destination: Destination, workplace: Workplace, run: Run) -> Built:
        return build.build(source, destination, workplace, run)

    def publish(self, destination: Destination, workplace: Workplace, run: Run) -> str | None:
        return swap.publish(destination, workplace, run)

    def published(self, destination: Destination, workplace: Workplace) -> Published | None:
        return swap.published(destination, workplace)

    def discard(self, destination: Destination, workplace: Workplace) -> None:
        swap.discard(destination, workplace)
        build.discard_worker(destination, workplace)

    def undo(self, destination: Destination, kept: str, workplace: Workplace, run: Run) -> str:
        return swap.undo(destination, kept, workplace, run)

    def remove_kept(self, destination: Destination, kept: str, workplace: Workplace) -> None:
        swap.remove_kept(destination, kept, workplace)
