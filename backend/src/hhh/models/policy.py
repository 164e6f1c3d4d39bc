"""How a target is backed up: where to, how often it is tried, and what is kept. A target without a row has defaults."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base

#: Policies that a backup was taken under since the last prune; literal, so that both databases match it with the index.
PRUNE_DUE = text("prune_due_at IS NOT NULL")


class Policy(Base):
    """The policy of one target, ``app`` among them."""

    __tablename__ = "policies"
    __table_args__ = (
        Index("ix_policies_prune_due", "prune_due_at", sqlite_where=PRUNE_DUE, postgresql_where=PRUNE_DUE),
    )

    #: Not a foreign key: ``app`` has no row, and retention goes on for a target that was removed.
    target: Mapped[str] = mapped_column(String(63), primary_key=True)
    #: Names of stores; empty is the store ``default`` alone.
    stores: Mapped[list[str]] = mapped_column(JSON)
    #: In how many stores a backup must be to count as SUCCESS; None: in all of them.
    minimum_copies: Mapped[int | None] = mapped_column(Integer)
    #: How often what failed and may pass is tried again, where nobody waits for it.
    retries: Mapped[int] = mapped_column(Integer)
    #: After so long a backup is ended; None: never.
    time_limit_seconds: Mapped[int | None] = mapped_column(Integer)
    #: `hhh.schemas.retention.Retention` as a mapping; None: everything is kept.
    retention: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    #: `hhh.schemas.policy.ProofFields` as a mapping; None: the defaults.
    proof: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    #: When to prune by itself: a backup was taken since the last time; None where nothing is to be looked at.
    prune_due_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
