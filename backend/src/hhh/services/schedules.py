"""When targets are backed up or verified: schedules, what they plan, and the jobs that they ask for."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy.orm import Session

from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.models import Action, Schedule
from hhh.repositories import retention as retention_rows
from hhh.repositories import schedules as rows
from hhh.schemas.schedule import ScheduleChange, SchedulePreview, ScheduleRequest, ScheduleResource
from hhh.schemas.verification import Level
from hhh.services import audit
from hhh.services.backup import BackupService
from hhh.services.cron import Cron
from hhh.services.cron_words import changes_in_words, in_words
from hhh.services.cursors import is_id
from hhh.services.instants import overdue_after
from hhh.services.targets import TargetService
from hhh.services.verification import VerificationService
from hhh.services.work import NewJob

#: How many of the next runs are shown.
SHOWN_RUNS = 5
#: A clock that is further ahead than this was wrong, and what was planned by it is not waited for.
_A_DAY = timedelta(days=1)


class ScheduleService:
    """Sets schedules up, changes them, and says what they ask for. `hhh.jobs.ticker` begins their runs."""

    def __init__(
        self,
        database: Database,
        targets: TargetService,
        backups: BackupService,
        verifications: VerificationService,
    ) -> None:
        self._database = database
        self._targets = targets
        self._backups = backups
        self._verifications = verifications

    def add(self, asked: ScheduleRequest) -> ScheduleResource:
        """Sets a schedule up; its first run is the next that its line names.

        Raises:
            NotFound: no such target.
            InvalidInput: the line is not of cron or names no date ever, or nobody knows the time zone.
        """
        cron = Cron(asked.cron, asked.time_zone)
        self._targets.find(asked.target)
        now = utcnow()
        row = Schedule(
            id=str(uuid.uuid4()),
            target=asked.target,
            cron=cron.line,
            time_zone=cron.time_zone,
            jitter_seconds=asked.jitter_seconds,
            paused=False,
            verify_level=asked.verify,
            created_at=now,
            updated_at=now,
        )
        _plan(row, cron, now)
        with self._database.transaction() as session:
            rows.add(session, row)
            _record(session, Action.SCHEDULE_ADD, row)
        return self.get(row.id)

    def get(self, schedule_id: str) -> ScheduleResource:
        """One schedule.

        Raises:
            NotFound: none has that id.
        """
        with self._database.snapshot() as session:
            row = rows.get(session, schedule_id) if is_id(schedule_id) else None
            return self._resources(session, [_there(row)])[0]

    def page(self, *, target: str | None = None, limit: int, offset: int = 0) -> Sequence[ScheduleResource]:
        """Schedules in the order of their targets."""
        if target is not None and not valid_target_name(target):
            return []
        with self._database.snapshot() as session:
            return self._resources(session, rows.page(session, target=target, limit=limit, offset=offset))

    def next_runs(self, targets: Sequence[str]) -> Mapping[str, datetime]:
        """By target: when the next of its schedules runs; nothing of those that have none."""
        with self._database.snapshot() as session:
            return rows.next_runs(session, targets)

    def change(self, schedule_id: str, asked: ScheduleChange) -> ScheduleResource:
        """Changes what is given, and plans the next run anew, from now on.

        Raises:
            NotFound: none has that id.
            InvalidInput: as for `add`.
        """
        with self._database.transaction() as session:
            row = self._locked(session, schedule_id)
            before = row.cron, row.time_zone, row.verify_level
            cron = Cron(
                row.cron if asked.cron is None else asked.cron,
                row.time_zone if asked.time_zone is None else asked.time_zone,
            )
            row.cron, row.time_zone = cron.line, cron.time_zone
            if asked.jitter_seconds is not None:
                row.jitter_seconds = asked.jitter_seconds
            if "verify" in asked.model_fields_set:
                row.verify_level = asked.verify
            now = utcnow()
            if (row.cron, row.time_zone, row.verify_level) != before:
                row.unchanged_since = now
            _plan(row, cron, now)
            _record(session, Action.SCHEDULE_CHANGE, row)
        return self.get(schedule_id)

    def pause(self, schedule_id: str) -> ScheduleResource:
        """Lets it begin no run until it is resumed. What runs already goes on.

        Raises:
            NotFound: none has that id.
        """
        with self._database.transaction() as session:
            row = self._locked(session, schedule_id)
            row.paused, row.updated_at = True, utcnow()
            row.planned_at = row.next_run_at = None
            _record(session, Action.SCHEDULE_CHANGE, row)
        return self.get(schedule_id)

    def resume(self, schedule_id: str) -> ScheduleResource:
        """Lets it go on with the next instant from now; what was missed while it was paused is not caught up.

        Raises:
            NotFound: none has that id.
            InvalidInput: its time zone is no longer known.
        """
        with self._database.transaction() as session:
            row = self._locked(session, schedule_id)
            if row.paused:
                row.paused, row.unchanged_since = False, utcnow()
                _plan(row, Cron(row.cron, row.time_zone), utcnow())
            _record(session, Action.SCHEDULE_CHANGE, row)
        return self.get(schedule_id)

    def remove(self, schedule_id: str) -> None:
        """Removes it; the backups and verifications that it asked for stay.

        Raises:
            NotFound: none has that id.
        """
        with self._database.transaction() as session:
            row = self._locked(session, schedule_id)
            rows.remove(session, row)
            _record(session, Action.SCHEDULE_REMOVE, row)

    def request(self, schedule_id: str) -> NewJob:
        """A backup or a verification as it would ask for, at once, to be handed to a queue; its plan stays.

        Raises:
            NotFound: none has that id, or its target was removed, or has nothing to verify yet.
        """
        schedule = self.get(schedule_id)
        return self._job(schedule.target, schedule.verify, schedule.id)

    def due_job(self, row: Schedule) -> NewJob:
        """The job of a schedule's planned run; the same instant has the same id, whoever asks.

        Raises:
            NotFound: its target was removed, or has nothing to verify yet.
            ConfigurationError: the target's URL can't be opened.
        """
        asked = self._job(row.target, _level(row), row.id)
        return dataclasses.replace(asked, job_id=job_id_of(row.id, _planned(row)))

    def _job(self, target: str, level: Level | None, schedule_id: str) -> NewJob:
        if level is None:
            return self._backups.request(target, schedule_id=schedule_id)
        with self._database.snapshot() as session:
            backup_id = retention_rows.newest_stored(session, target)
        if backup_id is None:
            raise NotFound("Nothing to verify yet")
        asked = self._verifications.request(backup_id, level, requested_by="schedule")
        return dataclasses.replace(asked, schedule_id=schedule_id)

    def _locked(self, session: Session, schedule_id: str) -> Schedule:
        return _there(rows.locked(session, schedule_id) if is_id(schedule_id) else None)

    def _resources(self, session: Session, found: Sequence[Schedule]) -> list[ScheduleResource]:
        backups = rows.newest_successes(session, {row.target for row in found})
        verifications = rows.newest_verifications(session, [row.id for row in found if row.verify_level is not None])
        ends = rows.last_results(session, [row.last_job_id for row in found if row.last_job_id is not None])
        now = utcnow()
        return [
            _resource(row, backups.get(row.target), verifications.get(row.id), ends.get(row.last_job_id or ""), now)
            for row in found
        ]


def preview(line: str, time_zone: str) -> SchedulePreview:
    """What a line means.

    Raises:
        InvalidInput: as for `ScheduleService.add`.
    """
    cron, now = Cron(line, time_zone), utcnow()
    return SchedulePreview(
        cron=cron.line,
        cron_in_words=in_words(cron.line),
        time_zone=time_zone,
        next_runs=cron.following(now, SHOWN_RUNS),
        clock_changes=changes_in_words(cron, now),
    )


def job_id_of(schedule_id: str, instant: datetime) -> str:
    """The id of the job of one run: two tickers that begin it make one job."""
    return str(uuid.uuid5(uuid.UUID(schedule_id), instant.isoformat()))


def move_on(row: Schedule, now: datetime) -> None:
    """Plans the run after the planned one, which was begun or left out: the next from now on.

    Raises:
        InvalidInput: there is none, or its time zone is no longer known; it is planned no more.
    """
    after = max(now, _planned(row))
    row.planned_at = row.next_run_at = None
    _plan(row, Cron(row.cron, row.time_zone), now, after=after)


def plan_anew(row: Schedule, now: datetime) -> None:
    """Plans the next run from now on, after a clock was wrong; no instant that had a run has another.

    Raises:
        InvalidInput: as for `move_on`.
    """
    row.planned_at = row.next_run_at = None
    _plan(row, Cron(row.cron, row.time_zone), now)


def overdue_from(row: Schedule, since: datetime) -> datetime | None:
    """When the run after a moment counts as missed; None where nothing is planned.

    Raises:
        InvalidInput: its time zone is no longer known.
    """
    if row.planned_at is None:
        return None
    return overdue_after(row.cron, row.time_zone, row.jitter_seconds, since)


def _record(session: Session, action: Action, row: Schedule) -> None:
    detail = {
        "cron": row.cron,
        "time_zone": row.time_zone,
        "jitter_seconds": row.jitter_seconds,
        "paused": row.paused,
        "verify": row.verify_level,
    }
    audit.record(session, action, row.id, target=row.target, detail=detail)


def _plan(row: Schedule, cron: Cron, now: datetime, *, after: datetime | None = None) -> None:
    if row.paused:
        return
    # A clock that was set back shows instants again that had their run.
    ran = row.last_run_at if row.last_run_at and row.last_run_at < now + _A_DAY else now
    row.planned_at, following = cron.following(max(after or now, ran), 2)
    row.next_run_at = row.planned_at + _jitter(row, row.planned_at, following)
    row.updated_at = now


def _jitter(row: Schedule, instant: datetime, following: datetime) -> timedelta:
    """Of one schedule and instant always the same; less than the time until the instant after it."""
    drawn = hashlib.sha256(f"{row.id} {instant.isoformat()}".encode()).digest()
    fraction = int.from_bytes(drawn[:4]) / 2**32
    return min(timedelta(seconds=row.jitter_seconds), following - instant) * fraction


def _resource(
    row: Schedule,
    last_backup_at: datetime | None,
    last_verified_at: datetime | None,
    last_job_status: str | None,
    now: datetime,
) -> ScheduleResource:
    last = last_verified_at if row.verify_level is not None else last_backup_at
    return ScheduleResource(
        id=row.id,
        target=row.target,
        verify=_level(row),
        cron=row.cron,
        cron_in_words=in_words(row.cron),
        time_zone=row.time_zone,
        jitter_seconds=row.jitter_seconds,
        paused=row.paused,
        next_run_at=row.next_run_at,
        next_runs=_next_runs(row, now),
        last_run_at=row.last_run_at,
        last_job_id=row.last_job_id,
        last_job_status=last_job_status,
        last_skipped_at=row.last_skipped_at,
        last_skipped_reason=row.last_skipped_reason,
        last_backup_at=last_backup_at,
        last_verified_at=last_verified_at,
        overdue=_overdue(row, max(last or row.created_at, row.created_at), now),
        created_at=row.created_at,
    )


def _next_runs(row: Schedule, now: datetime) -> list[datetime]:
    if row.planned_at is None:
        return []
    later = Cron(row.cron, row.time_zone).following(max(now, row.planned_at), SHOWN_RUNS - 1)
    return [row.planned_at, *later]


def _overdue(row: Schedule, since: datetime, now: datetime) -> bool:
    missed_at = overdue_from(row, since)
    return missed_at is not None and now > missed_at


def _level(row: Schedule) -> Level | None:
    return cast("Level | None", row.verify_level)


def _planned(row: Schedule) -> datetime:
    if row.planned_at is None:
        raise ValueError(f"schedule {row.id} has nothing planned")
    return row.planned_at


def _there(row: Schedule | None) -> Schedule:
    if row is None:
        raise NotFound("No schedule has that id", hint="see `hhh schedule list`")
    return row
