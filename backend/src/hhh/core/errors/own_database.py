"""The service's own database does not do what is needed of it."""

from __future__ import annotations

from collections.abc import Callable

from hhh.core.errors.base import HHHError


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
