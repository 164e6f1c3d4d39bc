"""Where alerts go: channels, set up, changed, tried and removed."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, HHHError, InvalidInput, NotFound
from hhh.models import Action, AlertChannel, AlertKind
from hhh.repositories import alerts as rows
from hhh.repositories.clock import ServerClock
from hhh.schemas.alert import ChannelChange, ChannelRequest, ChannelResource, TestedChannel
from hhh.services import alert_sending, audit
from hhh.services.alert_sending import Message
from hhh.services.alert_services import redacted
from hhh.services.cursors import is_id
from hhh.services.sealing import Sealing, channel_owner

_TEST = Message(
    "test",
    "HHH Backup: a test",
    "This is a test of an alert channel. Nothing is wrong.",
    "info",
)


class AlertChannels:
    """Knows channels. A URL is opened for whoever sends to it, and never shown whole again."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._sealing = Sealing(settings)
        self._clock = ServerClock()

    def list(self) -> Sequence[ChannelResource]:
        """Every channel, in the order of names."""
        with self._database.snapshot() as session:
            waiting = rows.waiting_by_channel(session)
            return [self._resource(row, waiting) for row in rows.channels(session)]

    def get(self, channel: str) -> ChannelResource:
        """The channel of that id or name.

        Raises:
            NotFound: there is none.
        """
        with self._database.snapshot() as session:
            return self._resource(_found(session, channel), rows.waiting_by_channel(session))

    def add(self, asked: ChannelRequest) -> ChannelResource:
        """Sets up a channel; nothing is sent yet.

        Raises:
            InvalidInput: the name or the URL can't be used, or the name is taken.
            ConfigurationError: this process has another key than what is sealed already.
        """
        url = self._usable(asked.url.get_secret_value())
        row = AlertChannel(
            id=str(uuid.uuid4()),
            name=_usable_name(asked.name),
            kinds=_kinds(asked.kinds),
            targets=asked.targets,
            enabled=asked.enabled,
            created_at=utcnow(),
        )
        try:
            with self._database.transaction() as session:
                row.sealed_url = self._sealing.seal(session, url, owner=channel_owner(row.id))
                session.add(row)
                session.flush()
                audit.record(session, Action.CHANNEL_ADD, row.name, detail=_detail(row, url))
        except IntegrityError:
            raise _taken(asked.name) from None
        return self._resource(row, {})

    def change(self, channel: str, asked: ChannelChange) -> ChannelResource:
        """Changes what is given; a channel that is switched off drops what waits for it.

        Raises:
            NotFound: there is none.
            InvalidInput, ConfigurationError: as for `add`.
        """
        given = asked.model_fields_set
        url = self._usable(asked.url.get_secret_value()) if asked.url is not None else None
        name = _usable_name(asked.name) if asked.name is not None else None
        try:
            with self._database.transaction() as session:
                row = _found(session, channel, locked=True)
                if url is not None:
                    row.sealed_url = self._sealing.seal(session, url, owner=channel_owner(row.id))
                    row.last_error = None
                row.name = name or row.name
                row.kinds = _kinds(asked.kinds) if "kinds" in given else row.kinds
                row.targets = asked.targets if "targets" in given else row.targets
                if asked.enabled is not None:
                    row.enabled = asked.enabled
                if not row.enabled:
                    rows.drop_waiting(session, [row.id])
                session.flush()
                audit.record(session, Action.CHANNEL_CHANGE, row.name, detail=_detail(row, url))
        except IntegrityError:
            raise _taken(asked.name or "") from None
        return self.get(row.id)

    def remove(self, channel: str) -> str:
        """Removes a channel, and what waits for it; its name.

        Raises:
            NotFound: there is none.
        """
        with self._database.transaction() as session:
            row = _found(session, channel, locked=True)
            rows.remove_channel(session, row)
            audit.record(session, Action.CHANNEL_REMOVE, row.name)
        return row.name

    def test(self, channel: str) -> TestedChannel:
        """Sends a message now; that it was not taken is told, too. Once one was, what waits is sent as well.

        Raises:
            NotFound: there is none.
        """
        with self._database.snapshot() as session:
            row = _found(session, channel)
        try:
            url = self._sealing.open(row.sealed_url, owner=channel_owner(row.id))
            error = alert_sending.send(alert_sending.opened(self._settings, url), [_TEST]).get(_TEST.id)
        except HHHError as failure:
            error = str(failure)
        self._note_test(row.id, error)
        return TestedChannel(name=row.name, ok=error is None, error=error)

    def _note_test(self, channel_id: str, error: str | None) -> None:
        with self._database.transaction() as session:
            row, now = rows.channel(session, channel_id, locked=True), self._clock.now(session)
            if row is None:  # removed meanwhile
                return
            if error is None:
                row.last_delivered_at, row.last_error = now, None
                rows.hurry(session, channel_id, now)
            else:
                row.last_failed_at, row.last_error = now, error

    def _usable(self, url: str) -> str:
        alert_sending.check(alert_sending.opened(self._settings, url.strip()))
        return url.strip()

    def _resource(self, row: AlertChannel, waiting: Mapping[str, int]) -> ChannelResource:
        shown, problem = "", None
        try:
            shown = redacted(self._sealing.open(row.sealed_url, owner=channel_owner(row.id)))
        except ConfigurationError as error:
            problem = str(error)
        return ChannelResource(
            id=row.id,
            name=row.name,
            url=shown,
            problem=problem,
            kinds=[AlertKind(each) for each in row.kinds] if row.kinds is not None else None,
            targets=row.targets,
            enabled=row.enabled,
            waiting=waiting.get(row.id, 0),
            created_at=row.created_at,
            last_delivered_at=row.last_delivered_at,
            last_failed_at=row.last_failed_at,
            last_error=row.last_error,
        )


def _found(session: Session, channel: str, *, locked: bool = False) -> AlertChannel:
    row = None
    if is_id(channel):
        row = rows.channel(session, channel, locked=locked)
    elif valid_target_name(channel):  # another one may hold what no database takes as a text
        named = rows.channel_named(session, channel)
        row = rows.channel(session, named.id, locked=locked) if named is not None else None
    if row is None:
        raise NotFound("No alert channel has that name or id", hint="see `hhh alerts channels list`")
    return row


def _usable_name(name: str) -> str:
    if not valid_target_name(name) or is_id(name):
        raise InvalidInput(
            f"{name!r} is no name for a channel",
            hint="lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit, at most 63",
        )
    return name


def _taken(name: str) -> InvalidInput:
    return InvalidInput(f"A channel named {name!r} exists already", hint="choose another name")


def _kinds(kinds: Collection[AlertKind] | None) -> list[str] | None:
    return [each for each in AlertKind if each in kinds] if kinds is not None else None


def _detail(row: AlertChannel, url: str | None) -> dict[str, object]:
    shown: dict[str, object] = {"url": redacted(url)} if url is not None else {}
    return {**shown, "kinds": row.kinds, "targets": row.targets, "enabled": row.enabled}
