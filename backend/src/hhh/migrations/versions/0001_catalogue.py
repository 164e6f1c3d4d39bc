"""The catalogue, its totals, jobs, targets and the installation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_ACTIVE = sa.text("kind IN ('backup', 'restore') AND state IN ('queued', 'running')")
_FINISHED = sa.text("finished_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("singleton", sa.Integer, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("singleton"),
        sa.UniqueConstraint("id"),
        sa.CheckConstraint("singleton = 1", name="ck_installation_singleton"),
    )
    op.create_table(
        "targets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("engine", sa.String(16), nullable=False),
        sa.Column("sealed_url", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    _create_jobs()
    _create_backup_log()
    totals = op.create_table(
        "backup_totals",
        sa.Column("singleton", sa.Integer, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("successful", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("singleton"),
        sa.CheckConstraint("singleton = 1", name="ck_backup_totals_singleton"),
    )
    op.bulk_insert(totals, [{"singleton": 1, "total": 0, "successful": 0, "failed": 0, "stored_bytes": 0}])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("lease_expires_at", _MOMENT, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("progress", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "uq_jobs_active_target", "jobs", ["target"], unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "lease_expires_at"])


def _create_backup_log() -> None:
    op.create_table(
        "backup_log",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("backup_file", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT),
        sa.Column("backup_size", sa.BigInteger, nullable=False),
        sa.Column("raw_size", sa.BigInteger),
        sa.Column("sha256", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("manifest", sa.JSON),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("verified_level", sa.String(16)),
        sa.Column("verified_at", _MOMENT),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_backup_log_file", "backup_log", ["target", "backup_file"], unique=True)
    op.create_index(
        "ix_backup_log_finished", "backup_log", ["created_at", "id"], sqlite_where=_FINISHED, postgresql_where=_FINISHED
    )
    op.create_index("ix_backup_log_created", "backup_log", ["created_at", "id"])
    op.create_index("ix_backup_log_status", "backup_log", ["status", "created_at", "id"])
    op.create_index("ix_backup_log_target", "backup_log", ["target", "created_at", "id"])
    op.create_index("ix_backup_log_target_status", "backup_log", ["target", "status", "created_at", "id"])
    op.create_table(
        "backup_copies",
        sa.Column("backup_id", sa.String(36), sa.ForeignKey("backup_log.id", ondelete="CASCADE"), nullable=False),
        sa.Column("storage", sa.String(63), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("backup_id", "storage"),
    )


def downgrade() -> None:
    for table in ("backup_totals", "backup_copies", "backup_log", "jobs", "targets", "installation"):
        op.drop_table(table)
