"""When targets are backed up."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base

#: Schedules that the ticker looks at; literal, so that both databases match it with the partial index.
WAITING = text("next_run_at IS NOT NULL")


class Schedule(Base):
    """One schedule of one target."""

    __tablename__ = "schedules"
    __table_args__ = (
        Index("ix_schedules_next_run", "next_run_at", sqlite_where=WAITING, postgresql_where=WAITING),
        Index("ix_schedules_target", "target"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    target: Mapped[str] = mapped_column(String(63))
    #: Five fields, as cron has them.
    cron: Mapped[str] = mapped_column(String(254))
    #: A name of the IANA time zone database.
    time_zone: Mapped[str] = mapped_column(String(64))
    #: Each run begins up to so much later, always the same for one instant.
    jitter_seconds: Mapped[int] = mapped_column(Integer)
    paused: Mapped[bool]
    #: The level that the target's newest backup is verified at; None: a backup is taken.
    verify_level: Mapped[str | None] = mapped_column(String(16))
    #: The instant of the next run without its jitter; None while paused, or when none will come.
    planned_at: Mapped[datetime | None]
    #: When it is to be begun, jitter included; None while paused, or when none will come.
    next_run_at: Mapped[datetime | None]
    #: The instant for which a job was made last.
    last_run_at: Mapped[datetime | None]
    last_job_id: Mapped[str | None] = mapped_column(String(36))
    #: When a run was left out last, and why: the one before had not ended.
    last_skipped_at: Mapped[datetime | None]
    last_skipped_reason: Mapped[str | None] = mapped_column(Text)
    #: Since when it names these instants: since its line was changed, or it was resumed. None: since it was set up.
    unchanged_since: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
