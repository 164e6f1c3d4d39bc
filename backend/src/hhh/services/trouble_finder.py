"""Looks for all that is wrong: from the own database alone, and the disks of stores that are folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import AlertKind
from hhh.repositories import alerts as alert_rows
from hhh.repositories import recoverability as recovery_rows
from hhh.repositories import troubles as rows
from hhh.schemas.policy import ProofFields
from hhh.services.policies import PolicyService
from hhh.services.recovery_facts import details_of, known_of
from hhh.services.recovery_state import Known
from hhh.services.repair import ADDED
from hhh.services.store_rooms import StoreRooms
from hhh.services.stores import DEFAULT_STORE, StoreService
from hhh.services.targets import APP, TargetService
from hhh.services.trouble_rules import SIZES_AT_MOST, find
from hhh.services.troubles import Facts, Fault, Found
from hhh.services.verdicts import against
from hhh.storages.room import Room

#: A worker of another machine that is silent for so long is told as lost: longer than any pause of a living one.
SILENT = timedelta(minutes=2)
#: For so long a verification or a prune that failed is a trouble by itself.
_LONG_AGO = timedelta(days=30)
#: A run that is due for so long was forgotten: whoever is at work begins it within seconds.
_LATE = timedelta(minutes=5)
_NO_DEMANDS = ProofFields()

#: What only whoever has the stores' disks can find.
OF_DISKS = frozenset({AlertKind.STORE_FAILING, AlertKind.STORE_NEARLY_FULL})


@dataclass(frozen=True, slots=True)
class Look:
    """What one look came to."""

    found: Sequence[Found]
    #: By target, of all that are registered.
    known: Mapping[str, Known]
    #: The target of a schedule that nobody begins; None: whoever is to begin runs is at work.
    late_schedule: str | None


class TroubleFinder:
    """Looks. For one thread.

    Args:
        settings: what is nearly full, and what is odd.
        database: the own one.
        targets: what is backed up.
        stores: where to.
        policies: what is demanded.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        targets: TargetService,
        stores: StoreService,
        policies: PolicyService,
    ) -> None:
        self._settings = settings
        self._database = database
        self._targets = targets
        self._stores = stores
        self._policies = policies
        self._rooms = StoreRooms()

    def look(self, now: datetime, *, disks: bool = True) -> Look:
        """All that is wrong.

        Args:
            now: when.
            disks: whether to look at the disks of stores; a process that runs no jobs need not have them.

        Raises:
            DatabaseUnavailable: the own database does not answer.
        """
        names, demands = self._targets.names(), self._policies.demands()
        rooms, failing = self._look_at_stores(disks=disks)
        with self._database.snapshot() as session:
            details = details_of(session, names, now)
            own = timedelta(hours=self._settings.own_backup_hours)
            known = {
                name: known_of(details.facts, name, demands.get(name, _NO_DEMANDS), now, own_interval=own)
                for name in names
            }
            facts = self._facts(session, now, known, rooms, failing)
            late = rows.late_schedule(session, before=now - _LATE)
        settings = self._settings
        found = find(facts, full_percent=settings.store_full_percent, size_factor=settings.size_factor)
        return Look(found, known, late)

    def _facts(
        self,
        session: Session,
        now: datetime,
        known: Mapping[str, Known],
        rooms: Mapping[str, Room],
        failing: Mapping[str, str],
    ) -> Facts:
        unproven = [
            name for name, each in known.items() if each.demands.proven_within_days is not None and each.proven is None
        ]
        since = rows.known_since(session)
        return Facts(
            now=now,
            known=known,
            since={name: moment for name in known if (moment := since.get(None if name == APP else name)) is not None},
            first_stored=rows.first_stored(session, unproven),
            faults=_faults(session, known.keys(), now),
            sizes=rows.newest_sizes(session, known.keys(), count=SIZES_AT_MOST + 1),
            lacking=rows.lacking(session, without=ADDED),
            failing=failing,
            rooms=rooms,
            undeletable=rows.undeletable(session),
            failed_prunes=rows.failed_prunes(session, since=now - _LONG_AGO),
            lost=rows.lost_workers(session, alive_since=now - SILENT),
            told={(row.kind, row.subject) for row in alert_rows.troubles(session)},
        )

    def _look_at_stores(self, *, disks: bool) -> tuple[Mapping[str, Room], Mapping[str, str]]:
        stores = self._stores.list()
        unopened = {each.name: each.problem for each in stores if each.problem is not None}
        if not disks:
            return {}, unopened
        rooms, failing = self._rooms.look({each.name: each.url for each in stores})
        if DEFAULT_STORE in failing:  # its folder is made by the first backup
            with self._database.snapshot() as session:
                if not rows.has_copies(session, DEFAULT_STORE):
                    failing = {name: error for name, error in failing.items() if name != DEFAULT_STORE}
        return rooms, {**failing, **unopened}


def _faults(session: Session, targets: Collection[str], now: datetime) -> Sequence[Fault]:
    """The backups that a verification speaks against, though they may have been good in a later one."""
    faulted = rows.faulted(session, targets, since=now - _LONG_AGO)
    if not faulted:
        return []
    ids = [each.id for each in faulted]
    conclusions = recovery_rows.conclusions(session, ids)
    lacking = recovery_rows.lacking_copies(session, ids)
    found = []
    for each in faulted:
        of_it = [one for one in conclusions if one.backup_id == each.id]
        if (verified := against(of_it, whole=each.id not in lacking)) is not None:
            found.append(Fault(each.target, each.id, each.backup_file, verified))
    return found
