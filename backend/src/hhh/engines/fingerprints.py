"""The text of a fingerprint: how it was taken, and what came of it.

``full/1:9c41…`` is of all rows, ``sampled/1/64:9c41…`` of about one row of 64; ``1`` is the version of the engine's own
algorithm. Two fingerprints say something about each other only if all before the colon is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from hhh.schemas.facts import TableFacts

_FULL, _SAMPLED = "full", "sampled"


@dataclass(frozen=True, slots=True)
class Method:
    """How the fingerprint of one table is taken."""

    #: Of the engine's own algorithm.
    version: str
    #: About one row of so many is looked at.
    one_of: int = 1

    def __str__(self) -> str:
        return f"{_FULL}/{self.version}" if self.one_of == 1 else f"{_SAMPLED}/{self.version}/{self.one_of}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The method in its text form; None for one that is not known here."""
        match text.split("/"):
            case ["full", version]:
                return cls(version)
            case ["sampled", version, one_of] if one_of.isdecimal():
                return cls(version, int(one_of))
        return None


def method_of(fingerprint: str) -> str:
    """How it was taken, in its text form."""
    return fingerprint.partition(":")[0]


def added_up(fingerprints: Sequence[str | None]) -> str | None:
    """That of all rows of several tables with the same columns, if each has one of all its rows, taken in the same way.

    Of PostgreSQL, whose fingerprints are sums. Samples are left out: each table has its own key to choose them by.
    """
    known = [each for each in fingerprints if each is not None]
    methods = {method_of(each) for each in known}
    if len(known) < len(fingerprints) or len(methods) != 1 or not known[0].startswith(f"{_FULL}/"):
        return None
    total = sum(int(each.rpartition(":")[2], 16) for each in known)
    return f"{methods.pop()}:{total % 2**64:016x}"


def methods_of(tables: Iterable[TableFacts]) -> Mapping[tuple[str, str], str]:
    """How each fingerprint was taken, by schema and name, so that it can be taken again in the same way."""
    return {
        (table.schema_name, table.name): method_of(table.fingerprint)
        for table in tables
        if table.fingerprint is not None
    }


def are_comparable(one: str | None, other: str | None) -> bool:
    """Whether both were taken, and in the same way."""
    return one is not None and other is not None and method_of(one) == method_of(other)
