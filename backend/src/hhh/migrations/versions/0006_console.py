"""What the console shows: the log lines of jobs, backups by size, the runs of a schedule."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SCHEDULED = sa.text("schedule_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.String(36), primary_key=True),
        sa.Column("lines", sa.JSON, nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_backup_log_size", "backup_log", ["backup_size", "id"])
    op.create_index(
        "ix_jobs_schedule",
        "jobs",
        ["schedule_id", "created_at"],
        sqlite_where=_SCHEDULED,
        postgresql_where=_SCHEDULED,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_schedule", "jobs")
    op.drop_index("ix_backup_log_size", "backup_log")
    op.drop_table("job_logs")
