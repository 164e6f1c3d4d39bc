"""Restores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "restores",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("backup_id", sa.String(36)),
        sa.Column("undo_of", sa.String(36)),
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("destination_target", sa.String(63), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("token", sa.String(8), nullable=False),
        sa.Column("tables", sa.JSON, nullable=False),
        sa.Column("acknowledge", sa.JSON, nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("requested_by", sa.String(254), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.Column("plan", sa.JSON),
        sa.Column("receipt", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("error_code", sa.String(63)),
        sa.Column("unfinished", sa.Boolean, nullable=False),
        sa.Column("kept", sa.Text),
        sa.Column("kept_until", _MOMENT),
        sa.Column("undone_at", _MOMENT),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_restores_created", "restores", ["created_at", "id"])


def downgrade() -> None:
    op.drop_table("restores")
