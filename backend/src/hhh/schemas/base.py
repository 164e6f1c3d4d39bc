"""What all requests and responses share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer

from hhh.core.clock import isoformat

#: A moment as the runbook prints it: ISO 8601, UTC, to the second, ``+00:00``.
Moment = Annotated[AwareDatetime, PlainSerializer(isoformat, return_type=str)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first or last hours of the calendar, with an offset
        raise ValueError("a moment that UTC has no date for") from None


#: A moment that a client names, with its offset from UTC.
AskedMoment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class ApiModel(BaseModel):
    """Base of what the API takes and answers: nothing unknown goes in, nothing changes on the way."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AcceptedJob(ApiModel):
    """The answer to a job that makes nothing to be looked at by its id."""

    job_id: str
    status: Literal["queued"] = "queued"
