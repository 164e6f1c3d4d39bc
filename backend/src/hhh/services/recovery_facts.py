"""What the own database tells of targets, in a number of queries that does not depend on theirs, put together.

For states alone it is asked for less: of hundreds of targets, what the others are told by would be read for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from sqlalchemy.orm import Session

from hhh.core.errors import InvalidInput
from hhh.repositories import recoverability as rows
from hhh.repositories import sweeping
from hhh.repositories.recoverability import Conclusion, Planned
from hhh.schemas.policy import ProofFields
from hhh.services import instants
from hhh.services.own_backups import overdue_after
from hhh.services.policies import APP
from hhh.services.recovery_state import Known, Seen
from hhh.services.verdicts import against, inconclusive, proof

#: The clocks of the machines of one installation differ by less; what is dated further ahead counts as none.
_CLOCKS_DIFFER = timedelta(minutes=5)

_Conclusions: TypeAlias = Mapping[str, Sequence[Conclusion]]


class Newest(NamedTuple):
    """Those backups of a target that its state follows from; see `Known`."""

    stored: Seen | None
    good: Seen | None
    proven: Seen | None
    failed: Seen | None
    ahead: Seen | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What states follow from; `conclusions` and `schedules` have an empty list where there are none."""

    #: By target.
    newest: Mapping[str, Newest]
    #: By id of a backup.
    conclusions: _Conclusions
    #: Ids of backups that are missing in a store.
    lacking: Collection[str]
    #: By target.
    schedules: Mapping[str, Sequence[Planned]]
    #: When the installation was begun; None before its first use.
    installed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Details:
    """What else is told of targets."""

    facts: Facts
    #: By target: the ids of its newest backups.
    newest: Mapping[str, rows.Newest]
    #: By id; one may have been removed meanwhile.
    backups: Mapping[str, rows.Known]
    #: By id: when those proven ones were verified whose record is gone.
    verified_at: Mapping[str, datetime | None]

    def backup(self, backup_id: str | None) -> rows.Known | None:
        """None also for one that was removed meanwhile."""
        return self.backups.get(backup_id) if backup_id is not None else None


def facts_for_states(session: Session, targets: Collection[str], now: datetime) -> Facts:
    """As much as `state_of` looks at: of backups no names and errors, of verifications none where none has failed."""
    found = rows.newest_for_states(session, targets, until=now + _CLOCKS_DIFFER)
    faulted = rows.faulted(session, {each.good.id for each in found.values() if each.good is not None})
    return Facts(
        newest={target: Newest(*map(_begun, each)) for target, each in found.items()},
        conclusions=_conclusions(session, faulted),
        lacking=rows.lacking_copies(session, faulted) if faulted else frozenset(),
        schedules=_schedules(session, targets),
        installed_at=sweeping.installed_at(session),
    )


def details_of(session: Session, targets: Collection[str], now: datetime) -> Details:
    """All that is told of them."""
    newest = rows.newest(session, targets, until=now + _CLOCKS_DIFFER)
    found = newest.values()
    backups = rows.backups(session, {each for one in found for each in one.ids})
    looked_into = {each for one in found for each in (one.good, one.proven) if each is not None}
    conclusions = _conclusions(session, looked_into)
    without_record = {each.proven for each in found if each.proven and not proof(conclusions[each.proven])}
    facts = Facts(
        newest={target: _newest(each, backups) for target, each in newest.items()},
        conclusions=conclusions,
        lacking=rows.lacking_copies(session, looked_into),
        schedules=_schedules(session, targets),
        installed_at=sweeping.installed_at(session),
    )
    verified_at = rows.verified_at(session, without_record) if without_record else {}
    return Details(facts, newest, backups, verified_at)


def known_of(facts: Facts, target: str, demands: ProofFields, now: datetime, *, own_interval: timedelta) -> Known:
    """What is known of one of the targets.

    Args:
        facts: of targets.
        target: which one.
        demands: of its policy.
        now: the moment.
        own_interval: between two backups that the service takes of its own database by itself; zero: it takes none.
    """
    newest = facts.newest[target]
    of_good = facts.conclusions[newest.good.id] if newest.good else []
    return Known(
        target=target,
        now=now,
        demands=demands,
        stored=newest.stored,
        good=newest.good,
        proven=newest.proven,
        failed=newest.failed,
        ahead=newest.ahead,
        against=against(of_good, whole=newest.good is None or newest.good.id not in facts.lacking),
        inconclusive=inconclusive(of_good),
        scheduled_until=_scheduled_until(facts, target, now, own_interval),
    )


def _newest(ids: rows.Newest, backups: Mapping[str, rows.Known]) -> Newest:
    return Newest(
        *(_seen(backups.get(each or "")) for each in (ids.stored, ids.good, ids.proven, ids.failed, ids.ahead))
    )


def _seen(row: rows.Known | None) -> Seen | None:
    return Seen(row.id, row.backup_file, row.created_at, row.error) if row is not None else None


def _begun(row: rows.Begun | None) -> Seen | None:
    return Seen(row.id, "", row.created_at) if row is not None else None


def _conclusions(session: Session, backup_ids: Collection[str]) -> _Conclusions:
    found: Mapping[str, list[Conclusion]] = defaultdict(list)
    for conclusion in rows.conclusions(session, backup_ids) if backup_ids else ():
        found[conclusion.backup_id].append(conclusion)
    return found


def _schedules(session: Session, targets: Collection[str]) -> Mapping[str, Sequence[Planned]]:
    found: Mapping[str, list[Planned]] = defaultdict(list)
    for schedule in rows.schedules_of_backups(session, targets):
        found[schedule.target].append(schedule)
    return found


def _scheduled_until(facts: Facts, target: str, now: datetime, own_interval: timedelta) -> datetime | None:
    """Until then one of the schedules, or the service by itself, should have made a newer good backup."""
    good = facts.newest[target].good
    begun = good.created_at if good else None
    missed = [_missed_at(each, begun or each.created_at, now) for each in facts.schedules[target]]
    if target == APP and own_interval and facts.installed_at is not None:
        missed.append(overdue_after(facts.installed_at, begun, own_interval))
    return min(missed, default=None)


def _missed_at(schedule: Planned, since: datetime, now: datetime) -> datetime:
    try:
        # A clock that was ahead when it was set up must not make it wait.
        begin = max(since, min(schedule.created_at, now))
        return instants.overdue_after(schedule.cron, schedule.time_zone, schedule.jitter_seconds, begin)
    except InvalidInput:  # its time zone is no longer known, so that it begins nothing any more
        return since
