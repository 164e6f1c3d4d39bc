"""A worker's row in `workers`: who takes jobs, and whether it lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.core.config import QueueName
from hhh.core.version import PRODUCT_VERSION
from hhh.models import QUEUES, WorkerRow, WorkerState
from hhh.repositories import workers as rows


class Presence:
    """Of one worker.

    Args:
        worker: its id, which jobs name.
        label: what the operator calls it; empty: its host and process.
        slots: how many jobs it runs at once.
        queues: of which it takes them.
    """

    def __init__(self, worker: str, *, label: str, slots: int, queues: Collection[QueueName]) -> None:
        self._worker = worker
        self._host = socket.gethostname()
        self._label = label or f"{self._host}:{os.getpid()}"
        self._slots = slots
        self._queues = ",".join(name for name in QUEUES if name in queues)
        self._state = WorkerState.ACTIVE
        self._started_at: datetime | None = None
        #: What its row said last.
        self._told: WorkerState | None = None

    @property
    def is_told(self) -> bool:
        """Whether its row was written since it last changed."""
        return self._told is self._state

    def drain(self) -> None:
        """From the next write on, it takes no more."""
        self._state = WorkerState.DRAINING

    def write(self, session: Session, now: datetime) -> None:
        """Writes its row, which is its sign of life."""
        self._started_at = self._started_at or now
        self._told = self._state
        rows.put(
            session,
            WorkerRow(
                id=self._worker,
                name=self._label,
                host=self._host,
                pid=os.getpid(),
                version=PRODUCT_VERSION,
                state=self._state,
                slots=self._slots,
                queues=self._queues,
                started_at=self._started_at,
                heartbeat_at=now,
            ),
        )

    def remove(self, session: Session) -> None:
        """Removes its row."""
        rows.remove(session, [self._worker])
