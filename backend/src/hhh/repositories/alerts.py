"""Rows of alerts: channels, what is wrong now, and messages on their way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from hhh.models import AlertChannel, AlertDelivery, AlertWatch, Trouble

# ------------------------------------------------------------------------------------------------------------ channels


def channels(session: Session) -> Sequence[AlertChannel]:
    """Every channel, in the order of names."""
    return session.scalars(select(AlertChannel).order_by(AlertChannel.name)).all()


def channel(session: Session, channel_id: str, *, locked: bool = False) -> AlertChannel | None:
    """The channel of that id; locked, so that others who ask for it so wait until the transaction ends.

    Whoever changes a channel and its messages locks it first, so that no two wait for each other.
    """
    query = select(AlertChannel).where(AlertChannel.id == channel_id).execution_options(populate_existing=True)
    return session.scalar(query.with_for_update() if locked else query)


def channel_named(session: Session, name: str) -> AlertChannel | None:
    """The channel of that name."""
    return session.scalar(select(AlertChannel).where(AlertChannel.name == name))


# ------------------------------------------------------------------------------------------------------------ troubles


def watch(session: Session) -> AlertWatch:
    """Who looked last."""
    return session.scalars(select(AlertWatch)).one()


def lock_watch(session: Session) -> AlertWatch:
    """The same; nobody else writes what they found until this transaction ends."""
    # Read anew: what the session has of it may be older than the lock.
    query = select(AlertWatch).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one()


def troubles(session: Session) -> Sequence[Trouble]:
    """All that is wrong, the longest first."""
    return session.scalars(select(Trouble).order_by(Trouble.since, Trouble.kind, Trouble.subject)).all()


# ---------------------------------------------------------------------------------------------------------- deliveries


def due_channels(session: Session, now: datetime, *, lease: timedelta, longest: timedelta, limit: int) -> Sequence[str]:
    """The ids of channels that a message is due for, and that nobody is sending to; those that wait longest first.

    What would be due only after more than `longest` was written by a clock that was wrong, and is due as well.
    """
    due = or_(AlertDelivery.next_try_at <= now, AlertDelivery.next_try_at > now + longest)
    first = func.min(AlertDelivery.next_try_at)
    found = select(AlertDelivery.channel_id).join(AlertChannel).where(due, _free(now, lease), AlertChannel.enabled)
    return session.scalars(found.group_by(AlertDelivery.channel_id).order_by(first).limit(limit)).all()


def claim_channel(session: Session, channel_id: str, now: datetime, *, lease: timedelta) -> AlertChannel | None:
    """Takes a channel for so long, to send to it; None where somebody else has it by now, or it is gone."""
    query = select(AlertChannel).where(AlertChannel.id == channel_id, AlertChannel.enabled, _free(now, lease))
    row = session.scalar(query.with_for_update(skip_locked=True).execution_options(populate_existing=True))
    if row is not None:
        row.sending_until = now + lease
    return row


def _free(now: datetime, lease: timedelta) -> ColumnElement[bool]:
    until = AlertChannel.sending_until
    return or_(until.is_(None), until <= now, until > now + lease)  # longer than any lease: a clock was wrong


def sent_between(session: Session, channel_id: str, since: datetime, until: datetime) -> Sequence[datetime]:
    """When messages were delivered to a channel, of that time."""
    sent = AlertDelivery.channel_id == channel_id, AlertDelivery.delivered_at.between(since, until)
    return [at for at in session.scalars(select(AlertDelivery.delivered_at).where(*sent)) if at is not None]


def hurry(session: Session, channel_id: str, now: datetime) -> None:
    """Has what waits for a channel be due: it takes messages again."""
    waiting = AlertDelivery.channel_id == channel_id, AlertDelivery.next_try_at > now
    session.execute(update(AlertDelivery).where(*waiting).values(next_try_at=now))


def waiting_for(session: Session, channel_id: str, *, limit: int) -> Sequence[AlertDelivery]:
    """What is to be sent to a channel, the oldest first, also what was to be tried again later only."""
    waiting = select(AlertDelivery).where(
        AlertDelivery.channel_id == channel_id, AlertDelivery.next_try_at.is_not(None)
    )
    return session.scalars(waiting.order_by(AlertDelivery.created_at, AlertDelivery.id).limit(limit)).all()


def let_go(session: Session, channel_id: str) -> None:
    """Lets others send to a channel."""
    session.execute(update(AlertChannel).where(AlertChannel.id == channel_id).values(sending_until=None))


def delivery(session: Session, delivery_id: str) -> AlertDelivery | None:
    """The message of that id; nobody else changes it until the transaction ends."""
    query = select(AlertDelivery).where(AlertDelivery.id == delivery_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def newest_deliveries(session: Session, *, limit: int, undelivered: bool = False) -> Sequence[AlertDelivery]:
    """The newest messages; with `undelivered` only those that have not arrived."""
    query = select(AlertDelivery).order_by(AlertDelivery.created_at.desc(), AlertDelivery.id).limit(limit)
    return session.scalars(query.where(AlertDelivery.delivered_at.is_(None)) if undelivered else query).all()


def forget_deliveries(session: Session, *, before: datetime) -> None:
    """Removes messages of before then that are not on their way any more."""
    ended = AlertDelivery.next_try_at.is_(None)
    session.execute(delete(AlertDelivery).where(AlertDelivery.created_at < before, ended))


def drop_waiting(session: Session, channel_ids: Collection[str]) -> None:
    """Has what waits for these channels sent no more."""
    waiting = AlertDelivery.channel_id.in_(channel_ids) & AlertDelivery.next_try_at.is_not(None)
    session.execute(delete(AlertDelivery).where(waiting))


def waiting_by_channel(session: Session) -> Mapping[str, int]:
    """By id of a channel: how many messages are still to be delivered."""
    waiting = select(AlertDelivery.channel_id, func.count()).where(AlertDelivery.next_try_at.is_not(None))
    return dict(session.execute(waiting.group_by(AlertDelivery.channel_id)).all())


def remove_channel(session: Session, row: AlertChannel) -> None:
    """Removes a channel, and all its messages."""
    session.execute(delete(AlertDelivery).where(AlertDelivery.channel_id == row.id))
    session.delete(row)
    session.flush()
