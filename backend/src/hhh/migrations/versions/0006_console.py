"""What the console shows: the log lines of jobs, backups by size, the runs of a schedule."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NARROWING = ("deleted_at", "target", "status", "pinned", "verified_level")
_TOLD = ("status", "deleted_at", "verified_level", "finished_at", "backup_size", "raw_size")
_VERIFIED = sa.text("verified_level IS NOT NULL")
_EXTENDED = ("ix_backup_log_target", "ix_backup_log_target_status", "ix_backup_log_verified")
_UPKEEP = sa.text("kind IN ('prune', 'repair', 'sweep')")
_SCHEDULED = sa.text("schedule_id IS NOT NULL")
_BACKUPS = sa.text("kind = 'backup'")
_UNDO = sa.text("undo_of IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.String(36), primary_key=True),
        sa.Column("lines", sa.JSON, nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_backup_log_listed", "backup_log", ["created_at", "id", *_NARROWING])
    op.create_index("ix_backup_log_size", "backup_log", ["backup_size", "id", "created_at", *_NARROWING])
    for name in _EXTENDED:
        op.drop_index(name, "backup_log")
    op.create_index("ix_backup_log_target", "backup_log", ["target", "created_at", "id", *_TOLD])
    op.create_index("ix_backup_log_target_status", "backup_log", ["target", "status", "created_at", "id", "deleted_at"])
    op.create_index(
        "ix_backup_log_verified",
        "backup_log",
        ["target", "verified_level", "created_at", "id", "deleted_at"],
        sqlite_where=_VERIFIED,
        postgresql_where=_VERIFIED,
    )
    op.create_index(
        "ix_jobs_schedule",
        "jobs",
        ["schedule_id", "created_at"],
        sqlite_where=_SCHEDULED,
        postgresql_where=_SCHEDULED,
    )
    op.create_index(
        "ix_jobs_backups", "jobs", ["target", "created_at"], sqlite_where=_BACKUPS, postgresql_where=_BACKUPS
    )
    op.add_column("schedules", sa.Column("unchanged_since", sa.DateTime(timezone=True)))
    op.create_index("ix_verifications_level", "verifications", ["level", "created_at", "id"])
    op.create_index("ix_jobs_upkeep", "jobs", ["finished_at"], sqlite_where=_UPKEEP, postgresql_where=_UPKEEP)
    op.create_index("ix_restores_dry_run", "restores", ["dry_run", "created_at", "id"])
    op.create_index("ix_restores_undo_of", "restores", ["undo_of"], sqlite_where=_UNDO, postgresql_where=_UNDO)


def downgrade() -> None:
    op.drop_index("ix_restores_undo_of", "restores")
    op.drop_index("ix_restores_dry_run", "restores")
    op.drop_index("ix_jobs_upkeep", "jobs")
    op.drop_index("ix_verifications_level", "verifications")
    op.drop_column("schedules", "unchanged_since")
    op.drop_index("ix_jobs_backups", "jobs")
    op.drop_index("ix_jobs_schedule", "jobs")
    for name in _EXTENDED:
        op.drop_index(name, "backup_log")
    op.create_index("ix_backup_log_target", "backup_log", ["target", "created_at", "id"])
    op.create_index("ix_backup_log_target_status", "backup_log", ["target", "status", "created_at", "id"])
    op.create_index(
        "ix_backup_log_verified",
        "backup_log",
        ["target", "verified_level", "created_at", "id"],
        sqlite_where=_VERIFIED,
        postgresql_where=_VERIFIED,
    )
    op.drop_index("ix_backup_log_size", "backup_log")
    op.drop_index("ix_backup_log_listed", "backup_log")
    op.drop_table("job_logs")
