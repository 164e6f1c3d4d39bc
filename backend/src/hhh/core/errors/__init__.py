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
last line, and what to do; it never holds a secret. All are imported from here; there is a module for each subject.
"""

from __future__ import annotations

from hhh.core.errors.access import (
    CsrfInvalid,
    InvalidCredentials,
    NetworkNotAllowed,
    PasswordRequired,
    RateLimited,
    ScopeMissing,
    SecondFactorMissing,
    SecondFactorRequired,
    SessionExpired,
    SessionRequired,
    SuperAdminRequired,
    TokenInvalid,
    WrongCode,
)
from hhh.core.errors.base import (
    ConfigurationError,
    HHHError,
    InUse,
    InvalidInput,
    NotFound,
)
from hhh.core.errors.outside import (
    ArtifactDamaged,
    EngineError,
    IdentityMissing,
    Lacking,
    ManifestInvalid,
    ObjectExists,
    ObjectMissing,
    ReportInvalid,
    ScratchError,
    ServiceFailed,
    SourceUnreadable,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TargetBusy,
    TargetUnreachable,
    ToolFailed,
    ToolMissing,
)
from hhh.core.errors.own_database import (
    DatabaseUnavailable,
    MigrationsPending,
    OutcomeUnknown,
    Unrecorded,
)
from hhh.core.errors.work import (
    AlreadyEnded,
    BackupFailed,
    BackupInProgress,
    BackupProtected,
    Cancelled,
    Interrupted,
    LeaseLost,
    RestoreFailed,
    RestoreUnsafe,
    TimedOut,
    VerificationFailed,
)

__all__ = [
    "AlreadyEnded",
    "ArtifactDamaged",
    "BackupFailed",
    "BackupInProgress",
    "BackupProtected",
    "Cancelled",
    "ConfigurationError",
    "CsrfInvalid",
    "DatabaseUnavailable",
    "EngineError",
    "HHHError",
    "IdentityMissing",
    "InUse",
    "Interrupted",
    "InvalidCredentials",
    "InvalidInput",
    "Lacking",
    "LeaseLost",
    "ManifestInvalid",
    "MigrationsPending",
    "NetworkNotAllowed",
    "NotFound",
    "ObjectExists",
    "ObjectMissing",
    "OutcomeUnknown",
    "PasswordRequired",
    "RateLimited",
    "ReportInvalid",
    "RestoreFailed",
    "RestoreUnsafe",
    "ScopeMissing",
    "ScratchError",
    "SecondFactorMissing",
    "SecondFactorRequired",
    "ServiceFailed",
    "SessionExpired",
    "SessionRequired",
    "SourceUnreadable",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "SuperAdminRequired",
    "TargetBusy",
    "TargetUnreachable",
    "TimedOut",
    "TokenInvalid",
    "ToolFailed",
    "ToolMissing",
    "Unrecorded",
    "VerificationFailed",
    "WrongCode",
]
