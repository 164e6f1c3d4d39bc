"""Requests and responses about targets."""

from __future__ import annotations

from pydantic import Field, SecretStr

from hhh.schemas.base import ApiModel, Moment


class TargetRequest(ApiModel):
    """A database to register."""

    name: str = Field(description="Lower-case letters, digits, `-`, `_`, `.`; at most 63 characters.")
    url: SecretStr = Field(description="`postgresql://user:password@host/database` or `sqlite:////absolute/path`.")


class TargetResource(ApiModel):
    """A registered database; its URL comes without the password, or is null with the problem that it has."""

    name: str
    engine: str
    url: str | None
    problem: str | None = Field(description="Why the URL can't be opened, e.g. with another secret key.")
    created_at: Moment | None
