"""Responses about workers."""

from __future__ import annotations

from pydantic import Field

from hhh.schemas.base import ApiModel, Moment


class RunningJob(ApiModel):
    """What a worker is at."""

    id: str
    kind: str
    target: str


class WorkerResource(ApiModel):
    """A process that takes jobs."""

    id: str
    name: str = Field(description="What the operator calls it; `host:pid` unless they said.")
    host: str
    pid: int
    version: str = Field(description="Of HHH Backup.")
    state: str = Field(description="`active`, or `draining` once it was asked to stop.")
    slots: int = Field(description="How many jobs it runs at once.")
    queues: list[str] = Field(
        description="Of what it takes jobs: `backup`, `restore`, `verify`, `upkeep` (prune, repair, sweep)."
    )
    running: list[RunningJob]
    started_at: Moment
    heartbeat_at: Moment
    alive: bool = Field(description="False once it has given no sign of life for 30 seconds.")
