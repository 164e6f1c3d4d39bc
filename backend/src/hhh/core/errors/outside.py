"""What the service works with fails it: databases, tools, stores, scratch, signed files, keys, other services."""

from __future__ import annotations

from hhh.core.errors.base import HHHError


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
