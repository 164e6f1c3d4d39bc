"""The databases that are backed up, beside our own (the target ``app``)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Target(Base):
    """One registered database."""

    __tablename__ = "targets"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    engine: Mapped[str] = mapped_column(String(16))
    #: The whole URL, encrypted with a key derived from ``HHH_SECRET_KEY`` (`hhh.core.secretbox`).
    sealed_url: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
