"""In which passes the entries of a dump are restored, by whom, and what is left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from hhh.core.errors import EngineError
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.superuser import SUPERUSER_CHECK, in_turns, superuser_entries, with_dependents

#: Done by statements of ours, or not at all.
_ELSEWHERE = frozenset({"ACL", "DATABASE", "DATABASE PROPERTIES", "DEFAULT ACL", "EXTENSION"})
_NAMES_IN_A_MESSAGE = 5


@dataclass(frozen=True, slots=True)
class Passes:
    """What is restored, in this order."""

    #: The plain role's and the superuser's by turns, beginning with the plain role's.
    turns: Sequence[Sequence[Entry]]
    #: By the plain role, once its tables were looked at: row-level security, which may hide rows from their owner.
    closing: Sequence[Entry]
    #: By a superuser, once everything has its owner: event triggers, which run with whatever is done after them.
    last: Sequence[Entry]

    @property
    def before_last(self) -> tuple[Entry, ...]:
        """All but the last pass."""
        return (*(entry for turn in self.turns for entry in turn), *self.closing)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them."""
        return (*self.before_last, *self.last)


def restorable(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that pg_restore restores: extensions and privileges are made otherwise."""
    return [
        entry
        for entry in entries
        if entry.description not in _ELSEWHERE
        and not (entry.description == "COMMENT" and entry.tag.startswith("EXTENSION "))
    ]


def arrange(
    archive: Archive, entries: Sequence[Entry], *, by_superuser: bool, acknowledged: Collection[str], notes: Notes
) -> Passes:
    """Puts entries into passes.

    Args:
        archive: the dump.
        entries: of it, that pg_restore is to restore.
        by_superuser: whether one may be used for what only a superuser may create; otherwise that is left out.
        acknowledged: checks that the operator accepts.
        notes: told what is left out.

    Raises:
        EngineError: there is such, and that was not accepted.
    """
    privileged = superuser_entries(archive, entries)
    if privileged and SUPERUSER_CHECK not in acknowledged:
        raise EngineError(
            f"Only a superuser may create {_listed(privileged)}", hint=f"acknowledge {SUPERUSER_CHECK} to go on"
        )
    if not by_superuser:
        left_out = with_dependents(entries, privileged)
        if left_out:
            notes.add_warning(f"Left out, since only a superuser may create it: {_listed(left_out)}")
        entries = _without(entries, left_out)
        privileged = ()
    last = with_dependents(entries, [entry for entry in privileged if entry.description == "EVENT TRIGGER"])
    entries = _without(entries, last)
    closing = [entry for entry in entries if entry.description == "ROW SECURITY"]
    turns = in_turns(_without(entries, closing), _without(privileged, last))
    return Passes(turns=turns, closing=closing, last=last)


def _without(entries: Iterable[Entry], others: Iterable[Entry]) -> list[Entry]:
    left_out = {entry.dump_id for entry in others}
    return [entry for entry in entries if entry.dump_id not in left_out]


def _listed(entries: Sequence[Entry]) -> str:
    shown = ", ".join(f"{entry.description.lower()} {entry.tag}" for entry in entries[:_NAMES_IN_A_MESSAGE])
    more = len(entries) - _NAMES_IN_A_MESSAGE
    return f"{shown} and {more} more" if more > 0 else shown
