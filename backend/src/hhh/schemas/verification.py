"""Requests and responses about verifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hhh.models import VerificationStatus
from hhh.schemas.backup import RunProgress
from hhh.schemas.base import ApiModel, Moment
from hhh.schemas.facts import TableFacts
from hhh.schemas.restore import Check, Difference

#: Each includes those before it.
Level = Literal["stored", "readable", "proven"]
#: The levels, the least first.
LEVELS: tuple[Level, ...] = ("stored", "readable", "proven")
_HEIGHTS: Mapping[str | None, int] = {None: 0} | {level: height for height, level in enumerate(LEVELS, start=1)}
Status = Literal["queued", "running", "success", "failed", "inconclusive", "cancelled"]


@dataclass(frozen=True, slots=True)
class VerificationFilter:
    """What a listing of verifications is narrowed to; None means no limit."""

    target: str | None = None
    backup_id: str | None = None
    status: VerificationStatus | None = None
    level: Level | None = None


def reaches(level: str | None, asked: str | None) -> bool:
    """Whether a level includes another one; each includes None, which is none of them."""
    return _HEIGHTS[level] >= _HEIGHTS[asked]


class VerifyRequest(ApiModel):
    """How thoroughly to look at a backup."""

    level: Level = Field(
        default="proven",
        description="`stored`: every copy is read back and is what was stored. `readable`: it is opened and read to "
        "its end as what it is. `proven`: it is restored into a throw-away database and compared with the source.",
    )


class AcceptedVerification(ApiModel):
    """The answer to a verification that was queued."""

    verification_id: str
    status: Status


class CheckedCopy(ApiModel):
    """One copy that was read back."""

    storage: str
    status: Literal["good", "damaged", "missing", "unreachable"]
    size: int = Field(description="Bytes of all its objects, as stored.")
    problem: str | None = None

    @property
    def is_bad(self) -> bool:
        """Whether it is no longer what was stored; of one out of reach nobody knows."""
        return self.status in {"damaged", "missing"}


class Asserted(ApiModel):
    """One query of the operator, asked of what was restored."""

    sql: str
    holds: bool
    found: str = Field(description="What it returned, or why it did not.")
    seconds: float


class VerificationResult(ApiModel):
    """What a verification found."""

    reached: Level | None = Field(default=None, description="The highest level that the backup reached.")
    copies: list[CheckedCopy] = Field(default=[])
    checks: list[Check] = Field(default=[], description="Of the machine and the place that it was restored to.")
    differences: list[Difference] = Field(default=[])
    assertions: list[Asserted] = Field(default=[])
    errors: list[str] = Field(default=[], description="What speaks against the backup, in the words of the tools.")
    lacking: list[str] = Field(
        default=[], description="What this machine lacks to find out more, and what helps; makes it inconclusive."
    )
    warnings: list[str] = Field(default=[])
    compared: list[str] = Field(
        default=[], description="What was compared with the source, in words, such as `3 tables, 120 rows`."
    )
    tables: list[TableFacts] = Field(default=[], description="What was restored, table by table.")
    place: str | None = Field(default=None, description="What it was restored into, with its version.")
    isolation: list[str] = Field(default=[], description="What the restored code could not reach there.")
    restored_from: str | None = Field(default=None, description="The store whose copy was read.")
    restore_seconds: float | None = Field(default=None, description="From the first byte read to the last row there.")
    raw_bytes: int | None = Field(default=None, description="Bytes of the dump.")
    restore_bytes_per_second: float | None = None

    @property
    def bad_copies(self) -> list[CheckedCopy]:
        """Those that have to be made again, where another one is good."""
        return [copy for copy in self.copies if copy.is_bad]

    @property
    def has_good_copy(self) -> bool:
        """Whether one of them, at least, is what was stored."""
        return any(copy.status == "good" for copy in self.copies)

    @property
    def failed_assertions(self) -> list[Asserted]:
        """Those that do not hold."""
        return [each for each in self.assertions if not each.holds]

    @property
    def speaks_against_content(self) -> bool:
        """Whether something is wrong with what the backup holds, and not with its copies alone."""
        return bool(self.errors or self.differences or self.failed_assertions)


class VerificationResource(VerificationResult):
    """A verification, asked for, under way or ended."""

    id: str
    backup_id: str
    target: str
    backup_file: str
    backup_created_at: Moment
    level: Level
    status: Status
    requested_by: str = Field(description="An e-mail address, `cli`, `policy`, `schedule` or `read-back`.")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    duration_seconds: float | None
    progress: RunProgress | None
    error: str | None
    error_code: str | None


class VerificationPage(ApiModel):
    """One page of verifications, newest first."""

    items: list[VerificationResource]
    next_cursor: str | None
