"""Stores, policies, schedules, workers; jobs that are tried again; copies and backups that are removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_FINISHED = sa.text("finished_at IS NOT NULL AND deleted_at IS NULL")
_FINISHED_BEFORE = sa.text("finished_at IS NOT NULL")
_DELETED = sa.text("deleted_at IS NOT NULL")
_PRUNE_DUE = sa.text("prune_due_at IS NOT NULL")
_SWEEPS = sa.text("kind = 'sweep'")
_MISSING = sa.text("status = 'missing'")
_WAITING = sa.text("next_run_at IS NOT NULL")
_ACTIVE_UPKEEP = sa.text("kind IN ('prune', 'repair', 'sweep') AND state IN ('queued', 'running')")


def upgrade() -> None:
    _create_tables()
    for column in (
        sa.Column("not_before", _MOMENT),
        sa.Column("retries_left", sa.Integer, nullable=False, server_default="0"),
        sa.Column("time_limit_seconds", sa.Integer),
        sa.Column("schedule_id", sa.String(36)),
        sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("jobs", column)
    op.create_index(
        "uq_jobs_active_upkeep",
        "jobs",
        ["kind", "target"],
        unique=True,
        sqlite_where=_ACTIVE_UPKEEP,
        postgresql_where=_ACTIVE_UPKEEP,
    )
    op.create_index("ix_jobs_sweeps", "jobs", ["created_at"], sqlite_where=_SWEEPS, postgresql_where=_SWEEPS)
    op.add_column("backup_log", sa.Column("deleted_at", _MOMENT))
    op.add_column("backup_log", sa.Column("deleted_by", sa.Text))
    op.add_column("backup_log", sa.Column("removal_due_at", _MOMENT))
    op.add_column("backup_copies", sa.Column("error", sa.Text))
    op.create_index(
        "ix_backup_copies_missing",
        "backup_copies",
        ["storage", "backup_id"],
        sqlite_where=_MISSING,
        postgresql_where=_MISSING,
    )
    op.add_column("targets", sa.Column("updated_at", _MOMENT))
    op.execute("UPDATE targets SET updated_at = created_at")
    with op.batch_alter_table("targets") as targets:
        targets.alter_column("updated_at", existing_type=_MOMENT, nullable=False)
    op.add_column("installation", sa.Column("signing_key", sa.String(64)))
    op.add_column("installation", sa.Column("sealed_check", sa.Text))
    _index_finished(_FINISHED)
    op.create_index(
        "ix_backup_log_removal", "backup_log", ["removal_due_at"], sqlite_where=_DELETED, postgresql_where=_DELETED
    )


def downgrade() -> None:
    op.drop_index("ix_backup_log_removal", "backup_log")
    op.drop_index("ix_backup_copies_missing", "backup_copies")
    _index_finished(_FINISHED_BEFORE)
    for table, columns in (
        ("installation", ("signing_key", "sealed_check")),
        ("targets", ("updated_at",)),
        ("backup_copies", ("error",)),
        ("backup_log", ("deleted_at", "deleted_by", "removal_due_at")),
    ):
        for column in columns:
            op.drop_column(table, column)
    op.drop_index("ix_jobs_sweeps", "jobs")
    op.drop_index("uq_jobs_active_upkeep", "jobs")
    for column in ("not_before", "retries_left", "time_limit_seconds", "schedule_id", "version"):
        op.drop_column("jobs", column)
    for table in ("workers", "schedules", "policies", "stores"):
        op.drop_table(table)


def _index_finished(condition: sa.TextClause) -> None:
    op.drop_index("ix_backup_log_finished", "backup_log")
    op.create_index(
        "ix_backup_log_finished",
        "backup_log",
        ["created_at", "id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _create_tables() -> None:
    op.create_table(
        "stores",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("sealed_options", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "policies",
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("stores", sa.JSON, nullable=False),
        sa.Column("minimum_copies", sa.Integer),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("time_limit_seconds", sa.Integer),
        sa.Column("retention", sa.JSON),
        sa.Column("prune_due_at", _MOMENT),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_index(
        "ix_policies_prune_due", "policies", ["prune_due_at"], sqlite_where=_PRUNE_DUE, postgresql_where=_PRUNE_DUE
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("cron", sa.String(254), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("jitter_seconds", sa.Integer, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("planned_at", _MOMENT),
        sa.Column("next_run_at", _MOMENT),
        sa.Column("last_run_at", _MOMENT),
        sa.Column("last_job_id", sa.String(36)),
        sa.Column("last_skipped_at", _MOMENT),
        sa.Column("last_skipped_reason", sa.Text),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_schedules_next_run", "schedules", ["next_run_at"], sqlite_where=_WAITING, postgresql_where=_WAITING
    )
    op.create_index("ix_schedules_target", "schedules", ["target"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(254), nullable=False),
        sa.Column("host", sa.String(254), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("heartbeat_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_workers_heartbeat", "workers", ["heartbeat_at"])
