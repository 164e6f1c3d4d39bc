"""A restore as its page tells it: what stands against it, what came of it, what can be done now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hhh.core.errors import RestoreUnsafe
from hhh.schemas.facts import TableFacts
from hhh.schemas.restore import Check, Difference, Receipt, RestoreResource
from hhh.services.comparison import ROWS_OF, TABLE, full_name
from hhh.services.recovery_points import Point
from hhh.services.targets import APP
from hhh.services.whereabouts import Whereabouts

#: What was looked at longer ago is to be looked at again.
_OLD = timedelta(hours=1)
#: So many tables without a difference stand on the page; the API has them all.
MOST_TABLES = 500
_ORDER = ("unsafe", "warning", "unknown", "acknowledged", "ok")
_MODES = {"new": "beside it, as new", "replace": "in place", "tables": "some tables"}


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """One table of a receipt."""

    name: str
    #: Rows in the backup; None where a table is not compared by itself.
    source: str | None
    restored: str
    #: Why it is not.
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A receipt, what is wrong first."""

    #: What was counted on both sides: what, in the backup, restored.
    numbers: Sequence[tuple[str, object, object]]
    differing: Sequence[ComparedTable]
    #: Differences of other things than rows.
    others: Sequence[Difference]
    alike: Sequence[ComparedTable]
    #: How many more are alike.
    left_out: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing differs."""
        return not self.differing and not self.others


@dataclass(frozen=True, slots=True)
class RestoreView:
    """What the page of a restore shows beside its record."""

    restore: RestoreResource
    #: None where the backup is gone.
    point: Point | None
    #: Of the target that it goes to; None where that is gone or can't be opened.
    where: Whereabouts | None
    now: datetime
    checks: Sequence[Check]
    receipt: ReceiptView | None
    #: The undo that took it back, or is about to.
    undone_by: str | None

    @property
    def kind(self) -> str:
        """What it is."""
        if self.restore.undo_of is not None:
            return "Undo"
        return "Dry run" if self.restore.dry_run else "Restore"

    @property
    def mode(self) -> str:
        """Where it goes, in words."""
        return mode_in_words(self.restore.mode, self.restore.undo_of)

    @property
    def server(self) -> str:
        """On which server it is; empty for a file, and where that is not known."""
        return self.where.server if self.where is not None else ""

    @property
    def blocking(self) -> list[Check]:
        """What stands against it and has to be helped."""
        return [each for each in self.checks if each.status == "unsafe" and each.acknowledge is None]

    @property
    def doubtful(self) -> list[Check]:
        """What somebody may go on in spite of, whether they said so already or not."""
        return [each for each in self.checks if each.acknowledge and each.status in ("unsafe", "acknowledged")]

    @property
    def all_hold(self) -> bool:
        """Whether there is nothing to look at."""
        return all(each.status == "ok" for each in self.checks)

    @property
    def is_old(self) -> bool:
        """Whether what it looked at may be different by now."""
        ended = self.restore.finished_at
        return ended is not None and self.now - ended > _OLD

    @property
    def can_be_undone(self) -> bool:
        """Whether what it replaced is there still."""
        restore = self.restore
        kept_until = restore.kept_until if restore.kept and restore.undone_at is None else None
        return restore.status == "success" and kept_until is not None and kept_until > self.now

    @property
    def is_own(self) -> bool:
        """Whether it replaces the service's own database."""
        return self.restore.destination_target == APP and self.restore.mode == "replace"

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        begun, ended = self.restore.started_at, self.restore.finished_at
        return (ended - begun).total_seconds() if begun and ended else None


def view_of(
    restore: RestoreResource,
    *,
    point: Point | None,
    where: Whereabouts | None,
    now: datetime,
    undone_by: str | None = None,
    refused: RestoreUnsafe | None = None,
) -> RestoreView:
    """What the page shows.

    Args:
        restore: the record.
        point: its backup.
        where: the target it goes to.
        now: the time of the page.
        undone_by: the id of its undo.
        refused: what stood against it when it was asked for; counts for more than what its plan says.
    """
    checks = {each.name: each for each in restore.checks}
    for reason in refused.reasons if refused else ():
        check = Check.model_validate(reason)
        checks[check.name] = check
    return RestoreView(
        restore=restore,
        point=point,
        where=where,
        now=now,
        checks=sorted(checks.values(), key=lambda each: _ORDER.index(each.status)),
        receipt=receipt_view(restore.receipt) if restore.receipt else None,
        undone_by=undone_by,
    )


def mode_in_words(mode: str, undo_of: str | None) -> str:
    """Where a restore goes."""
    return "undo" if undo_of is not None else _MODES.get(mode, mode)


def receipt_view(receipt: Receipt) -> ReceiptView:
    """A receipt, table by table."""
    differing, others = [], []
    for each in receipt.differences:
        name = _table_of(each.name)
        if name is None:
            others.append(each)
        else:
            differing.append(ComparedTable(name, _readable(each.expected), _readable(each.found)))
    names = {each.name for each in differing}
    alike = [_alike(each) for each in receipt.tables if full_name(each.schema_name, each.name) not in names]
    return ReceiptView(
        numbers=_numbers(receipt),
        differing=differing,
        others=others,
        alike=alike[:MOST_TABLES],
        left_out=max(0, len(alike) - MOST_TABLES),
    )


def _readable(found: str) -> str:
    return f"{int(found):,}" if found.isdecimal() else found


def _table_of(difference: str) -> str | None:
    for beginning in (ROWS_OF, TABLE):
        if difference.startswith(beginning):
            return difference.removeprefix(beginning)
    return None


def _alike(table: TableFacts) -> ComparedTable:
    name, rows = full_name(table.schema_name, table.name), f"{table.rows:,}"
    if table.root is not None:
        return ComparedTable(name, None, rows, f"a partition, compared as part of {full_name(*table.root)}")
    if table.extension is not None:
        return ComparedTable(name, None, rows, f"of the extension {table.extension}, which fills it")
    return ComparedTable(name, rows, rows)


def _numbers(receipt: Receipt) -> Sequence[tuple[str, object, object]]:
    names: Collection[str] = dict.fromkeys([*receipt.source, *receipt.restored])
    return [
        (name.replace("_", " "), _grouped(receipt.source.get(name)), _grouped(receipt.restored.get(name)))
        for name in names
    ]


def _grouped(number: object) -> object:
    return f"{number:,}" if isinstance(number, int) else number
