"""Who works: every process that runs jobs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class WorkerState(StrEnum):
    """What a worker says of itself."""

    ACTIVE = "active"  #: takes jobs
    DRAINING = "draining"  #: was asked to stop, and ends what it has


class WorkerRow(Base):
    """One worker. The row goes when it ends; of one that was killed it stays until its heartbeat is too old."""

    __tablename__ = "workers"
    __table_args__ = (Index("ix_workers_heartbeat", "heartbeat_at"),)

    #: What jobs name as their worker.
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: What the operator calls it; ``host:pid`` unless they said.
    name: Mapped[str] = mapped_column(String(254))
    host: Mapped[str] = mapped_column(String(254))
    pid: Mapped[int] = mapped_column(Integer)
    version: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    #: How many jobs it runs at once.
    slots: Mapped[int] = mapped_column(Integer)
    #: Of which queues it takes jobs, comma-separated; a version that knew none takes what there was then.
    queues: Mapped[str] = mapped_column(String(64), server_default="backup,restore,upkeep")
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
