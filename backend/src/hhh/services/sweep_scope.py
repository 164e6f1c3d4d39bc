"""What one sweep of one store works with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from hhh.artifacts.destinations import Destination
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.run import Run
from hhh.services.sweep_report import FindingKind, SweepFinding, SweepReport
from hhh.storages.base import Storage
from hhh.storages.clock import store_time


@dataclass(frozen=True)
class Scope:
    """One sweep of one store."""

    database: Database
    #: Whose folder it is about; that of another installation is never touched.
    installation: str
    destination: Destination
    #: Whose signature on a manifest counts.
    trusted_keys: Collection[str]
    #: What is younger is left alone.
    safe_age: timedelta
    #: Whether to repair what is found, or only to tell of it.
    repair: bool
    report: SweepReport
    run: Run

    @property
    def storage(self) -> Storage:
        """The store."""
        return self.destination.storage

    @property
    def store(self) -> str:
        """What the store is called in the catalogue."""
        return self.destination.name

    @cached_property
    def safe_before(self) -> datetime:
        """What is older than this, by the store's time and by ours, is old enough to be removed.

        Raises:
            StorageError: the store does not tell its time.
        """
        return min(utcnow(), store_time(self.storage)) - self.safe_age

    def tell(self, kind: FindingKind, subject: str, detail: str, *, done: str = "") -> None:
        """Notes a finding.

        Args:
            kind: what is wrong.
            subject: a key, or the id of a backup.
            detail: what is wrong with it.
            done: what was done about it, if anything was to be done at all.
        """
        self.report.add(SweepFinding(kind, self.store, subject, detail, done if self.repair else ""))
