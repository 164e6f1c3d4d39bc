"""What the overview shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hhh.console.links import link, pages
from hhh.console.views.history_view import HistoryView, history_of
from hhh.schemas.recoverability import Recoverability
from hhh.services.container import Services
from hhh.services.recovery_state import STATES
from hhh.services.totals import Totals, totals

#: Targets on one page.
PAGE = 12


@dataclass(frozen=True, slots=True)
class Asked:
    """What of all targets is to be seen."""

    #: One of `STATES`; whatever else narrows nothing.
    state: str = ""
    #: A part of the name.
    search: str = ""
    page: int = 1

    def href(self, **changed: str | int) -> str:
        """The overview, asked for the same but for what is changed."""
        asked = {"state": self.state, "q": self.search, "page": self.page, **changed}
        return link("/", asked)


@dataclass(frozen=True, slots=True)
class Step:
    """What can be done about a target: a link, or a form where it has `fields`."""

    label: str
    href: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """One target."""

    standing: Recoverability
    #: The most useful first.
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many targets are in one state."""

    state: str
    count: int
    href: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The page."""

    asked: Asked
    #: Tells it at a glance.
    headline: str
    #: The worst state that any target is in.
    worst: str
    states: Sequence[StateCount]
    totals: Totals
    #: Of this page; the worst first.
    cards: Sequence[Card]
    #: How many there are on all pages.
    found: int
    pages: int
    history: HistoryView

    @property
    def before(self) -> str:
        """Where the page before is; empty where there is none."""
        return self.asked.href(page=self.asked.page - 1) if self.asked.page > 1 else ""

    @property
    def after(self) -> str:
        """Where the next page is; empty where there is none."""
        return self.asked.href(page=self.asked.page + 1) if self.asked.page < self.pages else ""


def overview_of(services: Services, asked: Asked) -> Overview:
    """How all targets stand, and those of one page in detail."""
    everything = services.recoverability.states()
    found = [target for target, state in everything.items() if _is_asked_for(target, state, asked)]
    last = pages(len(found), PAGE)
    asked = Asked(asked.state if asked.state in STATES else "", asked.search, min(max(asked.page, 1), last))
    shown = found[(asked.page - 1) * PAGE : asked.page * PAGE]
    details = services.recoverability.among(shown)
    return Overview(
        asked=asked,
        headline=_headline([*everything.values()]),
        worst=next(iter(everything.values())),
        states=_states(everything.values(), asked),
        totals=totals(services.database),
        cards=[Card(details[target], _steps(details[target])) for target in shown],
        found=len(found),
        pages=last,
        history=history_of(services, shown),
    )


def _is_asked_for(target: str, state: str, asked: Asked) -> bool:
    return (asked.state not in STATES or state == asked.state) and asked.search.lower() in target


def _headline(states: Sequence[str]) -> str:
    total, needy = len(states), sum(state != "healthy" for state in states)
    if not needy:
        return "Your database can be got back" if total == 1 else f"All {total} databases can be got back"
    if total == 1:
        return "Your database needs you"
    return f"{needy} of {total} databases {'needs' if needy == 1 else 'need'} you"


def _states(states: Iterable[str], asked: Asked) -> Sequence[StateCount]:
    counts = Counter(states)
    return [
        StateCount(
            state,
            counts[state],
            asked.href(state="" if state == asked.state else state, page=1),
            state == asked.state,
        )
        for state in STATES
    ]


def _steps(each: Recoverability) -> Sequence[Step]:
    again = Step("Back up now", "/backups", {"target": each.target})
    if each.failed_backup_id is not None:
        return [again, Step("See what failed", f"/backups/{each.failed_backup_id}")]
    if each.last_backup_id is None:
        return [again] if each.state != "healthy" else []
    prove = Step("Prove the newest", f"/backups/{each.last_backup_id}/verify", {"level": "proven"})
    newest = Step("See the newest", f"/backups/{each.last_backup_id}")
    return {"failing": [again, newest], "late": [again], "unproven": [prove], "healthy": []}[each.state]
