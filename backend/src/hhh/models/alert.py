"""Alerts: where they go, what is wrong now, and what is still to be delivered."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class AlertKind(StrEnum):
    """What is told."""

    BACKUP_FAILED = "backup-failed"  #: and that backups succeed again
    VERIFICATION_FAILED = "verification-failed"
    BACKUP_OVERDUE = "backup-overdue"
    PROOF_OVERDUE = "proof-overdue"
    STORE_FAILING = "store-failing"
    STORE_NEARLY_FULL = "store-nearly-full"
    WORKER_LOST = "worker-lost"
    RETENTION_STUCK = "retention-stuck"  #: could not delete
    SIZE_ODD = "size-odd"  #: out of line with the target's own history


class AlertChannel(Base):
    """Somewhere that alerts go to."""

    __tablename__ = "alert_channels"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    #: The Apprise URL, sealed: it holds passwords and tokens.
    sealed_url: Mapped[str] = mapped_column(Text)
    #: `AlertKind`s; None: all.
    kinds: Mapped[list[str] | None] = mapped_column(JSON)
    #: Names of targets, or patterns of them (`prod-*`); None: all. What is of no target goes to all channels.
    targets: Mapped[list[str] | None] = mapped_column(JSON)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    last_delivered_at: Mapped[datetime | None]
    last_failed_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    #: Until then somebody is believed to be sending to it; nobody else does meanwhile.
    sending_until: Mapped[datetime | None]


class Trouble(Base):
    """Something that is wrong, told once, and again when it changes or ends."""

    __tablename__ = "alert_troubles"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    #: The target, store or worker.
    subject: Mapped[str] = mapped_column(String(254), primary_key=True)
    #: The target that it is about, where it is about one; by it messages are routed.
    target: Mapped[str | None] = mapped_column(String(63))
    #: What is the same while the same is wrong.
    fingerprint: Mapped[str] = mapped_column(String(64))
    #: What was told.
    message: Mapped[dict[str, Any]] = mapped_column(JSON)
    since: Mapped[datetime]
    told_at: Mapped[datetime]


class AlertEvent(StrEnum):
    """What became of a trouble."""

    BEGUN = "begun"
    CHANGED = "changed"
    ENDED = "ended"


class AlertDelivery(Base):
    """A message on its way to one channel."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (Index("ix_alert_deliveries_due", "next_try_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("alert_channels.id", ondelete="CASCADE"))
    #: `AlertKind`, or ``several``: what came at once, in one message.
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(254))
    #: `AlertEvent`.
    event: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    #: None: it was delivered, or given up.
    next_try_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)


class AlertWatch(Base):
    """The one row of whoever looks for troubles: what was found counts only if nobody wrote since it was looked for."""

    __tablename__ = "alert_watch"
    __table_args__ = (CheckConstraint("singleton = 1", name="ck_alert_watch_singleton"),)

    singleton: Mapped[int] = mapped_column(Integer, primary_key=True, default=1)
    #: How many rounds there were.
    rounds: Mapped[int] = mapped_column(BigInteger)
    #: When the last one was; None: there was none.
    looked_at: Mapped[datetime | None]


class LostWorker(Base):
    """A worker that ended without a word. Its own row goes sooner, so that nobody takes it for alive."""

    __tablename__ = "lost_workers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(254))
    host: Mapped[str] = mapped_column(String(254))
    heartbeat_at: Mapped[datetime]
    lost_at: Mapped[datetime]
