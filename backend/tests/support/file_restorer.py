"""A restorer of plain files: all that the interface promises, without a database, so that its user can be looked at."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hhh.core.run import Run
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.restoring import Built, Destination, Restorer, RestoreSource
from hhh.schemas.facts import Facts
from hhh.schemas.restore import Check


@dataclass
class FileRestorer(Restorer):
    """Builds `<file>.<token>` beside its destination and renames it."""

    #: What it finds of what it has built.
    facts: Facts
    found: list[Check] = field(default_factory=list)
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Raised instead of looking at the destination, or of discarding.
    blind: BaseException | None = None
    stuck: BaseException | None = None
    kind = EngineKind.SQLITE

    def checks(self, source: RestoreSource, destination: Destination, workplace: Workplace) -> Sequence[Check]:
        if self.blind is not None:
            raise self.blind
        return self.found

    def steps(self, source: RestoreSource, destination: Destination) -> Sequence[str]:
        return [f"write {source.raw_size} bytes to {destination.name}"]

    def build(self, source: RestoreSource, destination: Destination, workplace: Workplace, run: Run) -> Built:
        assert source.dump is not None
        shutil.copy(source.dump, _beside(destination))
        return Built(destination.url, self.facts, self.errors, self.warnings)

    def publish(self, destination: Destination, workplace: Workplace, run: Run) -> str | None:
        path, kept = Path(destination.name), Path(f"{destination.name}.before")
        existed = path.exists()
        if existed:
            path.rename(kept)
        _beside(destination).rename(path)
        return str(kept) if existed else None

    def discard(self, destination: Destination, workplace: Workplace) -> None:
        _beside(destination).unlink(missing_ok=True)
        if self.stuck is not None:
            raise self.stuck

    def undo(self, destination: Destination, kept: str, workplace: Workplace, run: Run) -> str:
        raise NotImplementedError

    def remove_kept(self, destination: Destination, kept: str, workplace: Workplace) -> None:
        Path(kept).unlink(missing_ok=True)


def _beside(destination: Destination) -> Path:
    return Path(f"{destination.name}.{destination.token}")
