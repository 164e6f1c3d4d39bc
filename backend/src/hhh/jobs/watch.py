"""Looks for troubles, and sends what is to be told of them, each beside the work and never in its way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVarTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core.errors import HHHError
from hhh.jobs.periodic import Periodically
from hhh.services import dead_mans_switch
from hhh.services.alert_outbox import Parcel
from hhh.services.container import Services

_Arguments = TypeVarTuple("_Arguments")

log = structlog.get_logger(__name__)

#: Seconds between two looks whether a round is due: any of many processes may be the one.
_LOOK = 10.0
#: Seconds after a round before something that happened makes for another.
_GAP = 5.0
#: Seconds between two looks for messages that are due.
_DELIVER = 5.0
#: Channels that are sent to at once. One that hangs keeps its place for a minute.
_CHANNELS = 4
#: Seconds for a round under way at the end.
_ENDING = 2.0


class Watch:
    """The threads of one process. Make one with `watching`."""

    def __init__(self, services: Services, *, works: bool) -> None:
        self._alerts = services.alerts
        self._works = works
        self._url = services.settings.heartbeat_url
        self._urgent = threading.Event()
        self._not_before = 0.0
        self._free = threading.Semaphore(_CHANNELS)
        self._calling = threading.Lock()
        self._rounds = Periodically("watch", _LOOK, self.look)
        self._deliveries = Periodically("alerts", _DELIVER, self.deliver)

    def start(self) -> None:
        """Begins after the usual time: a service that was down has to catch up first."""
        self._rounds.start(at_once=False)
        self._deliveries.start(at_once=False)
        self._alerts.listen(self.soon)

    def stop(self) -> None:
        """Ends; what is being sent is sent once more by whoever is next, if it is not known to have arrived."""
        self._alerts.listen(None)
        self._rounds.stop(timeout=_ENDING)
        self._deliveries.stop(timeout=_ENDING)

    def soon(self) -> None:
        """Has it be looked at once, since something happened."""
        self._urgent.set()
        self._rounds.soon()

    def look(self) -> None:
        """A round, if one is due.

        Raises:
            DatabaseUnavailable: the own database does not answer, and nobody is called.
        """
        # Where one job after the other fails, they are told together.
        at_once = self._urgent.is_set() and time.monotonic() >= self._not_before
        if at_once:
            self._urgent.clear()
        look = self._alerts.rounds.look(at_once=at_once, works=self._works)
        if look is None:
            return
        self._not_before = time.monotonic() + _GAP
        self._deliveries.soon()
        if look.late_schedule is not None:
            log.error("schedules_not_begun", target=look.late_schedule)
        elif self._works and self._url.get_secret_value():  # else nobody may be there who takes backups
            _beside(self._call)

    def deliver(self) -> None:
        """Sends what is due, to each channel on a thread of its own.

        Raises:
            DatabaseUnavailable: the own database does not answer.
        """
        while self._free.acquire(blocking=False):
            with contextlib.ExitStack() as place:
                place.callback(self._free.release)
                parcel = next(self._alerts.outbox.claim(), None)
                if parcel is None:
                    return
                _beside(self._deliver, parcel, place.pop_all())

    def _deliver(self, parcel: Parcel, place: contextlib.ExitStack) -> None:
        with place:
            try:
                self._alerts.outbox.deliver(parcel)
            except (HHHError, SQLAlchemyError) as error:
                log.warning("alerts_not_recorded", channel=parcel.channel, error=str(error))
        self._deliveries.soon()  # there is a place for the next channel

    def _call(self) -> None:
        if self._calling.acquire(blocking=False):  # else the call before has not ended
            with contextlib.ExitStack() as held:
                held.callback(self._calling.release)
                dead_mans_switch.call(self._url.get_secret_value())


def _beside(do: Callable[[*_Arguments], None], *arguments: *_Arguments) -> None:
    # Daemons: a receiver that does not answer must not hold up the end of the process.
    threading.Thread(target=do, args=arguments, name="alert", daemon=True).start()


@contextlib.contextmanager
def watching(services: Services, *, works: bool) -> Iterator[Watch]:
    """Looks for troubles until the block is left.

    Args:
        services: of this process.
        works: whether it runs jobs, too.
    """
    watch = Watch(services, works=works)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
