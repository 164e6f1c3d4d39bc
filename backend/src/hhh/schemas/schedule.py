"""Requests and responses about schedules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hhh.schemas.base import ApiModel, Moment
from hhh.schemas.verification import Level

_CRON = (
    "Minute, hour, day of the month, month, day of the week; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`."
)
_VERIFY = "The level that the target's newest good backup is verified at; null: a backup is taken."
_JITTER = "Each run begins up to so much later, always the same for one instant, and never as late as the next one."
_WORDS = "When the line runs, by a clock of its time zone: `each Monday and Thursday at 04:00`."

CronLine = Annotated[str, Field(max_length=254, description=_CRON)]
TimeZone = Annotated[str, Field(max_length=64, description="A name of the IANA database, e.g. `Europe/Berlin`.")]
Jitter = Annotated[int, Field(ge=0, le=86_400, description=_JITTER)]
Verify = Annotated[Level | None, Field(description=_VERIFY)]


class ScheduleRequest(ApiModel):
    """A schedule to set up."""

    target: Annotated[
        str, Field(max_length=63, description="The name of a target; `app` is the service's own database.")
    ]
    cron: CronLine
    time_zone: TimeZone = "UTC"
    jitter_seconds: Jitter = 0
    verify: Verify = None


class ScheduleChange(ApiModel):
    """What to change; what is left out stays, and what is null, but for `verify`."""

    cron: CronLine | None = None
    time_zone: TimeZone | None = None
    jitter_seconds: Jitter | None = None
    verify: Verify = None


class ScheduleResource(ApiModel):
    """When a target is backed up, or its newest backup verified."""

    id: str
    target: str
    verify: Verify
    cron: str
    cron_in_words: str = Field(description=_WORDS)
    time_zone: str
    jitter_seconds: int
    paused: bool
    next_run_at: Moment | None = Field(description="When the next run begins, jitter included; null while paused.")
    next_runs: list[Moment] = Field(description="The instants of the next five runs, without jitter.")
    last_run_at: Moment | None = Field(description="The instant for which a job was begun last.")
    last_job_id: str | None = Field(description="The id of that backup, or of that verification.")
    last_job_status: str | None = Field(
        description="What has become of it, as `GET /api/v1/backups/{id}` and `GET /api/v1/verifications/{id}` say; "
        "null where it is no longer there."
    )
    last_skipped_at: Moment | None = Field(description="When a run was left out last.")
    last_skipped_reason: str | None
    last_backup_at: Moment | None = Field(description="When the target's newest successful backup was begun.")
    last_verified_at: Moment | None = Field(
        description="When the target's newest successful verification of that level, or a higher one, was asked for; "
        "null where backups are taken."
    )
    overdue: bool = Field(
        description="Whether a run should have made a newer backup, or verification, by now: a period, at most 6 "
        "hours, has passed since."
    )
    created_at: Moment


class SchedulePreview(ApiModel):
    """What a line of cron means."""

    cron: str
    cron_in_words: str = Field(description=_WORDS)
    time_zone: str
    next_runs: list[Moment]
    clock_changes: list[str] = Field(
        description="What changes of the clock do to it within a year: times that are skipped, or come twice."
    )
