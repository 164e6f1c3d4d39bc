"""What Procrastinate's queues are called: one for each queue of an installation, and the one of older versions."""

from __future__ import annotations

from collections.abc import Collection

from hhh.core.config import QueueName
from hhh.models import QUEUES, queue_of


def queue_name(installation: str, kind: str) -> str:
    """Where jobs of that kind are handed over."""
    return _named(installation, queue_of(kind))


def queues_to_take(installation: str, queues: Collection[QueueName]) -> list[str]:
    """Where a worker of these queues is handed its jobs.

    The one in which older versions handed over whatever there was is each worker's: a job that is not its own it lets
    go of, and whoever takes such jobs hands it over anew.
    """
    return [*(_named(installation, name) for name in QUEUES if name in queues), installation]


def all_queues(installation: str) -> list[str]:
    """Those of every worker together."""
    return queues_to_take(installation, QUEUES)


def _named(installation: str, queue: QueueName) -> str:
    # PostgreSQL has 63 bytes for the channel that is named after it: Procrastinate takes 23, the id 36. So the first
    # letter it is, which no two queues share (see `QueueName`).
    return f"{installation}:{queue[0]}"
