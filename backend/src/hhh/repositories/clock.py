"""The one time in which leases are given and looked at, and by which alerts and schedules are due."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from hhh.repositories import jobs as rows


class Clock(Protocol):
    """What says which time it is."""

    def now(self, session: Session) -> datetime:
        """Now, in UTC."""


class ServerClock:
    """Asks the database's server, since several machines share it; a SQLite file is of one machine, whose time it is.

    It may jump all the same. So an overdue lease is never enough to take a worker for dead: see `hhh.jobs.lost`.
    """

    def now(self, session: Session) -> datetime:
        """Now, in UTC."""
        return rows.server_time(session)
