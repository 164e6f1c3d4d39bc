"""Every verification of a backup: at which level, what it found, and how long it took."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class VerificationStatus(StrEnum):
    """Where a verification is, and what it came to."""

    QUEUED = "queued"  #: waiting for a worker
    RUNNING = "running"  #: under way
    SUCCESS = "success"  #: the backup is what the level asks for
    FAILED = "failed"  #: it is not, or a difference was found
    INCONCLUSIVE = "inconclusive"  #: it could not be found out here; nothing is said against the backup
    CANCELLED = "cancelled"  #: ended by the operator


#: Those that have ended by themselves, with a result.
CONCLUDED = (VerificationStatus.SUCCESS, VerificationStatus.FAILED, VerificationStatus.INCONCLUSIVE)


class Verification(Base):
    """One verification; its id is that of its job."""

    __tablename__ = "verifications"
    __table_args__ = (
        Index("ix_verifications_created", "created_at", "id"),
        Index("ix_verifications_status", "status", "created_at", "id"),
        Index("ix_verifications_level", "level", "created_at", "id"),
        Index("ix_verifications_target", "target", "created_at", "id"),
        Index("ix_verifications_backup", "backup_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: Not a foreign key: the record outlives the backup.
    backup_id: Mapped[str] = mapped_column(String(36))
    target: Mapped[str] = mapped_column(String(63))
    backup_file: Mapped[str] = mapped_column(String(64))
    #: When the backup was begun.
    backup_created_at: Mapped[datetime]
    #: `hhh.schemas.verification.Level`, as asked for.
    level: Mapped[str] = mapped_column(String(16))
    #: The highest level that it reached; None: none.
    reached: Mapped[str | None] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    #: An e-mail address, ``cli``, ``policy``, ``schedule`` or ``read-back``.
    requested_by: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: Whether it speaks against what the backup holds: it found more than a copy of which another store has a good one.
    refuted: Mapped[bool] = mapped_column(default=False)
    #: `hhh.schemas.verification.VerificationResult` as a mapping; None until it has ended by itself.
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(63))
