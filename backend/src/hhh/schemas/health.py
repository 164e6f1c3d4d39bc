"""How a process is, told to anybody who asks."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from hhh.schemas.base import ApiModel

_OK = 200
_UNAVAILABLE = 503


class Health(ApiModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Needed(StrEnum):
    """What a process needs."""

    OWN_DATABASE = "own_database"  #: it can be asked
    MIGRATIONS = "migrations"  #: it is of this version
    QUEUE = "queue"  #: jobs can be handed over; not while the process is stopping


class Ready(ApiModel):
    """Whether the process can do its work."""

    status: Literal["ready", "not-ready"]
    missing: list[Needed] = Field(description="What it lacks; nothing where it is ready.")

    @property
    def http_status(self) -> int:
        """What a load balancer goes by."""
        return _UNAVAILABLE if self.missing else _OK
