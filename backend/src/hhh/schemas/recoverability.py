"""Whether a database can be got back, as far as that is proven."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hhh.schemas.base import ApiModel, Moment

#: The worst first: `failing`, `late`, `unproven`, `healthy`.
RecoverabilityState = Literal["failing", "late", "unproven", "healthy"]


class ProvenBackup(ApiModel):
    """The newest backup that a restore has proven."""

    backup_id: str
    backup_file: str
    created_at: Moment = Field(description="The moment of its snapshot: what is lost since then is the RPO.")
    proven_at: Moment
    verification_id: str | None = Field(description="Its record; null where that is gone.")


class Recoverability(ApiModel):
    """Whether a target can be got back, and how long that takes."""

    target: str
    state: RecoverabilityState
    summary: str = Field(description="How it stands, in one short sentence.")
    reasons: list[str] = Field(description="Why it is not healthy, each with what to do; empty where it is.")
    last_backup_at: Moment | None = Field(description="When the newest good backup was begun.")
    last_backup_id: str | None
    last_attempt_at: Moment | None = Field(description="When a backup ended last, well or not.")
    last_attempt_status: str | None
    failed_backup_id: str | None = Field(description="The newest backup, where it failed.")
    last_proven: ProvenBackup | None
    rpo_seconds: float | None = Field(description="The age of the newest proven backup.")
    rto_seconds: float | None = Field(description="How long the newest proof took to restore it.")
    restore_bytes_per_second: float | None
    proven_within_days: int | None
    backed_up_within_hours: int | None
    next_proof_due_at: Moment | None = Field(description="Until then a proof is demanded.")
    next_backup_due_at: Moment | None = Field(description="Until then a backup is demanded.")
