"""Alerts: what is wrong now, and what became of the messages about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import AlertDelivery, AlertEvent, AlertKind, Trouble
from hhh.repositories import alerts as rows
from hhh.schemas.alert import DeliveryResource, DeliveryStatus, PresentTroubles, TroubleResource
from hhh.services.alert_channels import AlertChannels
from hhh.services.alert_outbox import Outbox
from hhh.services.alert_round import AlertRound
from hhh.services.policies import PolicyService
from hhh.services.stores import StoreService
from hhh.services.targets import TargetService
from hhh.services.trouble_finder import TroubleFinder

Listener = Callable[[], None]


class AlertService:
    """What others call."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        targets: TargetService,
        stores: StoreService,
        policies: PolicyService,
    ) -> None:
        self._database = database
        self.channels = AlertChannels(settings, database)
        self.rounds = AlertRound(settings, database, TroubleFinder(settings, database, targets, stores, policies))
        self.outbox = Outbox(settings, database)
        self._listener: Listener | None = None
        self._lock = threading.Lock()

    def troubles(self) -> PresentTroubles:
        """What was wrong at the last look, and when that was."""
        with self._database.snapshot() as session:
            found = [_trouble(row) for row in rows.troubles(session)]
            return PresentTroubles(looked_at=rows.watch(session).looked_at, troubles=found)

    def deliveries(self, *, limit: int, undelivered: bool = False) -> Sequence[DeliveryResource]:
        """The newest messages, or only those that have not arrived."""
        with self._database.snapshot() as session:
            names = {row.id: row.name for row in rows.channels(session)}
            found = rows.newest_deliveries(session, limit=limit, undelivered=undelivered)
        return [_resource(row, names.get(row.channel_id, "")) for row in found]

    def listen(self, listener: Listener | None) -> None:
        """Has whoever looks for troubles in this process be told when something happened; None: nobody looks."""
        with self._lock:
            self._listener = listener

    def something_failed(self) -> None:
        """Has it be looked for troubles soon, and not at the next round only; a no-op where nobody looks here."""
        with self._lock:
            listener = self._listener
        if listener is not None:
            listener()


def _trouble(row: Trouble) -> TroubleResource:
    message = row.message
    return TroubleResource(
        kind=AlertKind(row.kind),
        subject=row.subject,
        target=row.target,
        title=message["title"],
        what=message["what"],
        said=message["said"],
        advice=message["advice"],
        since=row.since,
        told_at=row.told_at,
    )


def _resource(row: AlertDelivery, channel: str) -> DeliveryResource:
    return DeliveryResource(
        id=row.id,
        channel=channel,
        kind=row.kind,
        subject=row.subject,
        event=AlertEvent(row.event),
        title=row.title,
        status=_status(row),
        attempts=row.attempts,
        created_at=row.created_at,
        next_try_at=row.next_try_at,
        delivered_at=row.delivered_at,
        error=row.error,
    )


def _status(row: AlertDelivery) -> DeliveryStatus:
    if row.delivered_at is not None:
        return "delivered"
    return "waiting" if row.next_try_at is not None else "given-up"
