"""Stores that were opened, each once, until its row changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from hhh.artifacts.destinations import Destination
from hhh.core.config import Settings
from hhh.core.errors import HHHError
from hhh.models import Store
from hhh.services import store_options
from hhh.services.local_addresses import refuse_local_store
from hhh.services.sealing import Sealing
from hhh.storages.registry import open_storage

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Opened:
    row_id: str
    updated_at: datetime
    #: None if it can't be opened.
    destination: Destination | None


class OpenedStores:
    """Opens stores, and keeps them. Thread-safe."""

    def __init__(self, settings: Settings, sealing: Sealing) -> None:
        self._settings = settings
        self._sealing = sealing
        self._lock = threading.Lock()
        self._known: dict[str, _Opened] = {}

    def one(self, row: Store) -> Destination:
        """The store of a row.

        Raises:
            ConfigurationError, StorageUnavailable, InvalidInput: it can't be opened.
        """
        with self._lock:
            known = self._still(row)
            return known.destination if known and known.destination else self._open(row)

    def those_that_open(self, registered: Sequence[Store]) -> Sequence[Destination]:
        """All of them but those that can't be opened; of each of these one warning is logged."""
        with self._lock:
            for row in registered:
                if self._still(row) is None:
                    self._try(row)
            self._known = {row.name: self._known[row.name] for row in registered}
            return [each.destination for each in self._known.values() if each.destination is not None]

    def _still(self, row: Store) -> _Opened | None:
        known = self._known.get(row.name)
        return known if known and (known.row_id, known.updated_at) == (row.id, row.updated_at) else None

    def _open(self, row: Store) -> Destination:
        options = store_options.opened(self._sealing, row)
        refuse_local_store(self._settings, options)
        destination = Destination(row.name, open_storage(row.url, options=options, must_exist=True))
        self._known[row.name] = _Opened(row.id, row.updated_at, destination)
        return destination

    def _try(self, row: Store) -> None:
        try:
            self._open(row)
        except HHHError as error:
            log.warning("store_not_opened", store=row.name, error=str(error))
            self._known[row.name] = _Opened(row.id, row.updated_at, None)
