"""Requests and answers of signing in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from hhh.models import Scope
from hhh.schemas.base import ApiModel

#: Characters. More would not make a password better, and each costs time when it is hashed.
LONGEST_PASSWORD = 1024
LONGEST_CODE = 40

Password = Annotated[SecretStr, Field(min_length=1, max_length=LONGEST_PASSWORD)]
Code = Annotated[
    SecretStr,
    Field(min_length=1, max_length=LONGEST_CODE, description="Of the second factor: from the app, or a recovery code."),
]


class LoginRequest(ApiModel):
    """Who wants to sign in."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=LONGEST_PASSWORD)]
    code: Code | None = None


class UserResponse(ApiModel):
    """A user, as the API shows one."""

    id: str
    email: str
    role: Literal["MEMBER", "ADMIN", "SUPER_ADMIN"]


class CallerResponse(UserResponse):
    """Who asks."""

    second_factor: bool = Field(description="Whether a code is asked for when they sign in.")

    #: Of a request with an API token, what that may be used for; null of one with a session.
    scopes: Sequence[Scope] | None


class HealthResponse(ApiModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
