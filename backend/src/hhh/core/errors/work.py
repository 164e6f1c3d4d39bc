"""A backup, restore or verification can't be asked for, or ended without success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hhh.core.errors.base import HHHError


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
