"""What the page of a target's rules tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

from hhh.console.links import link
from hhh.console.typed import Typed
from hhh.console.views.retention_calendar import DROPPED, KINDS, Calendar, calendar_of, kind_of
from hhh.console.views.retention_form import TRY, sent_of, starts
from hhh.services.pruning import Decided
from hhh.services.retention import Verdict

#: Backups that are listed where no day was chosen, and of a chosen one at most.
_NEWEST, _OF_A_DAY = 20, 200


@dataclass(slots=True)
class Total:
    """How many backups, and their bytes."""

    count: int = 0
    size: int = 0

    def add(self, count: int, size: int) -> None:
        """So many more, of so many bytes together."""
        self.count += count
        self.size += size


#: By the stores that have a copy, and what becomes of it.
_Sums = Mapping[tuple[tuple[str, ...], str], Total]


@dataclass(slots=True)
class StoreLeft:
    """What a store has of a target now, and would have then."""

    now: Total = field(default_factory=Total)
    left: Total = field(default_factory=Total)


@dataclass(frozen=True, slots=True)
class Line:
    """A backup in the list."""

    verdict: Verdict

    @property
    def kind(self) -> str:
        """What becomes of it."""
        return kind_of(self.verdict)


@dataclass(frozen=True, slots=True)
class RetentionPage:
    """The page."""

    target: str
    decided: Decided
    form: Typed
    #: Whether the rules are not the target's own.
    tried: bool
    calendar: Calendar
    #: By what becomes of them.
    totals: Mapping[str, Total]
    #: By name.
    stores: Mapping[str, StoreLeft]
    #: The chosen one.
    day: date | None
    #: Of that day, or the newest.
    listed: Sequence[Line]

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/targets/{self.target}/retention"

    @property
    def carried(self) -> Mapping[str, str]:
        """The rules that are tried, as its forms and links carry them along."""
        return {TRY: "1", **sent_of(self.form)} if self.tried else {}

    @property
    def starts(self) -> Sequence[tuple[str, str]]:
        """Rules to begin with, and the links that try them."""
        return starts(self.path)

    @property
    def dropped(self) -> Total:
        """What the rules drop."""
        return self.totals[DROPPED]

    @property
    def kept(self) -> Total:
        """What they don't."""
        staying = [total for kind, total in self.totals.items() if kind != DROPPED]
        return Total(sum(total.count for total in staying), sum(total.size for total in staying))

    @property
    def again(self) -> str:
        """This very page, with the rules that are tried."""
        return link(self.path, self.carried)

    def months_from(self, key: str) -> str:
        """The page whose calendar begins with a month; empty where there is no such month."""
        if not key:
            return ""
        return f"{link(self.path, {**self.carried, 'until': key})}#calendar"


def shown(
    target: str, decided: Decided, form: Typed, *, tried: bool, until: str = "", day: date | None = None
) -> RetentionPage:
    """The page.

    Args:
        target: whose backups they are.
        decided: what becomes of them.
        form: of the rules.
        tried: whether they are not the target's own.
        until: the newest month shown, ``2026-11``; empty: the newest that there is.
        day: whose backups are listed.
    """
    sums = _sums(decided.verdicts)
    of_day = (each for each in decided.verdicts if day is None or each.backup.created_at.date() == day)
    return RetentionPage(
        target=target,
        decided=decided,
        form=form,
        tried=tried,
        calendar=calendar_of(decided, until or (f"{day:%Y-%m}" if day else "")),
        totals=_totals(sums),
        stores=_stores(sums),
        day=day,
        listed=[Line(each) for each in islice(of_day, _OF_A_DAY if day else _NEWEST)],
    )


def _sums(verdicts: Sequence[Verdict]) -> _Sums:
    # There are thousands of backups, and a few of these.
    found: dict[tuple[tuple[str, ...], str], Total] = {}
    for verdict in verdicts:
        sort = verdict.backup.stores, kind_of(verdict)
        if sort not in found:
            found[sort] = Total()
        found[sort].add(1, verdict.backup.size)
    return found


def _totals(sums: _Sums) -> Mapping[str, Total]:
    found = {kind: Total() for kind in KINDS}
    for (_, kind), total in sums.items():
        found[kind].add(total.count, total.size)
    return found


def _stores(sums: _Sums) -> Mapping[str, StoreLeft]:
    found: dict[str, StoreLeft] = {}
    for (stores, kind), total in sums.items():
        for name in stores:
            store = found.setdefault(name, StoreLeft())
            store.now.add(total.count, total.size)
            if kind != DROPPED:
                store.left.add(total.count, total.size)
    return dict(sorted(found.items()))
