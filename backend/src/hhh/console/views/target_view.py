"""What pages tell of targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from hhh.console.links import link, pages
from hhh.console.views.history_view import HistoryView, history_of
from hhh.core.text import counted
from hhh.schemas.backup import BackupFilter, BackupResource
from hhh.schemas.policy import ProofFields
from hhh.schemas.recoverability import Recoverability
from hhh.schemas.schedule import ScheduleResource
from hhh.schemas.target import TestedTarget
from hhh.services.container import Services
from hhh.services.policies import TargetPolicy, resolved
from hhh.services.repair import MOST_COUNTED
from hhh.services.targets import APP, ListedTarget

#: Targets on one page of the list.
PAGE = 50
#: Of a target's backups, and of its schedules, on its page.
NEWEST_BACKUPS, SCHEDULES = 10, 20
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A target in the list."""

    target: ListedTarget
    known: Recoverability
    next_run_at: datetime | None
    stores: Sequence[str]


@dataclass(frozen=True, slots=True)
class TargetList:
    """One page of the list."""

    lines: Sequence[Line]
    search: str
    #: Of all that are found, counted from 1.
    page: int
    pages: int
    found: int

    @property
    def before(self) -> str:
        """Where the page before is; empty where there is none."""
        return self._path(self.page - 1) if 1 < self.page <= self.pages else ""

    @property
    def after(self) -> str:
        """Where the next page is; empty where there is none."""
        return self._path(self.page + 1) if self.page < self.pages else ""

    def _path(self, page: int) -> str:
        return link("/targets", {"search": self.search, "page": page})


@dataclass(frozen=True, slots=True)
class TargetPage:
    """All that the page of one target tells."""

    target: ListedTarget
    known: Recoverability
    policy: Sequence[tuple[str, str]]
    backups: Sequence[BackupResource]
    schedules: Sequence[ScheduleResource]
    #: How many copies of its backups are to be made again; at most `MOST_COUNTED` are counted.
    missing: int
    history: HistoryView
    #: None unless it was just tried.
    tested: TestedTarget | None = None

    @property
    def more_are_missing(self) -> bool:
        """Whether there may be more missing copies than were counted."""
        return self.missing >= MOST_COUNTED

    @property
    def is_own(self) -> bool:
        """Whether it is the service's own database."""
        return self.target.name == APP


def listed(services: Services, search: str, page: int) -> TargetList:
    """One page of the list of targets."""
    targets, found = services.targets.page(search, limit=PAGE, offset=(page - 1) * PAGE)
    names = [each.name for each in targets]
    known, next_runs = services.recoverability.among(names), services.schedules.next_runs(names)
    policies = services.policies.among(names)
    lines = [Line(each, known[each.name], next_runs.get(each.name), resolved(policies[each.name])) for each in targets]
    return TargetList(lines, search, page, pages(found, PAGE), found)


def shown(services: Services, name: str, tested: TestedTarget | None = None) -> TargetPage:
    """The page of one target.

    Raises:
        NotFound: there is none of that name.
    """
    target = services.targets.get(name)
    return TargetPage(
        target=target,
        known=services.recoverability.of(name),
        policy=[*_in_words(services.policies.of(name))],
        backups=services.catalogue.page(BackupFilter(target=name), cursor=None, limit=NEWEST_BACKUPS).items,
        schedules=services.schedules.page(target=name, limit=SCHEDULES),
        missing=services.repair.count_missing(name),
        history=history_of(services, [name]),
        tested=tested,
    )


def _in_words(policy: TargetPolicy) -> Sequence[tuple[str, str]]:
    """How a target's backups are taken and proven, and what is demanded of them."""
    proof, tries = policy.proof, policy.retries
    after, queries = proof.verify_after_backup, len(proof.assertions)
    return [
        ("Stores", _stores(policy)),
        ("After a failure", f"tried {counted(tries, 'more time', 'more times')}" if tries else "not tried again"),
        ("Time limit", _limit(policy.time_limit_seconds)),
        ("After each backup", f"verified: {after}" if after else "nothing is verified by itself"),
        ("Drills", _drills(proof)),
        ("Fingerprints of rows", proof.fingerprint),
        ("Assertions", counted(queries, "query", "queries") if queries else "none"),
        ("Demanded", " and ".join(_demands(proof)) or "nothing but what its schedules say"),
    ]


def _stores(policy: TargetPolicy) -> str:
    stores, least = resolved(policy), policy.minimum_copies
    if len(stores) == 1:
        return stores[0]
    return f"{', '.join(stores)}; a backup counts once it is in {'all' if least is None else least} of them"


def _limit(seconds: int | None) -> str:
    if seconds is None:
        return "none"
    minutes, rest = divmod(seconds, _MINUTE)
    return counted(seconds, "second", "seconds") if rest else counted(minutes, "minute", "minutes")


def _drills(proof: ProofFields) -> str:
    server = f"on the server of {proof.drill_target}" if proof.drill_target else "on a throw-away server"
    accepted = ", ".join(proof.drill_acknowledge)
    return f"{server}, in spite of {accepted}" if accepted else server


def _demands(proof: ProofFields) -> Iterator[str]:
    if proof.backed_up_within_hours is not None:
        yield f"a backup every {counted(proof.backed_up_within_hours, 'hour', 'hours')}"
    if proof.proven_within_days is not None:
        yield f"a proof every {counted(proof.proven_within_days, 'day', 'days')}"
