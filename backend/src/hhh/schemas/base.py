"""What all requests and responses share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer

from hhh.core.clock import isoformat

#: A moment as the runbook prints it: ISO 8601, UTC, to the second, ``+00:00``.
Moment = Annotated[AwareDatetime, PlainSerializer(isoformat, return_type=str)]


class ApiModel(BaseModel):
    """Base of what the API takes and answers: nothing unknown goes in, nothing changes on the way."""

    model_config = ConfigDict(extra="forbid", frozen=True)
