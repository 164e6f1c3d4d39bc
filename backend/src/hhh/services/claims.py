"""The right of an attempt to publish: its job's row says whether it still holds it."""

from __future__ import annotations

from dataclasses import dataclass

from hhh.artifacts.manifest import parse_manifest
from hhh.core.database import Database
from hhh.core.errors import Cancelled, LeaseLost, ManifestInvalid
from hhh.repositories import jobs as job_rows
from hhh.services.storing import insistently
from hhh.services.work import Attempt


@dataclass(frozen=True, slots=True)
class JobClaim:
    """The `hhh.artifacts.publication.Claim` of one attempt at a backup's job."""

    database: Database
    attempt: Attempt
    #: Whose signature our manifests have.
    public_key: str

    def confirm(self) -> None:
        """Asks the row itself, not only the heartbeat; for a while again, where the own database is away.

        Raises:
            Cancelled, LeaseLost: the job is not ours, or not wanted, any more.
            DatabaseUnavailable: it can't be asked.
        """
        insistently(self._ask)

    def is_earlier(self, manifest: bytes) -> bool:
        """Whether it is ours, of the same backup, and of an attempt before this one."""
        try:
            found = parse_manifest(manifest, {self.public_key})
        except ManifestInvalid:
            return False
        return found.backup_id == self.attempt.job_id and found.attempt < self.attempt.number

    def _ask(self) -> None:
        with self.database.snapshot() as session:
            held = job_rows.held(session, [self.attempt.job_id])
        cancelled = held.get((self.attempt.job_id, self.attempt.number))
        if cancelled is None:
            raise LeaseLost("The backup was given up while it ran; another worker may have it now")
        if cancelled:
            raise Cancelled("The backup was cancelled")
