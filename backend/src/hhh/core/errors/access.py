"""Who asks is not known, or may not do what they ask for."""

from __future__ import annotations

from hhh.core.errors.base import HHHError


class InvalidCredentials(HHHError):
    """Unknown user or wrong password; nobody is told which."""

    code = "ERR_INVALID_CREDENTIALS"
    status = 401
    keeps_changes = True


class TokenInvalid(InvalidCredentials):
    """The request came with an API token that is unknown, expired or revoked; nobody is told which."""

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class WrongCode(InvalidCredentials):
    """A code of a second factor is none, or was used before."""

    def __init__(self) -> None:
        super().__init__(
            "The code is wrong, or was used already",
            hint="each is good once, and those of the app for half a minute: is its clock right?",
        )


class PasswordRequired(HHHError):
    """Who is signed in has not shown for a while that it is they, and asks for what a stolen session must not do."""

    code = "ERR_PASSWORD_REQUIRED"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "Your password is needed as well", hint='send it as "current_password", or sign in again just before'
        )


class SecondFactorRequired(HHHError):
    """The password was right, and the user has a second factor, of which no code came with it.

    Args:
        step: what the password was, for a page that asks for the code next; it is in no answer.
    """

    code = "ERR_SECOND_FACTOR_REQUIRED"
    status = 401
    keeps_changes = True

    def __init__(self, *, step: str = "") -> None:
        super().__init__(
            "A code of the second factor is needed", hint='send it as "code": that of the app, or a recovery code'
        )
        self.step = step


class SecondFactorMissing(HHHError):
    """A super admin without a second factor, where the service demands one, may do nothing but set it up."""

    code = "ERR_SECOND_FACTOR_REQUIRED"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "Super admins need a second factor here",
            hint="set it up on the page /account, or with POST /api/v1/auth/second-factor",
        )


class SessionExpired(HHHError):
    """The access token has run out or its session has ended; a refresh or a new login helps."""

    code = "ERR_SESSION_EXPIRED"
    status = 401
    keeps_changes = True


class RateLimited(HHHError):
    """Too many failed sign-ins."""

    code = "ERR_RATE_LIMITED"
    status = 429
    retryable = True
    keeps_changes = True

    def __init__(self, message: str, *, retry_after: int, otherwise: str = "", hint: str | None = None) -> None:
        instead = f", or {otherwise}" if otherwise else ""
        super().__init__(message, hint=hint or f"try again in {retry_after} seconds{instead}")
        #: Seconds until another try is looked at.
        self.retry_after = retry_after
        #: What helps but waiting, if anything does.
        self.otherwise = otherwise

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class SuperAdminRequired(HHHError):
    """Nobody is signed in, or somebody without the role SUPER_ADMIN."""

    code = "ERR_SUPERADMIN_REQUIRED"
    status = 403

    def __init__(self, *, hint: str | None = None) -> None:
        super().__init__("Super Admin access required", hint=hint)


class ScopeMissing(HHHError):
    """The request came with a token that is not good for what it asks."""

    code = "ERR_SCOPE_MISSING"
    status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"The token lacks the scope {scope}", hint="what a token may do is settled when it is made")
        self.scope = scope

    @property
    def details(self) -> dict[str, object]:
        return {"scope": self.scope}


class NetworkNotAllowed(HHHError):
    """The request came with a token from where it may not be used."""

    code = "ERR_NETWORK_NOT_ALLOWED"
    status = 403


class SessionRequired(HHHError):
    """The request came with a token, and asks for what only somebody who is signed in may do."""

    code = "ERR_SESSION_REQUIRED"
    status = 403

    def __init__(self) -> None:
        super().__init__("A token is not enough for this", hint="sign in, in the console or by /api/v1/auth/login")


class CsrfInvalid(HHHError):
    """A mutating request with session cookies lacks the CSRF token of that session."""

    code = "ERR_CSRF_INVALID"
    status = 403

    def __init__(self) -> None:
        super().__init__("CSRF validation failed")
