"""Every restore that was asked for: by whom, from where, of what, to where, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base

#: Of an undo.
UNDO = text("undo_of IS NOT NULL")


class Restore(Base):
    """One restore; its id is that of its job."""

    __tablename__ = "restores"
    __table_args__ = (
        Index("ix_restores_created", "created_at", "id"),
        Index("ix_restores_dry_run", "dry_run", "created_at", "id"),
        Index("ix_restores_undo_of", "undo_of", sqlite_where=UNDO, postgresql_where=UNDO),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: Not a foreign key: the record outlives the backup.
    backup_id: Mapped[str | None] = mapped_column(String(36))
    undo_of: Mapped[str | None] = mapped_column(String(36))
    #: The target that the backup is of.
    target: Mapped[str] = mapped_column(String(63))
    #: The target on whose server, or in whose folder, the destination is.
    destination_target: Mapped[str] = mapped_column(String(63))
    mode: Mapped[str] = mapped_column(String(16))
    #: A database name or a path.
    destination: Mapped[str] = mapped_column(Text)
    #: 8 characters from which the names of what is built and kept derive.
    token: Mapped[str] = mapped_column(String(8))
    tables: Mapped[list[str]] = mapped_column(JSON)
    acknowledge: Mapped[list[str]] = mapped_column(JSON)
    dry_run: Mapped[bool]
    requested_by: Mapped[str] = mapped_column(String(254))
    address: Mapped[str] = mapped_column(String(64))
    #: `hhh.models.JobState`.
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: `hhh.schemas.restore.Plan` as a mapping.
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    #: `hhh.schemas.restore.Receipt` as a mapping.
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(63))
    #: Whether something of it may stand beside the destination that nobody has discarded yet.
    unfinished: Mapped[bool] = mapped_column(default=False)
    #: The name under which what it replaced is kept; None when there is nothing to undo, or no longer.
    kept: Mapped[str | None] = mapped_column(Text)
    kept_until: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]
