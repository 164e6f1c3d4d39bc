"""Which backups are verified though nobody asks: those whose policies say so, and a part of all each day."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress
from hhh.engines.restoring import LONGEST_RESTORE
from hhh.models import BackupLog, JobKind
from hhh.repositories import backups as backup_rows
from hhh.repositories import jobs as job_rows
from hhh.repositories import proofs as rows
from hhh.repositories import verifications as verification_rows
from hhh.repositories.retention import PROVEN
from hhh.schemas.verification import Level
from hhh.services.verification import add_queued
from hhh.services.work import NewJob
from hhh.services.workers import WorkerService

#: Who asks for what a policy demands.
POLICY = "policy"
#: Who asks for what is read back by itself.
READ_BACK = "read-back"
#: So many wait at once at the most: what somebody asks for does not stand behind thousands.
_WAITING = 4
#: How often what may pass is tried again.
_RETRIES = 2
#: Seconds between two looks for what is to be read back, while nothing is.
_PAUSE = 60.0
_DAY = timedelta(days=1)
_LONGEST_ROUND = timedelta(days=36_500)


class ProofDemands:
    """Looks for them. Any number of processes may: what one asks for, no other does."""

    def __init__(self, settings: Settings, database: Database, *, now: Callable[[], datetime] = utcnow) -> None:
        self._now = now
        self._settings = settings
        self._percent = settings.read_back_percent
        self._database = database
        self._workers = WorkerService(database)
        self._next_look = 0.0

    def due(self) -> Sequence[NewJob]:
        """What is to be verified now; cheap where nothing is."""
        looks_back = self._percent > 0 and time.monotonic() >= self._next_look
        with self._database.snapshot() as session:
            demanded = rows.to_be_verified(session, requested_by=POLICY, limit=_WAITING)
            if not demanded and not looks_back:
                return []
            room = max(0, _WAITING - job_rows.waiting_by_kind(session).get(JobKind.VERIFY, 0))
            found = [_demanded(backup) for backup in demanded[:room]]
            if looks_back and len(found) < room:
                found += (aging := self._aging(session, self._now(), limit=room - len(found)))
                self._next_look = time.monotonic() + (0 if aging else _PAUSE)
        return found

    def of(self, target: str) -> Sequence[NewJob]:
        """What the policy of one target demands, and nobody has taken on; newest first.

        Nothing where another process may be the one that verifies.
        """
        with self._database.snapshot() as session:
            found = [_demanded(backup) for backup in rows.to_be_verified_of(session, target)]
        return found if found and self._is_alone() else []

    def _is_alone(self) -> bool:
        """Of many machines one may be the prover, and it alone may have the identity: it is waited for."""
        if self._settings.jobs_database_url.get_secret_value() or "verify" not in self._settings.worker_queues:
            return False
        return "verify" in self._workers.untaken()

    def _aging(self, session: Session, now: datetime, *, limit: int) -> list[NewJob]:
        """Read-backs, who waits longest first: each day no more than the percentage of all backups.

        So many become due at once neither where thousands were taken on one day, nor where thousands are there when
        this begins; and with 4 % a day all were read within a month.
        """
        total = backup_rows.totals(session).successful
        if not total:
            return []
        all_of_them = min(_DAY * (100 / self._percent), _LONGEST_ROUND)
        # Of few backups less than one is due each day: then one in so many days.
        window = max(_DAY, all_of_them / total)
        asked = verification_rows.asked_since(session, now - window, requested_by=READ_BACK)
        room = min(limit, round(total * (window / all_of_them)) - asked)
        if room <= 0:
            return []
        # What is young is left alone, however few there are.
        before = now - all_of_them / 5
        return [_aged(backup, before) for backup in rows.to_be_read_back(session, before=before, limit=room)]


def _demanded(backup: BackupLog) -> NewJob:
    return _asked(
        backup,
        cast("Level", backup.verify_due),
        POLICY,
        lambda session, _now: rows.take_to_be_verified(session, backup.id),
    )


def _aged(backup: BackupLog, before: datetime) -> NewJob:
    return _asked(
        backup,
        "stored",
        READ_BACK,
        lambda session, now: rows.take_to_be_read_back(session, backup.id, before=before, now=now),
    )


def _asked(backup: BackupLog, level: Level, asker: str, take: Callable[[Session, datetime], bool]) -> NewJob:
    def write(session: Session, verification_id: str, now: datetime) -> None:
        if not take(session, now):
            raise BackupInProgress("The verification was asked for already, or the backup is gone")
        add_queued(session, verification_id, backup, level, requested_by=asker, now=now)

    # Only a drill runs what others wrote. A read-back takes as long as what is stored needs.
    limit = int(LONGEST_RESTORE.total_seconds()) if level == PROVEN else None
    return NewJob(JobKind.VERIFY, backup.target, write, retries=_RETRIES, time_limit_seconds=limit)
