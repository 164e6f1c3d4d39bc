"""Requests and responses about missing copies."""

from __future__ import annotations

from pydantic import Field

from hhh.schemas.backup import State
from hhh.schemas.base import ApiModel


class RepairRequest(ApiModel):
    """Which copies to make."""

    new_stores: bool = Field(
        default=False, description="Also in stores that the target's policy got after a backup was taken."
    )


class RepairOutcome(ApiModel):
    """What came of the repair of one target."""

    target: str
    job_id: str
    status: State
    error: str | None
    made: list[str] = Field(description="Each copy that was made: `FILE in STORE`.")
