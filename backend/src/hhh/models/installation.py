"""Who this service is."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Installation(Base):
    """The one row with the installation's id, which keeps two services in one bucket apart, and marks of its keys."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("singleton = 1", name="ck_installation_singleton"),)

    singleton: Mapped[int] = mapped_column(Integer, primary_key=True, default=1)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    created_at: Mapped[datetime]
    #: The public key (base64) that its manifests are signed with: all workers must have the same.
    signing_key: Mapped[str | None] = mapped_column(String(64))
    #: The version of the program that all its processes have, but for the last number.
    program_version: Mapped[str | None] = mapped_column(String(32))
    #: Something that only the right ``HHH_SECRET_KEY`` opens.
    sealed_check: Mapped[str | None] = mapped_column(Text)
