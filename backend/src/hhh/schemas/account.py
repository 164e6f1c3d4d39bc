"""Requests and answers of one's own account: second factor, sessions, password."""

from __future__ import annotations

from pydantic import Field

from hhh.schemas.auth import Code, Password
from hhh.schemas.base import ApiModel, Moment


class SecondFactorRequest(ApiModel):
    """Begins the set-up of a second factor."""

    current_password: Password


class SecondFactorResponse(ApiModel):
    """A second factor that is being set up; its secret is told once."""

    secret: str = Field(description="Base32, for an app that takes no QR code.")
    uri: str = Field(description="`otpauth://…`, what a QR code for an app has in it.")


class CodeRequest(ApiModel):
    """Shows that the app has the secret."""

    code: Code


class SecondFactorChange(ApiModel):
    """Takes the second factor away, or asks for other recovery codes."""

    current_password: Password
    code: Code


class RecoveryCodes(ApiModel):
    """Each stands in for a code once; they are told once."""

    recovery_codes: list[str]


class PasswordChange(ApiModel):
    """Another password of one's own."""

    current_password: Password
    new_password: Password


class SessionResource(ApiModel):
    """Where somebody is signed in."""

    id: str
    created_at: Moment
    last_seen_at: Moment | None = Field(description="To a few minutes; null for a session of an older version.")
    expires_at: Moment
    address: str | None = Field(description="Where it was begun.")
    client: str | None = Field(description="What it was begun with: its `User-Agent`.")
    current: bool = Field(description="Whether it is the one that asks.")


class SessionsEnded(ApiModel):
    """How many sessions were ended."""

    ended: int
