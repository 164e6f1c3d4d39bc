"""The audit log: who did what, each event chained to the one before it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Action(StrEnum):
    """What was done."""

    SIGN_IN = "auth.sign-in"
    SIGN_OUT = "auth.sign-out"
    SESSION_END = "auth.session-end"
    SECOND_FACTOR = "auth.second-factor"  #: set up, taken away, or new recovery codes
    REFUSED = "access.refused"  #: somebody asked for what they may not do
    USER_CREATE = "user.create"
    USER_CHANGE = "user.change"
    USER_REMOVE = "user.remove"
    TOKEN_CREATE = "token.create"  # noqa: S105
    TOKEN_REVOKE = "token.revoke"  # noqa: S105
    TARGET_ADD = "target.add"
    TARGET_CHANGE = "target.change"  #: its URL or its policy
    TARGET_REMOVE = "target.remove"
    STORE_ADD = "store.add"
    STORE_CHANGE = "store.change"
    STORE_REMOVE = "store.remove"
    SCHEDULE_ADD = "schedule.add"
    SCHEDULE_CHANGE = "schedule.change"
    SCHEDULE_REMOVE = "schedule.remove"
    CHANNEL_ADD = "alert-channel.add"
    CHANNEL_CHANGE = "alert-channel.change"
    CHANNEL_REMOVE = "alert-channel.remove"
    BACKUP = "backup"
    BACKUP_PIN = "backup.pin"
    BACKUP_DELETE = "backup.delete"
    BACKUP_DOWNLOAD = "backup.download"
    BACKUP_IMPORT = "backup.import"
    RESTORE = "restore"
    VERIFY = "verify"
    PRUNE = "prune"
    REPAIR = "repair"
    SWEEP = "sweep"
    CANCEL = "cancel"
    CATALOGUE = "catalogue.rebuild"
    KEYS = "keys.change"
    AUDIT_EXPORT = "audit.export"  #: the log itself was exported


class Result(StrEnum):
    """What became of it."""

    ASKED = "asked"  #: a job that somebody asked for; what became of it is an event of its own
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class AuditEvent(Base):
    """One event; never changed and never deleted, which the database itself refuses."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_at", "at"),
        Index("ix_audit_events_actor", "actor", "seq"),
        Index("ix_audit_events_action", "action", "seq"),
        Index("ix_audit_events_subject", "subject", "seq"),
        Index("ix_audit_events_target", "target", "seq"),
    )

    #: From 1 on, without gaps.
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    #: `hhh.core.actor.ActorKind`, its name, and of a token its name.
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(254))
    token: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    #: On what: a name or an id.
    subject: Mapped[str] = mapped_column(String(254))
    #: The target that it is about, where it is about one.
    target: Mapped[str | None] = mapped_column(String(63))
    result: Mapped[str] = mapped_column(String(16))
    request_id: Mapped[str | None] = mapped_column(String(64))
    #: What else is worth knowing, never a secret; as text, so that what was hashed is what is read.
    detail: Mapped[str] = mapped_column(Text)
    #: SHA-256 (hexadecimal) of the event before it, and of this one with that.
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    #: Of `hash`, by the key of the installation (`hhh.core.signing`).
    signature: Mapped[str] = mapped_column(String(88))


class AuditHead(Base):
    """The one row with the end of the chain: whoever writes the next event locks it."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("singleton = 1", name="ck_audit_head_singleton"),)

    singleton: Mapped[int] = mapped_column(Integer, primary_key=True, default=1)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


#: What `AuditEvent.detail` is made of.
Detail = dict[str, Any]
