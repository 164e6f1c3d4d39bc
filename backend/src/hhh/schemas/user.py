"""Requests and answers about users."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hhh.schemas.auth import Password, UserResponse
from hhh.schemas.base import ApiModel, Moment

RoleName = Literal["MEMBER", "ADMIN", "SUPER_ADMIN"]
_CURRENT = "The password of whoever asks, so that a stolen session changes nobody."
CurrentPassword = Annotated[Password, Field(description=_CURRENT)]


class UserRequest(ApiModel):
    """A user to make."""

    email: Annotated[str, Field(min_length=1, max_length=254, description="To sign in with; nothing is sent to it.")]
    password: Annotated[Password, Field(description="At least 12 characters, and none that is tried first.")]
    role: RoleName = "MEMBER"
    current_password: CurrentPassword


class UserChange(ApiModel):
    """What to change; what is left out stays. Another password ends all sessions of the user."""

    role: RoleName | None = None
    password: Password | None = None
    current_password: CurrentPassword


class UserRemoval(ApiModel):
    """Who asks for the removal of a user."""

    current_password: CurrentPassword


class UserResource(UserResponse):
    """A user, as super admins see one."""

    second_factor: bool = Field(description="Whether a code is asked for when they sign in.")
    created_at: Moment
