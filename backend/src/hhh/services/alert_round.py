"""A round: what is wrong is looked for, and what is new in that is written for every channel that wants it.

It is written with the messages in one transaction, so that nothing is told twice and nothing is lost. Any number of
processes may look; what was found before somebody else has written is looked for again.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import AlertDelivery, AlertEvent, AlertKind, Trouble
from hhh.repositories import alerts as rows
from hhh.repositories import troubles as trouble_rows
from hhh.repositories.clock import Clock, ServerClock
from hhh.services.alert_messages import Teller, Told, combined, message_of, wants
from hhh.services.trouble_finder import OF_DISKS, SILENT, Look, TroubleFinder
from hhh.services.troubles import Found

#: From the end of one round to the next.
EVERY = timedelta(seconds=60)
#: A process that runs no jobs looks only if nobody else has for so long.
_NOBODY_ELSE = timedelta(minutes=3)
#: How often it is looked again where others were faster.
_TRIES = 3
#: For so long messages that were delivered or given up are kept, and workers that were lost.
_KEPT = timedelta(days=30)
_LOST_KEPT = timedelta(days=1)

log = structlog.get_logger(__name__)


class AlertRound:
    """Looks, and writes what is to be told.

    Args:
        settings: where the console is.
        database: the own one.
        finder: looks.
        clock: another one in tests.
    """

    def __init__(
        self, settings: Settings, database: Database, finder: TroubleFinder, *, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._database = database
        self._finder = finder
        self._clock = clock or ServerClock()

    def look(self, *, at_once: bool = False, works: bool = True) -> Look | None:
        """A round; None where somebody else has seen to it.

        Args:
            at_once: whether to look however short ago the last round was, since something happened.
            works: whether this process runs jobs; one that does not looks only where nobody who does is alive.

        Raises:
            DatabaseUnavailable: the own database does not answer.
        """
        for _ in range(_TRIES):
            with self._database.snapshot() as session:
                now, watch = self._clock.now(session), rows.watch(session)
            if not at_once and _is_fresh(watch.looked_at, now, EVERY if works else _NOBODY_ELSE):
                return None
            look = self._finder.look(now, disks=works)
            if self._write(look, watch.rounds, now, disks=works):
                return look
        return None

    def _write(self, look: Look, rounds: int, now: datetime, *, disks: bool) -> bool:
        """Writes what was found; false where somebody has written since, who may have found something newer."""
        with self._database.transaction() as session:
            watch = rows.lock_watch(session)
            if watch.rounds != rounds:
                return False
            watch.rounds, watch.looked_at = rounds + 1, now
            told = _compare(session, look, Teller(look.known, now, self._settings.public_url), now, disks=disks)
            _hand_out(session, told, now)
            rows.forget_deliveries(session, before=now - _KEPT)
            trouble_rows.forget_lost(session, before=now - _LOST_KEPT, alive_since=now - SILENT)
        for each in told:
            write = log.info if each.event is AlertEvent.ENDED else log.warning
            write(f"trouble_{each.event}", kind=each.kind, subject=each.subject, told=each.head)
        return True


def _is_fresh(looked_at: datetime | None, now: datetime, span: timedelta) -> bool:
    # A moment that is yet to come is of a clock that was wrong.
    return looked_at is not None and timedelta() <= now - looked_at < span


def _compare(session: Session, look: Look, teller: Teller, now: datetime, *, disks: bool) -> Sequence[Told]:
    """Brings the rows to what was found; what is to be told of that."""
    before = {(row.kind, row.subject): row for row in rows.troubles(session)}
    present = {(each.kind.value, each.subject): each for each in look.found}
    told = []
    for key, found in present.items():
        row = before.get(key)
        if row is None:
            session.add(_row(found, now))
            told.append(teller.begun(found, changed=False))
        elif row.fingerprint != found.fingerprint:
            row.fingerprint, row.told_at = found.fingerprint, now
            told.append(teller.begun(found, changed=True))
        if row is not None:
            row.message = message_of(found)
    for row in (row for key, row in before.items() if key not in present):
        if not disks and row.kind in OF_DISKS:
            continue
        session.delete(row)
        if _is_over(row, look.known, now):
            told.append(teller.ended(row))
    return told


def _is_over(row: Trouble, targets: Collection[str], now: datetime) -> bool:
    """Whether what is not found any more is over, and not only out of sight."""
    if row.kind == AlertKind.WORKER_LOST and now - row.since >= _LOST_KEPT:
        return False
    return row.target is None or row.target in targets


def _row(found: Found, now: datetime) -> Trouble:
    return Trouble(
        kind=found.kind,
        subject=found.subject,
        target=found.target,
        fingerprint=found.fingerprint,
        message=message_of(found),
        since=now,
        told_at=now,
    )


def _hand_out(session: Session, told: Sequence[Told], now: datetime) -> None:
    for channel in rows.channels(session) if told else ():
        if channel.enabled:
            messages = combined([one for one in told if wants(channel, one)])
            for place, each in enumerate(messages):  # they are sent in the order of their moments
                session.add(_delivery(channel.id, each, now + timedelta(microseconds=place)))


def _delivery(channel_id: str, told: Told, now: datetime) -> AlertDelivery:
    return AlertDelivery(
        id=str(uuid.uuid4()),
        channel_id=channel_id,
        kind=told.kind,
        subject=told.subject,
        event=told.event,
        title=told.title,
        body=told.body,
        created_at=now,
        attempts=0,
        next_try_at=now,
    )
