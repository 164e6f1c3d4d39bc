"""Requests and answers of signing in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from hhh.schemas.base import ApiModel

#: Characters. More would not make a password better, and each costs time when it is hashed.
LONGEST_PASSWORD = 1024


class LoginRequest(ApiModel):
    """Who wants to sign in."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=LONGEST_PASSWORD)]


class UserResponse(ApiModel):
    """A user, as the API shows one."""

    id: str
    email: str
    role: Literal["MEMBER", "ADMIN", "SUPER_ADMIN"]


class HealthResponse(ApiModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
