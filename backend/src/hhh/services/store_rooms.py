"""How full stores are, asked so that one whose disk does not answer keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from hhh.core.errors import StorageUnavailable
from hhh.storages.room import Room, room_of

#: Seconds for all of them. A disk in the network that is gone keeps whoever asks for it, for hours.
_PATIENCE = 5.0


class _Look(threading.Thread):
    """One look at one store."""

    def __init__(self, url: str) -> None:
        super().__init__(name="store-room", daemon=True)
        self._url = url
        self.found: Room | StorageUnavailable | None = None

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            self.found = room_of(self._url)
        except StorageUnavailable as error:
            self.found = error


class StoreRooms:
    """Looks at stores; at one that still keeps an earlier look it does not look again. For one thread."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._looks: dict[str, _Look] = {}

    def look(self, urls: Mapping[str, str]) -> tuple[Mapping[str, Room], Mapping[str, str]]:
        """By store: how full those are that are folders, and why others can't be used."""
        for name, url in urls.items():
            if name not in self._looks or not self._looks[name].is_alive():
                self._looks[name] = _Look(url)
                self._looks[name].start()
        deadline = time.monotonic() + self._patience
        rooms, failing = {}, {}
        for name in urls:
            look = self._looks[name]
            look.join(max(0.0, deadline - time.monotonic()))
            if look.is_alive():
                failing[name] = "Its disk does not answer"
            elif isinstance(look.found, Room):
                rooms[name] = look.found
            elif look.found is not None:
                failing[name] = look.found.message
        return rooms, failing
