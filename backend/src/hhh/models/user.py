"""Who may sign in."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Role(StrEnum):
    """What a user may do, each including those before it."""

    MEMBER = "MEMBER"  #: sign in
    ADMIN = "ADMIN"  #: administer HHH, but no backups
    SUPER_ADMIN = "SUPER_ADMIN"  #: everything, backups and restores included


class User(Base):
    """One user."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('MEMBER', 'ADMIN', 'SUPER_ADMIN')", name="ck_users_role"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: Stripped and case-folded; compared exactly.
    email: Mapped[str] = mapped_column(String(254), unique=True)
    #: Argon2id, in PHC form.
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    #: The shared secret of the second factor (RFC 6238), sealed; None: there is none, or it is being set up.
    sealed_totp: Mapped[str | None] = mapped_column(Text)
    #: Since when it is asked for; None while it is being set up.
    totp_since: Mapped[datetime | None]
    #: The newest time step that was used: none is good twice.
    totp_step: Mapped[int | None] = mapped_column(BigInteger)
