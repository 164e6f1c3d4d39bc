"""How full stores are, asked so that one whose disk does not answer keeps nobody waiting."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from concurrent.futures import Future, wait

from hhh.core import background
from hhh.core.errors import StorageUnavailable
from hhh.storages.room import Room, room_of

#: Seconds for all of them. A disk in the network that is gone keeps whoever asks for it, for hours.
_PATIENCE = 5.0


class StoreRooms:
    """Looks at stores; at one that still keeps an earlier look it does not look again. For one thread."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._looks: dict[str, Future[Room | None]] = {}

    def look(self, urls: Mapping[str, str]) -> tuple[Mapping[str, Room], Mapping[str, str]]:
        """By store: how full those are that are folders, and why others can't be used."""
        for name, url in urls.items():
            if name not in self._looks or self._looks[name].done():
                self._looks[name] = background.begin(functools.partial(room_of, url), name="store-room")
        wait([self._looks[name] for name in urls], self._patience)
        rooms, failing = {}, {}
        for name in urls:
            try:
                if (room := self._looks[name].result(0)) is not None:
                    rooms[name] = room
            except TimeoutError:
                failing[name] = "Its disk does not answer"
            except StorageUnavailable as error:
                failing[name] = error.message
        return rooms, failing
