"""What is kept of a target's backups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hhh.schemas.base import ApiModel, Moment

#: How many backups, or periods, a rule keeps.
Count = Annotated[int, Field(ge=1, le=100_000)]


class Retention(ApiModel):
    """The rules of one target. A backup is kept if any rule keeps it; without any rule everything is kept.

    Only successful backups count. Of the periods (in UTC) each keeps the newest backup of so many of them.
    """

    keep_last: Count | None = Field(default=None, description="The newest so many.")
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = Field(default=None, description="ISO weeks.")
    monthly: Count | None = None
    yearly: Count | None = None
    maximum_age_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="What is older is dropped, whichever rule would keep it."
    )
    maximum_total_bytes: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The oldest are dropped until the rest takes no more than this, in one store."
    )
    minimum_kept: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1, description="So many of the newest good ones are never dropped, whatever the limits say."
    )


class VerdictResource(ApiModel):
    """What becomes of one backup."""

    backup_id: str
    backup_file: str
    created_at: Moment
    stored_size: int
    keep: bool
    reasons: list[str] = Field(description="Every rule that keeps it, or the one that drops it.")


class CopyLeft(ApiModel):
    """A copy of a backup that is being removed."""

    storage: str
    status: str
    error: str | None = Field(description="Why it is still there.")


class RemovalResource(ApiModel):
    """A backup that is being removed; nothing restores from it."""

    backup_id: str
    backup_file: str
    created_at: Moment
    deleted_at: Moment
    deleted_by: str
    copies: list[CopyLeft]


class RetentionPlan(ApiModel):
    """What a prune of a target would do now, and what earlier ones could not."""

    target: str
    rules: Retention | None = Field(description="The rules that decide; null: there are none, and everything is kept.")
    saved: bool = Field(description="Whether they are the target's own, and not only tried.")
    kept: int
    dropped: int
    dropped_bytes: int
    backups: list[VerdictResource] = Field(description="Successful ones, newest first. Others count for nothing.")
    removals: list[RemovalResource] = Field(description="Dropped before, and not gone yet.")


class DeleteRequest(ApiModel):
    """How to remove a backup."""

    force: str | None = Field(default=None, description="Its file name, where it is to go though it is protected.")


class AcceptedDeletion(ApiModel):
    """The answer to a removal: it is gone from every listing, and its objects follow."""

    backup_id: str
    status: Literal["deleting"] = "deleting"
