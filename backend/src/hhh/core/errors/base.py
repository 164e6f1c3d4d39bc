"""The base of all errors, and those that anything may raise."""

from __future__ import annotations

from typing import ClassVar


class HHHError(Exception):
    """Base of all errors of this service.

    Args:
        message: one sentence for the operator, without secrets.
        hint: what to do about it, if that is known.
    """

    #: The code of the API's error shape.
    code: ClassVar[str] = "ERR_INTERNAL"
    #: The HTTP status the API answers with.
    status: ClassVar[int] = 500
    #: Whether the same work may succeed when it is tried again without a change by the operator.
    retryable: ClassVar[bool] = False
    #: Whether what was written before the error stays (a failed sign-in must be counted).
    keeps_changes: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def is_own_trouble(self) -> bool:
        """Whether it is the service's, or that of what it needs, and not of what was asked for."""
        return self.status >= HHHError.status

    @property
    def headers(self) -> dict[str, str]:
        """Extra headers of the HTTP answer."""
        return {}

    @property
    def details(self) -> dict[str, object]:
        """Further members of the answer's ``error`` object."""
        return {}


class ConfigurationError(HHHError):
    """A setting is missing, unknown or of the wrong form."""


class InvalidInput(HHHError):
    """The caller's input can't be used."""

    code = "ERR_VALIDATION"
    status = 422


class NotFound(HHHError):
    """What was asked for does not exist."""

    code = "ERR_NOT_FOUND"
    status = 404


class InUse(HHHError):
    """What was to be removed or changed is needed by something else."""

    code = "ERR_IN_USE"
    status = 409
