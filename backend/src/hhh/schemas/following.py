"""What somebody hears who follows a job."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hhh.schemas.backup import Retry, RunProgress, State
from hhh.schemas.base import ApiModel, Moment


class News(ApiModel):
    """How a job of any kind is now: the data of each event."""

    id: str
    kind: Literal["backup", "restore", "prune", "repair", "sweep", "verify"]
    target: str
    status: State
    attempt: int = Field(description="How often it was begun.")
    cancel_requested: bool
    progress: RunProgress | None = Field(description="While it runs.")
    retry: Retry | None = Field(description="While it waits for a further attempt.")
    error: str | None = Field(description="Why it ended without success.")
    finished_at: Moment | None
