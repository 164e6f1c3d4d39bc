"""What tests of verifications ask for again and again."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hhh.core.run import Progress, Run, Unattended
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.jobs.worker import working
from hhh.schemas.policy import ProofFields
from hhh.schemas.verification import Level, VerificationResult
from hhh.services.container import Services
from hhh.services.copies import Copies
from hhh.services.proof import Demand, Proof, verdict
from hhh.services.stores import StoreService


def back_up(services: Services, target: str = "source") -> str:
    """A backup of a target; answers its id."""
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(target))
        worker.execute(backup_id)
    assert services.catalogue.get(backup_id).status == "success", services.catalogue.get(backup_id).error
    return backup_id


def find_out(
    services: Services,
    backup_id: str,
    level: Level = "proven",
    run: Run | None = None,
    *,
    stores: StoreService | None = None,
    scratch_dir: Path | None = None,
    **policy: Any,
) -> VerificationResult:
    """What is found of a backup; nothing is left in scratch afterwards."""
    settings = services.settings
    scratch_dir = scratch_dir or settings.scratch_dir
    copies = Copies(settings, services.identity, services.catalogue, stores or services.stores)
    demand = Demand(backup_id, level, ProofFields(**policy))
    try:
        with scratch_folder(scratch_dir, "test") as scratch:
            workplace = Workplace(scratch, settings.pg_bin_dir)
            return Proof(copies).find_out(demand, workplace, run or Unattended())
    finally:
        assert list(scratch_dir.iterdir()) == []


def status(result: VerificationResult, level: Level = "proven") -> str:
    """What a result comes to."""
    return verdict(result, level)[0].value


class Watched(Unattended):
    """A run that remembers its stages, and is ended in one of them."""

    def __init__(self, at: str | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        #: In their order, each once in a row.
        self.stages: list[str] = []
        self._at = at
        self._error = error

    def report(self, progress: Progress) -> None:
        if self.stages[-1:] != [progress.stage]:
            self.stages.append(progress.stage)

    def raise_if_cancelled(self) -> None:
        if self._at in self.stages:
            raise self._error("ended by the test")


@contextlib.contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a SQLite file that is committed, and leaves nothing beside it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
