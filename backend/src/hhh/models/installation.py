"""Who this service is."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class Installation(Base):
    """The one row with the installation's id, which keeps two services in one bucket apart."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("singleton = 1", name="ck_installation_singleton"),)

    singleton: Mapped[int] = mapped_column(Integer, primary_key=True, default=1)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    created_at: Mapped[datetime]
