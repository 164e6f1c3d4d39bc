"""The service sees to backups of its own database by itself: daily, and soon after it was changed.

No schedule has to be set up for it, and none can be paused or removed: whoever looks for what is due finds it by the
newest backup. Schedules of the target `app` may take more of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import Action
from hhh.repositories import jobs as job_rows
from hhh.repositories import own_backups as rows
from hhh.repositories import sweeping
from hhh.services.policies import APP

#: After the first start, and after the first change that no backup has: more of them follow, as a rule.
SETTLED = timedelta(minutes=15)
#: After one that failed; and one that is due for so long is overdue.
_AGAIN = timedelta(hours=1)
#: What an operator would have to do again, if no backup had it. Backups and restores are found again in the stores.
CHANGES = frozenset(
    {
        Action.SECOND_FACTOR,
        Action.USER_CREATE,
        Action.USER_CHANGE,
        Action.USER_REMOVE,
        Action.TOKEN_CREATE,
        Action.TOKEN_REVOKE,
        Action.TARGET_ADD,
        Action.TARGET_CHANGE,
        Action.TARGET_REMOVE,
        Action.STORE_ADD,
        Action.STORE_CHANGE,
        Action.STORE_REMOVE,
        Action.SCHEDULE_ADD,
        Action.SCHEDULE_CHANGE,
        Action.SCHEDULE_REMOVE,
        Action.CHANNEL_ADD,
        Action.CHANNEL_CHANGE,
        Action.CHANNEL_REMOVE,
        Action.KEYS,
    }
)


class OwnBackups:
    """Knows when the next is due."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._interval = timedelta(hours=settings.own_backup_hours)
        self._database = database

    @property
    def interval(self) -> timedelta:
        """Between two of them; zero: none is taken by itself."""
        return self._interval

    def is_due(self) -> bool:
        """Whether one is to be begun now.

        Raises:
            DatabaseUnavailable: it can't be asked.
        """
        if not self._interval:
            return False
        with self._database.snapshot() as session:
            now = job_rows.server_time(session)
            installed_at, newest = sweeping.installed_at(session), rows.newest(session, APP)
            if installed_at is None:
                return False
            changed_at = rows.first_event(session, CHANGES, after=newest.stored_at) if newest.stored_at else None
        return _due_at(installed_at, newest, changed_at, self._interval) <= now

    def newest_by_store(self) -> dict[str, datetime]:
        """By store: when the newest was taken that is stored in it."""
        with self._database.snapshot() as session:
            return rows.newest_by_store(session, APP)


def overdue_after(installed_at: datetime, stored_at: datetime | None, interval: timedelta) -> datetime:
    """Until then the service should have backed itself up once more, without any change to it.

    Args:
        installed_at: when the installation was begun.
        stored_at: when the newest backup was begun that counts; None: there is none.
        interval: between two of them.
    """
    settled = installed_at + SETTLED
    return (max(settled, stored_at + interval) if stored_at is not None else settled) + _AGAIN


def _due_at(installed_at: datetime, newest: rows.Newest, changed_at: datetime | None, interval: timedelta) -> datetime:
    settled = installed_at + SETTLED
    if newest.stored_at is None:
        due = settled
    else:
        due = max(settled, newest.stored_at + interval)
        if changed_at is not None:
            due = min(due, max(settled, changed_at + SETTLED))
    if newest.begun_at is not None and newest.begun_at != newest.stored_at:
        due = max(due, newest.begun_at + _AGAIN)
    return due
