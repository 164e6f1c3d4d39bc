"""The stores that backups go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hhh.artifacts.publication import Destination
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.storages.base import Storage

#: The name of the store of ``HHH_STORAGE_URL``; it is always there.
DEFAULT_STORE = "default"


class StoreService:
    """Registers, finds and opens stores. Reads no store by itself.

    Args:
        settings: have the key that credentials are sealed with.
        database: has the registered ones.
        default: what `DEFAULT_STORE` is.
    """

    def __init__(self, settings: Settings, database: Database, default: Storage) -> None:
        self._settings = settings
        self._database = database
        self._default = Destination(DEFAULT_STORE, default)

    def all(self) -> Sequence[Destination]:
        """`DEFAULT_STORE`, then every registered one that can be opened."""
        return [self._default]

    def find(self, name: str) -> Destination:
        """The store of that name.

        Raises:
            NotFound: there is none.
            ConfigurationError: its credentials can't be opened.
        """
        for store in self.all():
            if store.name == name:
                return store
        raise NotFound(f"No store is named {name!r}", hint="see `hhh storage list`")

    def named(self, names: Iterable[str]) -> Sequence[Destination]:
        """The stores of these names, in their order; no name at all is `DEFAULT_STORE`.

        Raises:
            NotFound, ConfigurationError: as for `find`.
        """
        return [self.find(name) for name in names] or [self._default]
