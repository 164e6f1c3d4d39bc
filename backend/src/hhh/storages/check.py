"""Whether a store does all that backups need of it; `hhh doctor` shows the answer."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from hhh.core.errors import HHHError, ObjectExists, ObjectMissing, StorageError, StorageUnavailable
from hhh.storages.base import Storage

#: The folder of the objects that a check writes and removes.
FOLDER = "hhh-check"
_CONTENT = bytes(range(256)) * 16


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One thing tried."""

    name: str
    ok: bool
    #: What was seen, or the error's message.
    detail: str


def check_storage(storage: Storage) -> list[CheckStep]:
    """Writes, reads back, lists, creates twice and removes; stops at the first step that fails.

    Returns:
        The steps that were tried, in their order. What they wrote is removed again, if the store lets us.
    """
    trial = _Trial(storage)
    done: list[CheckStep] = []
    try:
        for name, step in trial.steps():
            done.append(_tried(name, step))
            if not done[-1].ok:
                break
    finally:
        trial.clear()
    return done


def _tried(name: str, step: Callable[[], str]) -> CheckStep:
    try:
        return CheckStep(name, ok=True, detail=step())
    except HHHError as error:
        return CheckStep(name, ok=False, detail=str(error))


class _Trial:
    """The steps and their two objects, under names that nobody else has."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        # One folder for all trials: a store that is a folder keeps it, empty.
        name = secrets.token_hex(8)
        self._written = f"{FOLDER}/{name}.written"
        self._created = f"{FOLDER}/{name}.created"
        #: What may be there: a store that answers nothing is not waited for once more for each of the others.
        self._begun: list[str] = []

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("write", self._write),
            ("read back", self._read_back),
            ("list", self._list),
            ("create", self._create),
            ("refuse a second create", self._create_again),
            ("delete", self._delete),
            ("gone", self._gone),
        ]

    def clear(self) -> None:
        for key in self._begun:
            with contextlib.suppress(StorageError):
                self._storage.delete(key)

    def _write(self) -> str:
        self._begun.append(self._written)
        with self._storage.open_writer(self._written, expected_size=len(_CONTENT)) as writer:
            writer.write(_CONTENT)
        return f"{len(_CONTENT)} bytes in {self._storage.address}"

    def _read_back(self) -> str:
        if b"".join(self._storage.read(self._written)) != _CONTENT:
            raise StorageUnavailable("the object reads back with other bytes than were written")
        return "the same bytes"

    def _list(self) -> str:
        listed = {info.key: info.size for info in self._storage.list(FOLDER)}
        if listed.get(self._written) != len(_CONTENT):
            raise StorageUnavailable(f"the folder of the object lists as {listed}")
        return "the object and its size"

    def _create(self) -> str:
        self._begun.append(self._created)
        self._storage.create(self._created, b"first")
        return "created"

    def _create_again(self) -> str:
        try:
            self._storage.create(self._created, b"second")
        except ObjectExists:
            return "refused"
        raise StorageUnavailable(
            "the store takes a conditional create over an object that is there",
            hint="it ignores If-None-Match; two workers could both publish one backup: update the store",
        )

    def _delete(self) -> str:
        for key in (self._written, self._created):
            self._storage.delete(key)
        return "deleted"

    def _gone(self) -> str:
        try:
            self._storage.head(self._written)
        except ObjectMissing:
            return "gone"
        raise StorageUnavailable("the object is still there after it was deleted", hint="is it under a retention lock?")
