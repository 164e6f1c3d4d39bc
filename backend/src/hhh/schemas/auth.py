"""Requests and answers of signing in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

#: Characters of a password that are looked at; more would only cost time.
LONGEST_PASSWORD = 1024


class LoginRequest(BaseModel):
    """Who wants to sign in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=LONGEST_PASSWORD)]


class UserResponse(BaseModel):
    """A user, as the API shows one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    email: str
    role: Literal["MEMBER", "ADMIN", "SUPER_ADMIN"]


class HealthResponse(BaseModel):
    """The process answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["ok"] = "ok"
