"""Sign-in: sessions, the refresh tokens that carry them on, and failed attempts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class UserSession(Base):
    """One sign-in and the family of its refresh tokens. It ends by deletion of the row."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id", "user_id"), Index("ix_sessions_expires_at", "expires_at"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    #: A refresh does not prolong it.
    expires_at: Mapped[datetime]
    #: Where it was begun, and with what (`User-Agent`); of sessions of versions that did not note it, nothing.
    address: Mapped[str | None] = mapped_column(String(64))
    client: Mapped[str | None] = mapped_column(String(254))
    #: When a request came with it last, to a few minutes.
    last_seen_at: Mapped[datetime | None]


class RefreshToken(Base):
    """One refresh token. Used ones are kept as long as the session, so that a second use is noticed."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"),)

    #: SHA-256, hexadecimal.
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    issued_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class LoginFailure(Base):
    """One attempt to sign in that failed, or is being looked at now."""

    __tablename__ = "login_failures"
    __table_args__ = (
        Index("ix_login_failures_account", "account", "created_at"),
        Index("ix_login_failures_address", "address", "created_at"),
        Index("ix_login_failures_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: Keyed hash of the e-mail that was typed: people type passwords into the wrong field. Codes of second factors are
    #: counted apart, under another hash.
    account: Mapped[str] = mapped_column(String(64))
    #: The client's address, of IPv6 its /64; or the place known to be the account's own that it came from.
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    #: From when on it counts no longer, and goes.
    expires_at: Mapped[datetime]


class KnownPlace(Base):
    """An address that somebody has signed in from. It outlives the session: failures elsewhere do not count there."""

    __tablename__ = "known_places"
    __table_args__ = (Index("ix_known_places_seen_at", "seen_at"),)

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    #: As in `LoginFailure`.
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: When they signed in there last.
    seen_at: Mapped[datetime]


class RecoveryCode(Base):
    """A code that stands in for the second factor once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("ix_recovery_codes_user_id", "user_id"),)

    #: SHA-256, hexadecimal.
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    used_at: Mapped[datetime | None]
