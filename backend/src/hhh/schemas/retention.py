"""What is kept of a target's backups."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hhh.schemas.base import ApiModel

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
