"""API tokens: what programs call the API with, in the name of a user."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Scope(StrEnum):
    """What a token may be used for; none includes another, but for `ADMIN`."""

    BACKUP_READ = "backup:read"  #: see everything, but for what is in backups, users, tokens and the audit log
    BACKUP_RUN = "backup:run"  #: take backups, and cancel them
    RESTORE_RUN = "restore:run"  #: restore, undo, and download what is in backups
    VERIFY_RUN = "verify:run"  #: verify backups, and cancel that
    ADMIN = "admin"  #: everything that its owner may do


class ApiToken(Base):
    """One token. A revoked one stays, so that its name in the audit log means something."""

    __tablename__ = "api_tokens"
    __table_args__ = (Index("ix_api_tokens_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    #: SHA-256, hexadecimal.
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    #: Its first characters, by which its holder recognises it.
    prefix: Mapped[str] = mapped_column(String(16))
    #: `Scope`, comma-separated.
    scopes: Mapped[str] = mapped_column(String(100))
    #: Networks that it may be used from, comma-separated; empty: everywhere.
    networks: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str | None] = mapped_column(String(64))
    revoked_at: Mapped[datetime | None]
