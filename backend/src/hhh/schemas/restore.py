"""Requests and responses about restores; checks and receipts are also what a restore on the command line prints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hhh.schemas.backup import RunProgress, State
from hhh.schemas.base import ApiModel, Moment
from hhh.schemas.facts import TableFacts

Mode = Literal["new", "replace", "tables"]
#: ``unsafe`` stops a restore; ``unknown`` could not be found out and does not.
CheckStatus = Literal["ok", "warning", "unknown", "unsafe", "acknowledged"]


class Check(ApiModel):
    """One thing that was looked at before a restore."""

    name: str = Field(description="Such as `signature`, `free_space`, `roles`.")
    status: CheckStatus
    message: str
    acknowledge: str | None = Field(
        default=None, description="The name to send in `acknowledge` to go on in spite of it; null: nothing helps."
    )

    @classmethod
    def ok(cls, name: str, message: str) -> Check:
        """It holds."""
        return cls(name=name, status="ok", message=message)

    @classmethod
    def warning(cls, name: str, message: str) -> Check:
        """The operator should know, and nothing stands against the restore."""
        return cls(name=name, status="warning", message=message)

    @classmethod
    def unknown(cls, name: str, message: str) -> Check:
        """It could not be found out."""
        return cls(name=name, status="unknown", message=message)

    @classmethod
    def unsafe(cls, name: str, message: str) -> Check:
        """It stands against the restore, and nothing helps but to change it."""
        return cls(name=name, status="unsafe", message=message)

    @classmethod
    def doubtful(cls, name: str, message: str) -> Check:
        """It stands against the restore until the operator acknowledges the check by its name."""
        return cls(name=name, status="unsafe", message=message, acknowledge=name)


class Plan(ApiModel):
    """What a restore would do, and what stands against it."""

    steps: list[str]
    checks: list[Check]
    expected_seconds: float | None = Field(description="From this installation's own restores; null without any.")

    @property
    def reasons(self) -> list[Check]:
        """What stands against it."""
        return [check for check in self.checks if check.status == "unsafe"]


class Difference(ApiModel):
    """One fact of the backup that what was restored does not have."""

    name: str = Field(description="Such as `rows of public.orders`.")
    expected: str
    found: str


class Receipt(ApiModel):
    """What a restore did, and how it compares with the facts of the backup."""

    source: dict[str, object] = Field(description="The backup's facts in numbers: tables, rows, sequences, …")
    restored: dict[str, object] = Field(description="The same, of what was restored.")
    tables: list[TableFacts] = Field(description="What was restored, table by table.")
    differences: list[Difference]
    errors: list[str] = Field(description="Each error of the tool, in its own words.")
    warnings: list[str]
    duration_seconds: float
    raw_bytes: int = Field(description="Bytes of the dump.")
    bytes_per_second: float
    kept: str | None = Field(description="The name under which the replaced database is kept for undo.")
    kept_until: Moment | None


class RestoreRequest(ApiModel):
    """What to restore, and to where."""

    backup_id: str
    mode: Mode = "new"
    destination: str | None = Field(
        default=None, description="A database name or a path; not for `replace`, which goes where the target is."
    )
    target: str | None = Field(
        default=None, description="The target whose server or folder it goes to; default: the backup's own."
    )
    tables: list[str] = Field(default=[], description="For `tables`: `schema.table` or `schema`, quoted as in SQL.")
    confirm: str | None = Field(default=None, description="For `replace`: the target's name, typed.")
    dry_run: bool = False
    acknowledge: list[str] = Field(default=[], description="Names of checks to go on in spite of.")


class AcceptedRestore(ApiModel):
    """The answer to a restore that was queued."""

    restore_id: str
    status: State


class RestoreResource(ApiModel):
    """A restore, asked for, under way or ended."""

    id: str
    backup_id: str | None
    undo_of: str | None = Field(description="The restore that this one takes back.")
    target: str
    destination_target: str
    mode: Mode
    destination: str
    tables: list[str]
    dry_run: bool
    acknowledge: list[str]
    status: State
    requested_by: str = Field(description="An e-mail address, or `cli`.")
    address: str
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    progress: RunProgress | None
    steps: list[str]
    checks: list[Check]
    expected_seconds: float | None
    receipt: Receipt | None
    error: str | None
    error_code: str | None
    kept: str | None = Field(description="The name under which the replaced database is kept for undo.")
    kept_until: Moment | None
    undone_at: Moment | None


class RestorePage(ApiModel):
    """One page of restores, newest first."""

    items: list[RestoreResource]
    next_cursor: str | None


class TableContents(ApiModel):
    """One table in a backup."""

    schema_name: str
    name: str
    rows: int | None
    definition: str | None


class ContentsResponse(ApiModel):
    """What is in a backup, without restoring it."""

    backup_id: str
    engine: str
    raw_size: int = Field(description="Bytes of the dump.")
    stored_size: int = Field(description="Bytes in the store.")
    facts: dict[str, object] = Field(description="All that is known of the source, beside its tables.")
    tables: list[TableContents]
    entries: list[str] = Field(
        description="The archive's table of contents, `TYPE schema.name, owner`; of SQLite, `type name`. Empty for a "
        "dump that was imported."
    )
