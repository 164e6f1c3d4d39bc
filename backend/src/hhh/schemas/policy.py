"""How a target is backed up: where to, how often it is tried, and what is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hhh.schemas.base import ApiModel
from hhh.schemas.retention import Retention

_MOST_STORES = 16
_DAY_SECONDS = 86_400


class PolicyFields(ApiModel):
    """The policy of a target. In an update of parts, what is left out stays as it is."""

    storages: Annotated[list[str], Field(max_length=_MOST_STORES)] = Field(
        default=[], description="Names of stores, all written at once; empty is the store `default` alone."
    )
    minimum_copies: Annotated[int, Field(ge=1, le=_MOST_STORES)] | None = Field(
        default=None, description="In how many stores a backup must be to count; null: in all of them."
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=2, description="How often a scheduled backup that failed, and may pass, is tried again."
    )
    time_limit_seconds: Annotated[int, Field(ge=1, le=30 * _DAY_SECONDS)] | None = Field(
        default=None, description="After so long a backup is ended; null: never."
    )
    retention: Retention | None = Field(default=None, description="What is kept; null: everything.")


class PolicyResource(ApiModel):
    """The policy of a target, defaults included."""

    storages: list[str]
    minimum_copies: int | None
    retries: int
    time_limit_seconds: int | None
    retention: Retention | None
