"""The audit log, as it is asked for and told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, PlainSerializer

from hhh.models import Action, Result
from hhh.schemas.base import ApiModel, AskedMoment


def _to_the_microsecond(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds what no name has")
    return text


#: A moment as it was hashed.
ExactMoment = Annotated[AwareDatetime, PlainSerializer(_to_the_microsecond, return_type=str)]
_Sought = Annotated[str, Field(min_length=1, max_length=254), AfterValidator(_printable)]


class AuditFilter(ApiModel):
    """Which events are asked for."""

    model_config = ConfigDict(extra="ignore")

    actor: _Sought | None = Field(
        default=None, description="The e-mail, the name of a token, the id of a schedule, or `account@host`."
    )
    action: _Sought | None = Field(
        default=None,
        description="Such as `backup.delete`; `backup` is everything that is done to backups.",
        examples=["backup.delete"],
    )
    subject: _Sought | None = Field(default=None, description="A name or an id; of a target all that is about it.")
    result: Result | None = None
    since: AskedMoment | None = None
    until: AskedMoment | None = Field(default=None, description="This moment is no longer part of it.")


class AuditQuery(AuditFilter):
    """A page of them."""

    cursor: str | None = None
    limit: int = Field(default=50, ge=1, le=200)


class AuditEventResource(ApiModel):
    """One event."""

    model_config = ConfigDict(from_attributes=True)

    seq: int = Field(description="From 1 on, without gaps.")
    at: ExactMoment
    actor_kind: str = Field(description="`user`, `token`, `schedule`, `cli`, `service`; `nobody` is not signed in.")
    actor: str
    token: str | None = Field(description="Of a token its name; `actor` is its owner.")
    address: str | None
    action: Action | str
    subject: str
    target: str | None
    result: Result | str
    request_id: str | None
    detail: dict[str, Any]
    previous_hash: str = Field(description="Of the event before it; empty of the first one.")
    hash: str
    signature: str = Field(description="Of `hash`, by the signing key of the installation; base64.")


class AuditHeadResource(ApiModel):
    """The end of the chain; noted elsewhere, it shows later whether anything before it was changed or taken away."""

    seq: int
    hash: str


class AuditPage(ApiModel):
    """Events, newest first."""

    items: list[AuditEventResource]
    next_cursor: str | None
    head: AuditHeadResource


class AuditExportEnd(ApiModel):
    """The last line of an export; without it, the export is not whole."""

    events: int
    #: SHA-256 (hexadecimal) over the hashes of those events, one after the other: none is exchanged for another.
    digest: str
    head: AuditHeadResource
    #: What the export was narrowed to; empty: nothing.
    narrowed_to: dict[str, str]
    exported_at: ExactMoment
    public_key: str
    #: Of all of that, by that key.
    signature: str


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What came of checking a chain."""

    ok: bool
    #: That are as they were written, from the first one on.
    events: int
    #: Where those end, as ``SEQ:HASH``.
    head: str
    #: Where the chain breaks.
    broken_at: int | None = None
    #: Why.
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEndVerdict:
    """Whether the log has an end still that a backup of the own database noted."""

    #: The backup, and where it is.
    by: str
    #: As ``SEQ:HASH``.
    head: str
    #: When the backup began.
    at: datetime
    ok: bool
    #: Why not; or why it is well all the same.
    said: str | None = None
