"""What pages tell of stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hhh.schemas.storage import StorageResource, TestedStorage
from hhh.services.container import Services
from hhh.services.stores import DEFAULT_STORE

#: Of the databases that use a store, on its page.
_NAMED = 30


@dataclass(frozen=True, slots=True)
class Line:
    """A store in the list."""

    store: StorageResource
    #: How many databases are backed up to it.
    users: int
    #: How many copies of backups it lacks.
    missing: int


@dataclass(frozen=True, slots=True)
class StorePage:
    """All that the page of one store tells."""

    store: StorageResource
    #: Some of the databases that are backed up to it.
    named: Sequence[str]
    #: How many others there are.
    more: int
    missing: int
    #: Whether the settings name the store `default`; else it is a folder of the service's own.
    is_set: bool
    #: None unless it was just tried.
    tested: TestedStorage | None

    @property
    def is_default(self) -> bool:
        """Whether it is the one of the settings."""
        return self.store.name == DEFAULT_STORE


def listed(services: Services) -> Sequence[Line]:
    """All stores."""
    users, missing = _users(services), services.stores.missing_copies()
    return [Line(each, len(users.get(each.name, ())), missing.get(each.name, 0)) for each in services.stores.list()]


def shown(services: Services, name: str, tested: TestedStorage | None = None) -> StorePage:
    """The page of one store.

    Raises:
        NotFound: there is none of that name.
    """
    store = services.stores.get(name)
    users = _users(services).get(name, ())
    return StorePage(
        store=store,
        named=users[:_NAMED],
        more=max(0, len(users) - _NAMED),
        missing=services.stores.missing_copies().get(name, 0),
        is_set=bool(services.settings.storage_url.get_secret_value()),
        tested=tested,
    )


def _users(services: Services) -> Mapping[str, Sequence[str]]:
    """By store: the databases that are backed up to it."""
    stores, found = services.policies.stores(), defaultdict[str, list[str]](list)
    for target in services.targets.names():
        for store in stores.get(target, (DEFAULT_STORE,)):
            found[store].append(target)
    return found
