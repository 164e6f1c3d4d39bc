"""The errors that the API answers with: when, and what that looks like."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hhh.core import errors

_NO_NAME = re.compile(r"[^A-Za-z0-9]+")
_REQUEST_ID = "6f1c9d1e2b7a4f0c8d3e5a7b9c1d2e3f"


@dataclass(frozen=True)
class Possible:
    """One error, in an example.

    Args:
        kind: its class.
        when: it is answered, as a clause.
        message: of the example.
        hint: of the example.
        more: further members of ``error``.
        headers: that only answers with it have.
        other: status and code, where no class has them.
    """

    kind: type[errors.HHHError]
    when: str
    message: str
    hint: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    other: tuple[int, str] | None = None

    @property
    def status(self) -> int:
        return self.other[0] if self.other else self.kind.status

    @property
    def code(self) -> str:
        return self.other[1] if self.other else self.kind.code

    @property
    def name(self) -> str:
        """Of its example."""
        return f"{self.code}.{_NO_NAME.sub('-', self.when).strip('-')}"

    def at(self, status: int) -> Possible:
        """The same, answered with another status."""
        return dataclasses.replace(self, other=(status, self.code))

    def example(self) -> dict[str, Any]:
        """An answer, as an example of OpenAPI."""
        hint = {"hint": self.hint} if self.hint else {}
        inner = {"code": self.code, "message": self.message, "request_id": _REQUEST_ID, **self.more, **hint}
        return {"summary": self.when, "value": {"detail": self.message, "error": inner}}


NOT_SIGNED_IN = Possible(errors.InvalidCredentials, "nobody is signed in", "Not signed in", "POST /api/v1/auth/login")
TOKEN = Possible(
    errors.TokenInvalid, "the token is not good", "The token is not good", "it is unknown, has expired, or was revoked"
)
WRONG_PASSWORD = Possible(errors.InvalidCredentials, "the e-mail or the password is wrong", "Wrong e-mail or password")
WRONG_CODE = Possible(errors.WrongCode, "the code is wrong", "The code is wrong, or was used already")
PASSWORD_NEEDED = Possible(
    errors.PasswordRequired,
    "the sign-in is older than 15 minutes, and no password came",
    "Your password is needed as well",
    'send it as "current_password", or sign in again just before',
)
SECOND_FACTOR = Possible(
    errors.SecondFactorRequired,
    "a code of the second factor is needed",
    "A code of the second factor is needed",
    'send it as "code": that of the app, or a recovery code',
)
EXPIRED = Possible(
    errors.SessionExpired,
    "the session has run out or was ended",
    "The access token has expired",
    "POST /api/v1/auth/refresh gives another",
)
SUPER_ADMIN = Possible(
    errors.SuperAdminRequired,
    "nobody is signed in, or no super admin",
    "Super Admin access required",
    "nobody is signed in: POST /api/v1/auth/login",
)
SECOND_FACTOR_MISSING = Possible(
    errors.SecondFactorMissing,
    "super admins need a second factor here",
    "Super admins need a second factor here",
    "set it up on the page /account, or with POST /api/v1/auth/second-factor",
)
SCOPE = Possible(
    errors.ScopeMissing,
    "the token lacks the scope",
    "The token lacks the scope admin",
    "what a token may do is settled when it is made",
    {"scope": "admin"},
)
WRONG_NETWORK = Possible(
    errors.NetworkNotAllowed, "the token may not be used from there", "The token is not for use from 203.0.113.9"
)
SESSION_NEEDED = Possible(
    errors.SessionRequired,
    "the request came with a token",
    "A token is not enough for this",
    "sign in, in the console or by /api/v1/auth/login",
)
CSRF = Possible(errors.CsrfInvalid, "the header `X-CSRF-Token` is not that of the session", "CSRF validation failed")
NOT_FOUND = Possible(
    errors.NotFound, "what is named is not there", "No target is named 'shop'", "see `hhh target list`"
)
IN_USE = Possible(
    errors.InUse,
    "something else needs it as it is",
    "The store 'offsite' is where backups of these targets go: shop",
    "change that first: `hhh target set NAME --storage …`",
)
BUSY = Possible(
    errors.BackupInProgress,
    "something runs already",
    "The target 'shop' is busy: backup",
    "wait for its end, or cancel it",
)
ALREADY_ENDED = Possible(errors.AlreadyEnded, "it has ended already", "The backup has ended already")
PROTECTED = Possible(
    errors.BackupProtected,
    "the backup is kept on purpose",
    "The backup is protected: pinned",
    "send its file name as `force`",
    {"reasons": ["pinned"]},
)
UNSAFE = Possible(
    errors.RestoreUnsafe,
    "checks stand against it",
    "The restore is not safe: 12 GB are needed, 3 GB are free",
    "",
    {"reasons": [{"name": "free_space", "status": "unsafe", "message": "12 GB are needed, 3 GB are free"}]},
)
UNREADABLE = Possible(
    errors.IdentityMissing,
    "the backup is damaged, or encrypted for an identity that is not here",
    "No identity that is here opens the backup",
    "see HHH_AGE_IDENTITY_FILE",
)
INVALID = Possible(
    errors.InvalidInput,
    "what was sent can't be used",
    "body.name: Field required",
    "",
    {"fields": [{"loc": ["body", "name"], "message": "Field required"}]},
)
TOO_SLOW = Possible(
    errors.HHHError,
    "the body did not arrive in a minute",
    "The request's body did not arrive in time",
    other=(408, "ERR_HTTP_408"),
)
TOO_LARGE = Possible(
    errors.HHHError,
    "the body is larger than a mebibyte",
    "The request's body is larger than 1048576 bytes",
    other=(413, "ERR_HTTP_413"),
)
RANGE = Possible(
    errors.HHHError,
    "the range begins behind the end",
    "The range begins behind the end, at 4096",
    headers=("Content-Range",),
    other=(416, "ERR_HTTP_416"),
)
TOO_MANY = Possible(
    errors.RateLimited,
    "too many tries failed",
    "Too many failed sign-ins",
    "try again in 42 seconds",
    headers=("Retry-After",),
)
BACKUP_FAILED = Possible(
    errors.BackupFailed,
    "the backup ended without success",
    "Backup failed: pg_dump: error: connection to server was lost",
)
INTERNAL = Possible(errors.HHHError, "something that nobody foresaw; the log has it by its id", "Internal error")
DATABASE_GONE = Possible(
    errors.DatabaseUnavailable,
    "the service's own database is out of reach",
    "The service's own database failed: connection refused",
)
MIGRATIONS = Possible(
    errors.MigrationsPending,
    "the own database is of an older version",
    "The service's own database is older than this version",
    "run `hhh migrate`",
)
STOPPING = Possible(errors.Interrupted, "the service is stopping", "The service is stopping")
