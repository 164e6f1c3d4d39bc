"""The list of backups: what it is narrowed to, as the form and its links have it, and what each row tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pydantic import ValidationError

from hhh.console.links import link
from hhh.console.typed import said_of
from hhh.schemas.backup import BackupQuery, BackupResource

AT_ONCE = 50
#: What the fields offer, with what it is called.
STATES: Mapping[str, str] = {
    "": "Any",
    "success": "Success",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "running": "Running",
    "queued": "Queued",
}
PROVEN: Mapping[str, str] = {"": "Any", "yes": "Proven", "no": "Not proven"}
SORTS: Mapping[str, str] = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "largest": "Largest first",
    "smallest": "Smallest first",
}
#: What the links to further pages are called.
_PAGERS: Mapping[str, tuple[str, str]] = {"newest": ("Newest", "Older"), "oldest": ("Oldest", "Newer")}
_FIELDS = ("target", "status", "proven", "pinned", "from", "to", "sort")
#: By the name that the schema has, the field of the form.
_FIELD_OF: Mapping[str, str] = {"created_from": "from", "created_before": "to"}
#: So many characters of a message stand in the list.
_LONGEST = 160
_NO_DAY = "Give a day such as 2025-01-31"


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for."""

    #: The fields, as they were typed.
    typed: Mapping[str, str]
    #: By field, what is wrong with it.
    errors: Mapping[str, str]
    #: None where something is wrong.
    query: BackupQuery | None

    @property
    def narrowed(self) -> Mapping[str, str]:
        """The fields that leave something out."""
        return {name: value for name, value in self.typed.items() if value and name != "sort"}

    @property
    def pager(self) -> tuple[str, str]:
        """What the links to the first and to the next page are called."""
        return _PAGERS.get(self.typed["sort"] or "newest", ("First page", "Next page"))

    def wrong(self, name: str) -> str:
        """What is wrong with a field; empty if nothing is."""
        return self.errors.get(name, "")

    def link(self, cursor: str | None = None) -> str:
        """The same list, from that cursor on."""
        return link("/backups", {**self.typed, "cursor": cursor or ""})


@dataclass(frozen=True, slots=True)
class Row:
    """One backup in the list."""

    backup: BackupResource
    #: ``2 of 3``; empty where there are no copies.
    copies: str
    #: Each copy that is not stored: ``offsite: the store is away``.
    missing: Sequence[str]
    #: How many times smaller it is stored.
    ratio: str | None
    #: Of its error.
    first_line: str


def read(params: Mapping[str, str]) -> Asked:
    """What the query of the page asks for; nothing is raised for what can't be used."""
    typed = {name: params.get(name, "").strip() for name in _FIELDS}
    errors: dict[str, str] = {}
    asked = {
        "target": typed["target"] or None,
        "status": typed["status"] or None,
        "proven": {"yes": True, "no": False}.get(typed["proven"]),
        "pinned": True if typed["pinned"] else None,
        "created_from": midnight("from", typed, errors),
        "created_before": midnight("to", typed, errors, days=1),
        "sort": typed["sort"] or "newest",
        "cursor": params.get("cursor") or None,
        "limit": AT_ONCE,
    }
    query: BackupQuery | None = None
    try:
        query = BackupQuery.model_validate(asked)
    except ValidationError as error:
        errors |= {_FIELD_OF.get(name, name): said for name, said in said_of(error).items()}
    return Asked(typed, errors, None if errors else query)


def row(backup: BackupResource) -> Row:
    """What the list tells of a backup."""
    missing = [copy for copy in backup.copies if copy.status != "stored"]
    stored = len(backup.copies) - len(missing)
    return Row(
        backup=backup,
        copies=f"{stored} of {len(backup.copies)}" if backup.copies else "",
        missing=[f"{copy.storage}: {copy.error or copy.status}" for copy in missing],
        ratio=ratio(backup),
        first_line=first_line(backup.error),
    )


def ratio(backup: BackupResource) -> str | None:
    """How many times smaller a backup is stored: ``4.2×``."""
    if not backup.raw_size or not backup.stored_size:
        return None
    return f"{backup.raw_size / backup.stored_size:.1f}×"


def first_line(text: str | None) -> str:
    """The first line of a message, and of a long one its beginning."""
    line = (text or "").strip().partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def midnight(name: str, typed: Mapping[str, str], errors: dict[str, str], *, days: int = 0) -> datetime | None:
    """The beginning of a typed day, or of one after it; None, and why, where it is none."""
    if not typed[name]:
        return None
    try:
        return datetime.combine(date.fromisoformat(typed[name]) + timedelta(days=days), time(), UTC)
    except (ValueError, OverflowError):
        errors[name] = _NO_DAY
        return None
