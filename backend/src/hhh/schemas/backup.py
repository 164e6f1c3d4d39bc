"""Requests and responses about backups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, Field, computed_field

from hhh.core.run import stage_in_words
from hhh.models import BackupStatus
from hhh.schemas.base import ApiModel, AskedMoment, Moment

State = Literal["queued", "running", "success", "failed", "cancelled"]


class BackupSort(StrEnum):
    """The order of a listing of backups."""

    NEWEST = "newest"
    OLDEST = "oldest"
    LARGEST = "largest"  #: by bytes as stored; only those that are
    SMALLEST = "smallest"  #: the same


@dataclass(frozen=True, slots=True)
class BackupFilter:
    """What a listing of backups is narrowed to; None means no limit."""

    target: str | None = None
    status: BackupStatus | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    #: Whether a restore has proven them.
    proven: bool | None = None
    pinned: bool | None = None


class BackupQuery(ApiModel):
    """Which backups are listed, and in which order."""

    model_config = ConfigDict(extra="ignore")

    target: str | None = None
    status: State | None = None
    created_from: AskedMoment | None = None
    created_before: AskedMoment | None = None
    proven: bool | None = Field(default=None, description="Whether a restore has proven them.")
    pinned: bool | None = None
    sort: BackupSort = Field(default=BackupSort.NEWEST, description="By size, only those that are stored.")
    cursor: str | None = None
    limit: int = Field(default=50, ge=1, le=200)

    @property
    def narrowed(self) -> BackupFilter:
        """What it narrows the listing to."""
        status = self.status and BackupStatus(self.status.upper())
        return BackupFilter(
            self.target, status, self.created_from, self.created_before, proven=self.proven, pinned=self.pinned
        )


class TriggerRequest(ApiModel):
    """What to back up."""

    target: str = Field(default="app", description="The name of a target; `app` is the service's own database.")


class TriggerResponse(ApiModel):
    """The runbook's answer to a trigger."""

    success: Literal[True] = True
    message: Literal["Backup completed successfully"] = "Backup completed successfully"
    backup_file: str
    backup_size: int = Field(description="Bytes as stored.")
    backup_id: str


class AcceptedResponse(ApiModel):
    """The answer to a trigger that does not wait."""

    backup_id: str
    status: State


class LogEntry(ApiModel):
    """One finished backup, as the runbook has it."""

    id: str
    backup_file: str
    backup_size: int
    status: Literal["BackupStatus.SUCCESS", "BackupStatus.FAILED"]
    created_at: Moment


class LatestBackup(ApiModel):
    """The newest successful backup."""

    file: str
    size: int
    created_at: Moment


class StatsResponse(ApiModel):
    """Totals over finished backups."""

    total_backups: int
    successful_backups: int
    failed_backups: int
    total_backup_size: int
    latest_backup: LatestBackup | None


class CopyResource(ApiModel):
    """One copy of a backup's object."""

    storage: str
    key: str
    status: str = Field(description="`stored`, `missing` (to be made again) or `undeletable` (of a removed backup).")
    size: int
    sha256: str
    error: str | None = Field(default=None, description="Why it is not stored.")


class Verified(ApiModel):
    """The highest level of proof that a backup reached."""

    level: str
    at: Moment


class RunProgress(ApiModel):
    """How far a running job has come; written at most twice a second."""

    stage: str = Field(description="Such as `snapshot`, `stream`, `finalise`.")
    raw_bytes: int = Field(default=0, description="Bytes of the dump read so far; of a restore, of its object.")
    stored_bytes: int = Field(default=0, description="Bytes written to each store so far.")
    expected_bytes: int | None = Field(default=None, description="An estimate of what `raw_bytes` will be.")
    bytes_per_second: int | None = Field(default=None, description="Of `raw_bytes`, over the last seconds.")
    percent: float | None = Field(default=None, description="0 to 100; null where nothing is expected.")
    seconds_left: int | None = Field(default=None, description="Of this stage, at this rate.")
    attempt: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doing(self) -> str:
        """The stage in words."""
        return stage_in_words(self.stage)


class Retry(ApiModel):
    """What a job waits for that is to be tried again."""

    attempt: int = Field(description="The number of the next attempt.")
    not_before: Moment | None = Field(description="It begins no sooner; null: as soon as a worker is free.")
    error: str = Field(description="How the last attempt ended.")
    retries_left: int = Field(description="How often it may still fail and be tried again.")


class BackupResource(ApiModel):
    """A backup with everything its manifest holds."""

    id: str
    target: str
    backup_file: str
    status: State
    stored_size: int
    raw_size: int | None
    sha256: str | None
    created_at: Moment
    finished_at: Moment | None
    duration_seconds: float | None = Field(
        description="Of its last attempt; null until that has ended, and of backups that were found in a store."
    )
    error: str | None
    progress: RunProgress | None
    retry: Retry | None
    copies: list[CopyResource]
    manifest: dict[str, Any] | None
    pinned: bool
    verified: Verified | None


class BackupPage(ApiModel):
    """One page of backups."""

    items: list[BackupResource]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null on the last one.")
