"""What a page of drills tells beside the record: what it came to in words, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hhh.core.text import counted
from hhh.schemas.proof_report import ReportedTable
from hhh.schemas.verification import VerificationResource
from hhh.services.proof_report import tables

#: The choices of the filter, with what they are called.
STATES: Mapping[str, str] = {
    "success": "Success",
    "failed": "Failed",
    "inconclusive": "Inconclusive",
    "cancelled": "Cancelled",
}
LEVELS: Mapping[str, str] = {"proven": "Proven", "readable": "Readable", "stored": "Stored"}
_ASKED_BY: Mapping[str, str] = {
    "cli": "command line",
    "policy": "rule of the database",
    "schedule": "schedule",
    "read-back": "daily read-back",
}
_NOT_RESTORED = "Nothing was restored: this does not prove that it can be."
_PROVEN = (
    "This backup was restored into a throw-away database, and compared there with the facts that were recorded with "
    "it. Nothing differs."
)
#: By level, what it means that a backup reached it.
_REACHED: Mapping[str, tuple[str, str]] = {
    "proven": ("Proven restorable", _PROVEN),
    "readable": (
        "Readable",
        f"Every copy is what was stored, and the backup was opened and read to its end. {_NOT_RESTORED}",
    ),
    "stored": ("Stored", f"Every copy was read back, and is what was stored. {_NOT_RESTORED}"),
}
_FOUND_OUT: Mapping[str | None, str] = {
    "stored": "What was found out: every copy is what was stored.",
    "readable": "What was found out: the backup can be read to its end.",
}
#: So many tables stand on the page at once; further ones are folded away, up to a number that a browser shows quickly.
_SHOWN_TABLES = 10
_MOST_TABLES = 1000
#: Of every other list so many.
_MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a drill came to."""

    #: As `parts.state` knows it.
    state: str
    title: str
    said: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What was restored, table by table, those that differ first."""

    shown: Sequence[ReportedTable]
    folded: Sequence[ReportedTable]
    total: int
    rows: int
    differing: int

    @property
    def left_out(self) -> int:
        """How many are in the report alone."""
        return self.total - len(self.shown) - len(self.folded)


@dataclass(frozen=True, slots=True)
class DrillView:
    """One drill, for its page."""

    found: VerificationResource
    #: None while it waits or runs.
    verdict: Verdict | None
    #: What to do, the most useful first.
    steps: Sequence[str]
    tables: Tables
    #: Whether its backup is still in the catalogue.
    has_backup: bool

    @property
    def is_reported(self) -> bool:
        """Whether there is a report of it."""
        return is_reported(self.found)


def drill_view(found: VerificationResource, *, has_backup: bool) -> DrillView:
    """What the page of a drill tells."""
    return DrillView(found, _verdict(found), [*_steps(found)], _tables(found), has_backup)


def is_reported(found: VerificationResource) -> bool:
    """Whether there is a report of a verification: of one that ended by itself."""
    return found.finished_at is not None and found.status != "cancelled"


def asked_by(requested_by: str) -> str:
    """Who asked for a verification, in words."""
    return _ASKED_BY.get(requested_by, requested_by)


def at_most(lines: Sequence[object]) -> tuple[Sequence[object], str]:
    """The first of many lines, and what is to be said of the others."""
    more = len(lines) - _MOST_LINES
    return lines[:_MOST_LINES], f"{counted(more, 'more', 'more')}: the report has all" if more > 0 else ""


def _verdict(found: VerificationResource) -> Verdict | None:
    if found.finished_at is None:
        return None
    match found.status:
        case "success":
            return Verdict(found.level, *_REACHED[found.level])
        case "failed":
            return Verdict("failed", "Failed", "This backup is not what it should be.")
        case "cancelled":
            return Verdict("cancelled", "Cancelled", "It was ended. What was known of the backup before still holds.")
    said = "It could not be found out what this backup is good for. Nothing speaks against it."
    return Verdict("inconclusive", "Inconclusive", f"{said} {_FOUND_OUT.get(found.reached, '')}".strip())


def _steps(found: VerificationResource) -> Iterator[str]:
    if found.status == "inconclusive":
        yield "Provide what was lacking, then verify again."
    if found.status != "failed":
        return
    if found.bad_copies and found.has_good_copy:
        yield "Bad copies are made again from a good one by the service itself, or at once from the backup's page."
    if (found.bad_copies and not found.has_good_copy) or found.speaks_against_content:
        yield "Don't count on this backup: take another one, and verify that."
    if found.failed_assertions:
        yield "If an assertion is wrong, change it at the database, then verify again."


def _tables(found: VerificationResource) -> Tables:
    every = sorted(tables(found), key=_differing_first)
    shown, folded = every[:_SHOWN_TABLES], every[_SHOWN_TABLES:_MOST_TABLES]
    return Tables(shown, folded, len(every), sum(each.rows_found or 0 for each in every), sum(map(differs, every)))


def differs(table: ReportedTable) -> bool:
    """Whether another number of rows was restored than were backed up; of one that nobody compared nobody knows."""
    return table.rows_expected is not None and table.rows_expected != table.rows_found


def _differing_first(table: ReportedTable) -> tuple[bool, int, str]:
    return not differs(table), -max(table.rows_expected or 0, table.rows_found or 0), table.name
