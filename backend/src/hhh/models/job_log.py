"""What a job wrote to the log, for whoever looks at what it made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.database import Base


class JobLog(Base):
    """The lines of one job, of all its attempts; secrets are masked in them."""

    __tablename__ = "job_logs"

    job_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: Events as the log has them, the oldest first: ``timestamp``, ``level``, ``event`` and what else each tells.
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    written_at: Mapped[datetime]
