"""Messages on their way: each is tried until it was taken, for a week at most, and each at least once.

To one channel one process sends at a time, in the order in which the messages were written; others don't wait for it.
Of many that wait one message tells, so that nobody who comes back, or has a database that fails each minute, is
flooded.
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
from hhh.services.alert_messages import AT_ONCE, SEVERAL, Told, combined, written
from hhh.services.alert_sending import Message, Receiver
from hhh.services.sealing import Sealing, channel_owner

#: After each failed try; the last one again and again.
_AGAIN_AFTER = tuple(timedelta(minutes=each) for each in (1, 2, 5, 15, 60))
#: Then it is given up: after a week. By tries, since clocks jump, and a service that was down has tried nothing.
_TRIES = 170
#: Of one that some have taken, who get it with each try: in ten minutes a server that asks for patience takes it.
_TRIES_PARTLY = 4
#: For so long nobody else sends to the channel: its messages may take their patience only once, since then the rest
#: waits.
_LEASE = timedelta(minutes=5)
#: Messages that one message tells of at the most.
_TOGETHER = 1000
#: A channel that was sent so many in an hour gets the next ones together, and only so long after the last.
_MANY, _HOUR = 30, timedelta(hours=1)
_PAUSE = timedelta(minutes=5)
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
    #: By the id of such a message: the rows that it tells of.
    rows: Mapping[str, Sequence[str]]


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
            now = self._clock.now(session)
            due = rows.due_channels(session, now, lease=_LEASE, longest=_AGAIN_AFTER[-1], limit=limit)
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
        except (HHHError, OSError) as error:  # also where no process can be begun
            told = dict.fromkeys((each.id for each in parcel.messages), str(error))
        with self._database.transaction() as session:
            self._write(session, parcel, told)

    def _claim(self, channel_id: str) -> Parcel | None:
        with self._database.transaction() as session:
            now = self._clock.now(session)
            channel = rows.claim_channel(session, channel_id, now, lease=_LEASE)
            if channel is None:
                return None
            sent = rows.sent_between(session, channel_id, now - _HOUR, now)
            if len(sent) >= _MANY and (again := max(sent) + _PAUSE) > now:
                channel.sending_until = again
                return None
            waiting = rows.waiting_for(session, channel_id, limit=_TOGETHER)
            messages, of_rows = _packed(waiting, most=AT_ONCE if len(sent) < _MANY else 1)
            return Parcel(channel.id, channel.name, channel.sealed_url, messages, of_rows)

    def _write(self, session: Session, parcel: Parcel, told: Mapping[str, str | None]) -> None:
        now, channel = self._clock.now(session), rows.channel(session, parcel.channel_id, locked=True)
        if channel is None:  # removed meanwhile, and its messages with it
            return
        failed = [error for error in told.values() if error is not None]
        # What was not tried waits with what failed: else a receiver that hangs would be asked each minute.
        again = [*filter(None, _note_all(session, parcel, told, now))]
        for row_id in (each for message, ids in parcel.rows.items() if message not in told for each in ids):
            row = rows.delivery(session, row_id)
            if row is not None and row.next_try_at is not None:
                row.next_try_at = min(again, default=now + _AGAIN_AFTER[0])
        _note_channel(channel, failed, now, any_taken=len(failed) < len(told))
        rows.let_go(session, channel.id)
        if failed:
            log.warning("alert_not_delivered", channel=parcel.channel, messages=len(failed), error=failed[0])


def _packed(waiting: Sequence[AlertDelivery], *, most: int) -> tuple[Sequence[Message], Mapping[str, Sequence[str]]]:
    """What is sent of that which waits, and by the id of each message the rows that it tells of."""
    told = combined([*map(written, waiting)], most=most)
    if len(waiting) <= most:
        messages = [_message(row.id, each) for row, each in zip(waiting, told, strict=True)]
        return messages, {row.id: [row.id] for row in waiting}
    return [_message(SEVERAL, told[0])], {SEVERAL: [row.id for row in waiting]}


def _message(message_id: str, told: Told) -> Message:
    return Message(message_id, told.title, told.body, _type(told))


def _type(told: Told) -> str:
    if told.event is AlertEvent.ENDED:
        return "success"
    return "warning" if told.kind in _WARNINGS else "failure"


def _note_all(
    session: Session, parcel: Parcel, told: Mapping[str, str | None], now: datetime
) -> Iterator[datetime | None]:
    """Notes what became of each message that was tried; gives when it is tried again."""
    for message_id, error in told.items():
        for row_id in parcel.rows[message_id]:
            row = rows.delivery(session, row_id)
            if row is not None and row.delivered_at is None:
                _note(row, error, now)
                yield row.next_try_at


def _note(row: AlertDelivery, error: str | None, now: datetime) -> None:
    row.error = error
    if error is None:
        row.attempts += 1
        row.delivered_at, row.next_try_at = now, None
    elif row.next_try_at is not None and not now < row.next_try_at <= now + _AGAIN_AFTER[-1]:
        # One before its time, beside another that was due, does not count: it must not be given up the sooner for that.
        row.attempts += 1
        _try_again(row, now)


def _try_again(row: AlertDelivery, now: datetime) -> None:
    row.next_try_at = now + _AGAIN_AFTER[min(row.attempts, len(_AGAIN_AFTER)) - 1]
    is_partly = row.error is not None and row.error.startswith(alert_sending.PARTLY)
    if row.attempts >= (_TRIES_PARTLY if is_partly else _TRIES):
        row.next_try_at = None
        log.error("alert_given_up", subject=row.subject, kind=row.kind, error=row.error)


def _note_channel(channel: AlertChannel, failed: Sequence[str], now: datetime, *, any_taken: bool) -> None:
    if any_taken:
        channel.last_delivered_at = now
    if failed:
        channel.last_failed_at, channel.last_error = now, failed[0]
    elif any_taken:
        channel.last_error = None
