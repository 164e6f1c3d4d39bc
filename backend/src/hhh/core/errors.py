"""Every error that HHH Backup raises on purpose.

* HHHError
  x ConfigurationError
  x InvalidInput
  x NotFound
  x InUse
  x InvalidCredentials
    + TokenInvalid
    + WrongCode
  x PasswordRequired
  x SecondFactorRequired
  x SecondFactorMissing
  x SessionExpired
  x RateLimited
  x SuperAdminRequired
  x ScopeMissing
  x NetworkNotAllowed
  x SessionRequired
  x CsrfInvalid
  x BackupInProgress
  x AlreadyEnded
  x BackupProtected
  x BackupFailed
  x RestoreUnsafe
  x RestoreFailed
  x VerificationFailed
  x Cancelled
  x TimedOut
  x Interrupted
  x LeaseLost
  x DatabaseUnavailable
    + MigrationsPending
    + OutcomeUnknown
    + Unrecorded
  x EngineError
    + TargetUnreachable
    + TargetBusy
    + SourceUnreadable
    + ToolMissing
    + ToolFailed
    + Lacking
  x StorageError
    + StorageUnavailable
    + StorageFull
    + ObjectExists
    + ObjectMissing
    + ArtifactDamaged
  x ScratchError
  x ManifestInvalid
  x ReportInvalid
  x IdentityMissing
  x ServiceFailed

An error knows its code, its HTTP status and whether a retry may help; one handler renders it as JSON
(`hhh.web.errors`), another as an exit code (`hhh.cli`). A message says what failed, with the tool's own
last line, and what to do; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class BackupInProgress(HHHError):
    """The target has an active backup or restore."""

    code = "ERR_BACKUP_IN_PROGRESS"
    status = 409
    retryable = True


class AlreadyEnded(HHHError):
    """A job was to be cancelled that waits and runs no more."""

    code = "ERR_ALREADY_ENDED"
    status = 409


class BackupProtected(HHHError):
    """A backup that is not to be lost by mistake was asked to be removed without its name."""

    code = "ERR_BACKUP_PROTECTED"
    status = 409

    def __init__(self, message: str, *, reasons: Sequence[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        #: Each a rule that keeps it, such as ``pinned``.
        self.reasons = tuple(reasons)

    @property
    def details(self) -> dict[str, object]:
        return {"reasons": list(self.reasons)}


class BackupFailed(HHHError):
    """A backup ended without a stored, recorded artifact."""

    code = "ERR_BACKUP_FAILED"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Backup failed: {reason}")


class RestoreUnsafe(HHHError):
    """A restore was not begun, or touched nothing that was there: checks stand against it."""

    code = "ERR_RESTORE_UNSAFE"
    status = 409

    def __init__(self, reasons: Sequence[Mapping[str, object]], *, hint: str | None = None) -> None:
        said = "; ".join(str(reason["message"]) for reason in reasons)
        super().__init__(f"The restore is not safe: {said}", hint=hint)
        #: Each a failed check: ``name``, ``status``, ``message``, ``acknowledge``.
        self.reasons = tuple(reasons)

    @property
    def details(self) -> dict[str, object]:
        return {"reasons": [dict(reason) for reason in self.reasons]}


class RestoreFailed(HHHError):
    """A restore ended with an error or a difference; what was there before is as it was.

    Args:
        message: as of any error.
        hint: as of any error.
        receipt: `hhh.schemas.restore.Receipt` as a mapping, where the restore came so far.
    """

    code = "ERR_RESTORE_FAILED"

    def __init__(self, message: str, *, hint: str | None = None, receipt: Mapping[str, object] | None = None) -> None:
        super().__init__(message, hint=hint)
        #: What was restored, with its errors and differences; None where nothing was.
        self.receipt = receipt


class VerificationFailed(HHHError):
    """A backup is not what it should be, or what was restored from it is not what was backed up."""

    code = "ERR_VERIFICATION_FAILED"


class Cancelled(HHHError):
    """The run was cancelled by the operator."""


class TimedOut(HHHError):
    """The run took longer than it may; it would again."""


class Interrupted(HHHError):
    """The run was ended because its process shuts down."""

    status = 503
    retryable = True


class LeaseLost(HHHError):
    """The job was given to somebody else, or ended, while this worker was on it; it may finalise nothing."""


class DatabaseUnavailable(HHHError):
    """The service's own database can't be reached or refused the work."""

    code = "ERR_DATABASE_UNAVAILABLE"
    status = 503
    retryable = True


class MigrationsPending(DatabaseUnavailable):
    """The own database is older than this version of the service."""

    code = "ERR_MIGRATIONS_PENDING"


class OutcomeUnknown(DatabaseUnavailable):
    """The own database went away while a stored backup was recorded: only it can tell whether it was.

    Args:
        message: as of any error.
        withdraw: removes what is stored, for whoever learns that the backup was not recorded.
    """

    def __init__(self, message: str, *, withdraw: Callable[[], None]) -> None:
        super().__init__(message)
        self.withdraw = withdraw


class Unrecorded(DatabaseUnavailable):
    """What a job had to do is done, but the own database did not take the record of it.

    Args:
        message: as of any error.
        record: writes it; may be called until it does.
    """

    def __init__(self, message: str, *, record: Callable[[], None]) -> None:
        super().__init__(message)
        self.record = record


class EngineError(HHHError):
    """The database to back up, or the tool for it, failed."""


class TargetUnreachable(EngineError):
    """No connection to the target: wrong address, wrong password, server down."""

    retryable = True


class TargetBusy(EngineError):
    """Locks that the dump needs were not granted in time."""

    retryable = True


class SourceUnreadable(EngineError):
    """The database is there but is corrupt, or not of its kind, or may not be read."""


class ToolMissing(EngineError):
    """No program of the right version was found."""


class ToolFailed(EngineError):
    """A program ended without success; the message ends with its own last line."""

    retryable = True


class Lacking(EngineError):
    """What this machine lacks to look at a backup, against which nothing is said; the hint says what to install."""

    code = "ERR_VERIFICATION_INCONCLUSIVE"


class StorageError(HHHError):
    """A store failed."""


class StorageUnavailable(StorageError):
    """The store does not answer, or answers with an error."""

    retryable = True


class StorageFull(StorageError):
    """No space is left in the store."""


class ObjectExists(StorageError):
    """A conditional create found an object under that key."""


class ObjectMissing(StorageError):
    """No object under that key."""


class ArtifactDamaged(StorageError):
    """What the store gives is not what was stored: another size, another hash, or it can't be unpacked."""

    code = "ERR_RESTORE_UNSAFE"
    status = 409


class ScratchError(HHHError):
    """The scratch folder can't be written, or is full."""


class ManifestInvalid(HHHError):
    """A manifest is damaged, of an unknown version, or its signature does not hold."""


class ReportInvalid(HHHError):
    """A proof report is none, was changed, is of an unknown version, or its signature does not hold."""


class IdentityMissing(HHHError):
    """A backup is encrypted, and no identity is here that opens it."""

    code = "ERR_RESTORE_UNSAFE"
    status = 409


class ServiceFailed(HHHError):
    """A service on another machine, which a command asked, can't be reached or refused."""

    retryable = True
