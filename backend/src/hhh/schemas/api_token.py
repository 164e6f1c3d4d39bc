"""Requests and answers about API tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from hhh.models import Scope
from hhh.schemas.auth import Password
from hhh.schemas.base import ApiModel, AskedMoment, Moment

LONGEST_NAME = 100
_NETWORKS = "Where it may be used from: networks and addresses; none: everywhere."

State = Literal["active", "expired", "revoked", "suspended"]


class TokenRequest(ApiModel):
    """A token to make."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, description="By which the audit log names it.")]
    scopes: Annotated[
        Sequence[Scope], Field(min_length=1, description="What it may be used for; none includes another but `admin`.")
    ]
    expires_at: Annotated[AskedMoment | None, Field(description="Null: never.")] = None
    networks: Annotated[Sequence[Annotated[str, Field(max_length=64)]], Field(description=_NETWORKS)] = ()


class TokenCreation(TokenRequest):
    """A token that somebody who is signed in asks for."""

    current_password: Annotated[
        Password | None,
        Field(description="Of whoever asks; needed if they signed in more than 15 minutes ago."),
    ] = None


class TokenResource(ApiModel):
    """A token, as it may be shown."""

    id: str
    name: str
    owner: str = Field(description="The e-mail of whom it acts for; it may do no more than they.")
    state: State = Field(
        description="`suspended`: its owner is no super admin now, so that it is refused until they are."
    )
    scopes: list[Scope]
    networks: list[str] = Field(description=_NETWORKS)
    prefix: str = Field(description="Its first characters, by which its holder knows it.")
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None = Field(description="Known to a few minutes.")
    last_used_address: str | None
    revoked_at: Moment | None


class MadeToken(TokenResource):
    """A token just made."""

    token: str = Field(repr=False, description="The token itself. It is shown here once, and nowhere again.")
