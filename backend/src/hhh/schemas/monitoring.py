"""How databases are, in one look at each: what `hhh monitor` prints."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from hhh.schemas.base import ApiModel, Moment
from hhh.schemas.recoverability import RecoverabilityState


class MonitoredTarget(ApiModel):
    """One target."""

    # A command of an older version reads it as well.
    model_config = ConfigDict(extra="ignore", frozen=True)

    target: str
    reachable: bool = Field(description="Whether it could be opened just now, and be backed up from there.")
    unreachable_because: str | None
    healthy: bool = Field(description="Whether `state` is `healthy`; whether it can be reached is another matter.")
    fine: bool = Field(
        description="Whether nobody needs to see to it now: it can be reached, and is healthy or is `unproven`, has a "
        "backup, and no proof is demanded by its policy."
    )
    state: RecoverabilityState
    reasons: list[str] = Field(description="Why it is not healthy, each with what to do; empty where it is.")
    backups: int = Field(description="How many of its backups are stored.")
    used_bytes: int = Field(description="Bytes of them as stored, one copy each.")
    last_backup_at: Moment | None = Field(description="When the newest good backup was begun.")
    last_proven_at: Moment | None = Field(description="When the newest backup was begun that a restore has proven.")
