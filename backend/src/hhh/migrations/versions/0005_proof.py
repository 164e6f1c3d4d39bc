"""Verifications, and what targets, schedules, backups and copies know of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_VERIFY_DUE = sa.text("verify_due IS NOT NULL AND deleted_at IS NULL")
_READ_BACK = sa.text("sha256 IS NOT NULL AND deleted_at IS NULL")
_VERIFIED = sa.text("verified_level IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "verifications",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("backup_id", sa.String(36), nullable=False),
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("backup_file", sa.String(64), nullable=False),
        sa.Column("backup_created_at", _MOMENT, nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("reached", sa.String(16)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(254), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.Column("refuted", sa.Boolean, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("error_code", sa.String(63)),
    )
    op.create_index("ix_verifications_created", "verifications", ["created_at", "id"])
    op.create_index("ix_verifications_status", "verifications", ["status", "created_at", "id"])
    op.create_index("ix_verifications_target", "verifications", ["target", "created_at", "id"])
    op.create_index("ix_verifications_backup", "verifications", ["backup_id", "created_at", "id"])
    for table, column in _columns():
        op.add_column(table, column)
    op.create_index(
        "ix_backup_log_verify_due",
        "backup_log",
        ["created_at"],
        sqlite_where=_VERIFY_DUE,
        postgresql_where=_VERIFY_DUE,
    )
    op.create_index(
        "ix_backup_log_read_back",
        "backup_log",
        ["read_back_at"],
        sqlite_where=_READ_BACK,
        postgresql_where=_READ_BACK,
    )
    op.create_index(
        "ix_backup_log_verified",
        "backup_log",
        ["target", "verified_level", "created_at", "id"],
        sqlite_where=_VERIFIED,
        postgresql_where=_VERIFIED,
    )
    # What is there already was never read back: the oldest is read first.
    op.execute(sa.text("UPDATE backup_log SET read_back_at = created_at"))


def downgrade() -> None:
    op.drop_index("ix_backup_log_verified", "backup_log")
    op.drop_index("ix_backup_log_read_back", "backup_log")
    op.drop_index("ix_backup_log_verify_due", "backup_log")
    for table, column in _columns():
        op.drop_column(table, column.name)
    op.drop_table("verifications")


def _columns() -> tuple[tuple[str, sa.Column[Any]], ...]:
    """By their tables; anew each time, as one that was added belongs to that."""
    return (
        ("policies", sa.Column("proof", sa.JSON)),
        ("schedules", sa.Column("verify_level", sa.String(16))),
        ("backup_log", sa.Column("verify_due", sa.String(16))),
        ("backup_log", sa.Column("read_back_at", _MOMENT)),
        ("backup_copies", sa.Column("read_at", _MOMENT)),
        ("workers", sa.Column("queues", sa.String(64), nullable=False, server_default="backup,restore,upkeep")),
    )
