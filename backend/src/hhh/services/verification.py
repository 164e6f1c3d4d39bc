"""Verifications: asked for, and looked at."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.models import JobKind, Verification, VerificationStatus
from hhh.repositories import verifications as rows
from hhh.schemas.verification import Level, VerificationPage, VerificationResource
from hhh.services.catalogue import Catalogue
from hhh.services.work import NewJob


class VerificationService:
    """Asks for verifications and reads their records. `hhh.services.verification_work` performs them."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def request(self, backup_id: str, level: Level, *, requested_by: str) -> NewJob:
        """A verification of a stored backup, to be handed to a queue.

        Raises:
            NotFound: no such backup, or it holds nothing.
        """
        backup = self._catalogue.get(backup_id)

        def write(session: Session, verification_id: str, now: datetime) -> None:
            rows.add(
                session,
                Verification(
                    id=verification_id,
                    backup_id=backup.id,
                    target=backup.target,
                    backup_file=backup.backup_file,
                    backup_created_at=backup.created_at,
                    level=level,
                    status=VerificationStatus.QUEUED,
                    requested_by=requested_by,
                    created_at=now,
                ),
            )

        return NewJob(JobKind.VERIFY, backup.target, write)

    def get(self, verification_id: str) -> VerificationResource:
        """One verification.

        Raises:
            NotFound: none has that id.
        """
        raise NotImplementedError

    def page(
        self, *, target: str | None = None, backup_id: str | None = None, cursor: str | None, limit: int
    ) -> VerificationPage:
        """One page of verifications, running ones included, newest first.

        Raises:
            InvalidInput: the cursor is not one that a page handed out.
        """
        raise NotImplementedError
