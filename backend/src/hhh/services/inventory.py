"""What is in a store, by one listing instead of a question for each object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hhh.storages.base import ObjectInfo


class Inventory:
    """The sizes of objects, by their keys. About 230 MB for a million of them."""

    def __init__(self, listed: Iterable[ObjectInfo] = ()) -> None:
        #: By folder, so that what thousands of keys begin with is kept once; then by name: bytes.
        self._folders: dict[str, dict[str, int]] = {}
        for info in listed:
            self.add(info)

    def add(self, info: ObjectInfo) -> None:
        """Takes what was listed."""
        folder, _, name = info.key.rpartition("/")
        self._folders.setdefault(folder, {})[name] = info.size

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if it was not there."""
        folder, _, name = key.rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def take_out(self, key: str) -> None:
        """Forgets an object; a no-op for one that was not there."""
        folder, _, name = key.rpartition("/")
        self._folders.get(folder, {}).pop(name, None)

    def keys(self) -> Iterator[str]:
        """All that were not taken out, in their order by folder; more may be taken out meanwhile."""
        for folder in sorted(self._folders):
            for name in sorted(self._folders[folder]):
                if name in self._folders[folder]:
                    yield f"{folder}/{name}" if folder else name

    def __len__(self) -> int:
        return sum(map(len, self._folders.values()))
