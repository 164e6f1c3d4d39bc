"""Messages on their way: each is tried until it was taken, for a day at most, and each at least once.

To one channel one process sends at a time, in the order in which the messages were written; others don't wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.models import AlertChannel, AlertDelivery, AlertEvent, AlertKind
from hhh.repositories import alerts as rows
from hhh.repositories.clock import Clock, ServerClock
from hhh.services import alert_sending
from hhh.services.alert_sending import Message, Receiver
from hhh.services.sealing import Sealing, channel_owner

#: After each failed try; the last one again and again.
_AGAIN_AFTER = tuple(timedelta(minutes=each) for each in (1, 2, 5, 15, 60))
#: Then it is given up.
_GIVEN_UP_AFTER = timedelta(days=1)
#: Messages that are sent by one process, and for so long nobody else sends to the channel: each may take its patience
#: only once, since then the rest waits.
_AT_ONCE = 20
_LEASE = timedelta(minutes=5)
_PARCELS = 4
#: What tells of something that is about to be wrong; the rest tells of what is.
_WARNINGS = frozenset({AlertKind.STORE_NEARLY_FULL, AlertKind.SIZE_ODD, AlertKind.PROOF_OVERDUE})

log = structlog.get_logger(__name__)

Send = Callable[[Receiver, Sequence[Message]], Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be sent to one channel, which is ours for a while."""

    channel_id: str
    channel: str
    sealed_url: str
    messages: Sequence[Message]


class Outbox:
    """Delivers. Thread-safe.

    Args:
        settings: have the key of channels.
        database: the own one.
        send: see `alert_sending.send`.
        clock: another one in tests.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        send: Send = alert_sending.send,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._sealing = Sealing(settings)
        self._send = send
        self._clock = clock or ServerClock()

    def deliver_all(self) -> None:
        """Sends what is due, to one channel after the other.

        Raises:
            DatabaseUnavailable: the own database does not answer.
        """
        for parcel in self.claim():
            self.deliver(parcel)

    def claim(self, *, limit: int = _PARCELS) -> Iterator[Parcel]:
        """Takes channels that a message is due for; each is to be given to `deliver`.

        Raises:
            DatabaseUnavailable: the own database does not answer.
        """
        with self._database.snapshot() as session:  # a look that keeps nobody from writing: as a rule nothing is due
            due = rows.due_channels(session, self._clock.now(session), limit=limit)
        for channel_id in due:
            if (parcel := self._claim(channel_id)) is not None:
                yield parcel

    def deliver(self, parcel: Parcel) -> None:
        """Sends what is in a parcel, and writes what became of it.

        Raises:
            DatabaseUnavailable: what was sent is not written, and is sent once more later.
        """
        try:
            url = self._sealing.open(parcel.sealed_url, owner=channel_owner(parcel.channel_id))
            told = self._send(alert_sending.opened(self._settings, url), parcel.messages)
        except HHHError as error:
            told = dict.fromkeys((each.id for each in parcel.messages), str(error))
        with self._database.transaction() as session:
            self._write(session, parcel, told)

    def _claim(self, channel_id: str) -> Parcel | None:
        with self._database.transaction() as session:
            now = self._clock.now(session)
            channel = rows.claim_channel(session, channel_id, now, until=now + _LEASE)
            if channel is None:
                return None
            waiting = rows.waiting_for(session, channel_id, limit=_AT_ONCE)
            return Parcel(channel.id, channel.name, channel.sealed_url, [*map(_message, waiting)])

    def _write(self, session: Session, parcel: Parcel, told: Mapping[str, str | None]) -> None:
        now, channel = self._clock.now(session), rows.channel(session, parcel.channel_id, locked=True)
        if channel is None:  # removed meanwhile, and its messages with it
            return
        failed = [error for error in told.values() if error is not None]
        for message in parcel.messages:
            row = rows.delivery(session, message.id)
            if row is None or row.delivered_at is not None:
                continue
            if message.id in told:
                _note(row, told[message.id], now)
            else:
                row.next_try_at = now + _AGAIN_AFTER[0]
        _note_channel(channel, failed, now, any_taken=len(failed) < len(told))
        rows.let_go(session, channel.id)
        if failed:
            log.warning("alert_not_delivered", channel=parcel.channel, messages=len(failed), error=failed[0])


def _message(row: AlertDelivery) -> Message:
    return Message(row.id, row.title, row.body, _type(row))


def _type(row: AlertDelivery) -> str:
    if row.event == AlertEvent.ENDED:
        return "success"
    return "warning" if row.kind in _WARNINGS else "failure"


def _note(row: AlertDelivery, error: str | None, now: datetime) -> None:
    row.attempts += 1
    row.error = error
    if error is None:
        row.delivered_at, row.next_try_at = now, None
    elif now - row.created_at >= _GIVEN_UP_AFTER:
        row.next_try_at = None
        log.error("alert_given_up", subject=row.subject, kind=row.kind, error=error)
    else:
        row.next_try_at = now + _AGAIN_AFTER[min(row.attempts, len(_AGAIN_AFTER)) - 1]


def _note_channel(channel: AlertChannel, failed: Sequence[str], now: datetime, *, any_taken: bool) -> None:
    if any_taken:
        channel.last_delivered_at = now
    if failed:
        channel.last_failed_at, channel.last_error = now, failed[0]
    elif any_taken:
        channel.last_error = None
