"""The catalogue: every backup, where its copies are, and the totals."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hhh.core.clock import utcnow
from hhh.core.database import Base


class BackupStatus(StrEnum):
    """The state of a backup, as the column has it; ``str()`` of the runbook's answer prefixes the class name."""

    QUEUED = "QUEUED"  #: waiting for a worker
    RUNNING = "RUNNING"  #: being taken
    SUCCESS = "SUCCESS"  #: stored and recorded
    FAILED = "FAILED"  #: ended without an artifact
    CANCELLED = "CANCELLED"  #: ended by the operator, without an artifact


#: Rows of finished backups, literal so that both databases match it with the partial index.
FINISHED = text("finished_at IS NOT NULL AND deleted_at IS NULL")
#: Rows of backups that are being removed; literal as well.
DELETED = text("deleted_at IS NOT NULL")
#: Rows of backups that are to be verified by themselves; literal as well.
VERIFY_DUE = text("verify_due IS NOT NULL AND deleted_at IS NULL")
#: Rows of stored backups, whose copies are read back now and then; literal as well. By their status, SQLite would take
#: that column's index, and sort.
READ_BACK = text("sha256 IS NOT NULL AND deleted_at IS NULL")
#: Rows of backups of which more is known than that they were stored; literal as well.
VERIFIED = text("verified_level IS NOT NULL")

#: What listings are narrowed by, beside time.
_NARROWING = ("deleted_at", "target", "status", "pinned", "verified_level")
#: What a history of targets tells of each backup.
_TOLD = ("status", "deleted_at", "verified_level", "finished_at", "backup_size", "raw_size")


class BackupLog(Base):
    """One backup."""

    __tablename__ = "backup_log"
    __table_args__ = (
        Index("uq_backup_log_file", "target", "backup_file", unique=True),
        Index("ix_backup_log_finished", "created_at", "id", sqlite_where=FINISHED, postgresql_where=FINISHED),
        Index("ix_backup_log_created", "created_at", "id"),
        # What listings are narrowed by stands in these two, so that they skip what they don't want without reading it.
        Index("ix_backup_log_listed", "created_at", "id", *_NARROWING),
        Index("ix_backup_log_size", "backup_size", "id", "created_at", *_NARROWING),
        Index("ix_backup_log_status", "status", "created_at", "id"),
        # What is asked of many targets at once is answered from these alone: a row is as long as its manifest.
        Index("ix_backup_log_target", "target", "created_at", "id", *_TOLD),
        Index("ix_backup_log_target_status", "target", "status", "created_at", "id", "deleted_at"),
        Index("ix_backup_log_verify_due", "created_at", sqlite_where=VERIFY_DUE, postgresql_where=VERIFY_DUE),
        Index("ix_backup_log_read_back", "read_back_at", sqlite_where=READ_BACK, postgresql_where=READ_BACK),
        Index(
            "ix_backup_log_verified",
            "target",
            "verified_level",
            "created_at",
            "id",
            "deleted_at",
            sqlite_where=VERIFIED,
            postgresql_where=VERIFIED,
        ),
        Index("ix_backup_log_removal", "removal_due_at", sqlite_where=DELETED, postgresql_where=DELETED),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    target: Mapped[str] = mapped_column(String(63))
    backup_file: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    #: Bytes of the object as stored; 0 until then, and where it failed.
    backup_size: Mapped[int] = mapped_column(BigInteger, default=0)
    #: Bytes of the dump before compression.
    raw_size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)
    #: The manifest as it was stored, signature included.
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    pinned: Mapped[bool] = mapped_column(default=False)
    verified_level: Mapped[str | None] = mapped_column(String(16))
    verified_at: Mapped[datetime | None]
    #: The level that it is to be verified at by itself, since its target's policy says so; None once that is asked for.
    verify_due: Mapped[str | None] = mapped_column(String(16))
    #: When its copies were last to be read back; at first when this row was written. Who waits longest is next.
    read_back_at: Mapped[datetime | None] = mapped_column(default=utcnow)
    #: The tombstone: it is being removed, and no longer shown or counted.
    deleted_at: Mapped[datetime | None]
    #: Who or which rule removes it.
    deleted_by: Mapped[str | None] = mapped_column(Text)
    #: When its removal goes on; later after each try that left something.
    removal_due_at: Mapped[datetime | None]

    copies: Mapped[list[BackupCopy]] = relationship(order_by="BackupCopy.storage", cascade="all, delete-orphan")


class CopyStatus(StrEnum):
    """What is known of a copy."""

    STORED = "stored"  #: written, and its manifest with it
    MISSING = "missing"  #: to be made again from another copy
    UNDELETABLE = "undeletable"  #: its backup is being removed, and the store keeps it


#: Copies to be made again; literal as well.
MISSING = text("status = 'missing'")


class BackupCopy(Base):
    """One copy of a backup's object in one store."""

    __tablename__ = "backup_copies"
    __table_args__ = (
        Index("ix_backup_copies_missing", "storage", "backup_id", sqlite_where=MISSING, postgresql_where=MISSING),
    )

    backup_id: Mapped[str] = mapped_column(ForeignKey("backup_log.id", ondelete="CASCADE"), primary_key=True)
    storage: Mapped[str] = mapped_column(String(63), primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    #: Why it is not stored.
    error: Mapped[str | None] = mapped_column(Text)
    #: When every object of it was read back last, and was what the manifest says; None: never since it was written.
    read_at: Mapped[datetime | None]


class BackupTotals(Base):
    """The one row of totals over finished backups; it changes in the transaction that finishes one."""

    __tablename__ = "backup_totals"
    __table_args__ = (CheckConstraint("singleton = 1", name="ck_backup_totals_singleton"),)

    singleton: Mapped[int] = mapped_column(Integer, primary_key=True, default=1)
    total: Mapped[int] = mapped_column(BigInteger)
    successful: Mapped[int] = mapped_column(BigInteger)
    #: Failed and cancelled.
    failed: Mapped[int] = mapped_column(BigInteger)
    #: Sum of `BackupLog.backup_size` of the successful ones.
    stored_bytes: Mapped[int] = mapped_column(BigInteger)
