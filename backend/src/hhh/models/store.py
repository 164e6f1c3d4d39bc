"""The stores that backups go to, beside the one of ``HHH_STORAGE_URL`` (the store ``default``)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Store(Base):
    """One registered store."""

    __tablename__ = "stores"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    #: Holds no secret.
    url: Mapped[str] = mapped_column(Text)
    #: A JSON object of options, its credentials among them, encrypted (`hhh.core.secretbox`).
    sealed_options: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
