"""Requests and responses about targets."""

from __future__ import annotations

from pydantic import Field, SecretStr

from hhh.schemas.base import ApiModel, Moment
from hhh.schemas.policy import PolicyFields, PolicyResource
from hhh.schemas.verification import Level


class TargetRequest(PolicyFields):
    """A database to register."""

    name: str = Field(description="Lower-case letters, digits, `-`, `_`, `.`; at most 63 characters.")
    url: SecretStr = Field(description="`postgresql://user:password@host/database` or `sqlite:////absolute/path`.")


class TargetUpdate(PolicyFields):
    """What is to be another. Of `app` only the policy can be."""

    url: SecretStr | None = Field(
        default=None,
        description="Left out, or null: as it is. Without its password, or with `***` in its place, the one that is "
        "known is kept, if user, server and the way to it stay the same; `user:@host` says that none is needed.",
    )


class TargetResource(PolicyResource):
    """A registered database; its URL comes without the password, or is null with the problem that it has."""

    name: str
    engine: str
    url: str | None
    problem: str | None = Field(description="Why the URL can't be opened, e.g. with another secret key.")
    created_at: Moment | None
    updated_at: Moment | None


class RemovedSchedule(ApiModel):
    """A schedule that went with its target, as it can be made again."""

    cron: str
    time_zone: str
    paused: bool
    verify: Level | None


class RemovedTarget(ApiModel):
    """What became of a target that is registered no more."""

    name: str
    backups_kept: int = Field(description="Backups of it that are stored; they can be restored as before.")
    policy_kept: bool = Field(description="Whether its retention goes on; it counts again for a target of that name.")
    schedules_removed: list[RemovedSchedule]


class TestedTarget(ApiModel):
    """How a try to open a target ended."""

    name: str
    ok: bool
    description: str | None = Field(description="What it is, with the server's version.")
    size: int | None = Field(description="Bytes of the database, as its server counts them.")
    error: str | None
