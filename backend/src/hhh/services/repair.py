"""Copies that are missing, made again from good ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import StorageError
from hhh.core.run import Progress, Run
from hhh.core.text import counted
from hhh.models import CopyStatus, JobKind
from hhh.repositories import copies as rows
from hhh.services.copy_repair import CopyRepair
from hhh.services.installation import Identity
from hhh.services.policies import PolicyService, resolved
from hhh.services.stores import StoreService
from hhh.services.targets import TargetService
from hhh.services.trust import trusted_keys
from hhh.services.upkeep import Upkeep, refuse_unknown
from hhh.services.work import Attempt, NewJob

#: Seconds for which a target, or a store that is down, is not looked at again by itself.
_PAUSE = 600.0
_LONGEST_PAUSE = 86_400.0
#: How many targets one look asks for: of thousands that lack a copy in one store, the first few find out if it is back.
_AT_ONCE = 20
#: Somebody who reads how many copies are missing needs no larger number.
MOST_COUNTED = 1000
#: What a copy says that was not to be there when its backup was taken.
ADDED = "The store was added to the policy after this backup"

log = structlog.get_logger(__name__)


class Repair(Upkeep):
    """The `hhh.services.work.Work` of `JobKind.REPAIR`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        identity: Identity,
        targets: TargetService,
        stores: StoreService,
        policies: PolicyService,
    ) -> None:
        super().__init__(database)
        self._settings = settings
        self._identity = identity
        self._targets = targets
        self._stores = stores
        self._policies = policies
        self._later = _Later()

    def request(self, target: str, *, new_stores: bool = False) -> NewJob:
        """A repair that somebody asks for, to be handed to a queue.

        Args:
            target: of the backups.
            new_stores: also make copies in those stores of the target's policy that were added after a backup.

        Raises:
            NotFound: no such target, and no backup of one.
        """
        refuse_unknown(self._database, self._targets, target)
        wanted = resolved(self._policies.of(target)) if new_stores else ()

        def write(session: Session, _job_id: str, _now: datetime) -> None:
            for store in wanted:
                rows.add_missing(session, target, store, ADDED)

        return NewJob(JobKind.REPAIR, target, write)

    def lacking(self) -> Sequence[str]:
        """The targets that lack copies in a store that is known here."""
        with self._database.snapshot() as session:
            stores = rows.stores_with_missing(session)
            return rows.targets_with_missing(session, self._known(stores)) if stores else ()

    def copies(self, target: str, status: CopyStatus) -> Sequence[tuple[str, str]]:
        """The file of the backup and the store of each copy in this state, the newest first."""
        with self._database.snapshot() as session:
            return rows.copies_of(session, target, status)

    def count_missing(self, target: str) -> int:
        """How many copies are missing; no more than `MOST_COUNTED` are counted."""
        with self._database.snapshot() as session:
            return rows.count_missing(session, target, most=MOST_COUNTED)

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: targets that lack a copy in a store that is not known to be down."""
        with self._database.snapshot() as session:
            stores = rows.stores_with_missing(session)
            up = [name for name in self._known(stores) if not self._later.is_put_off(_store_key(name))]
            targets = rows.targets_with_missing(session, up) if up else ()
        due = [target for target in targets if not self._later.is_put_off(target)][:_AT_ONCE]
        for target in due:
            self._later.put_off(target)
        return [NewJob(JobKind.REPAIR, target) for target in due]

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Makes the missing copies of a target's backups, the newest first; what can't be made does not stop the rest.

        Raises:
            StorageError: not all could be made.
            Cancelled, LeaseLost, Interrupted: the run is over; what was made stays.
            DatabaseUnavailable: the catalogue does not answer.
        """
        run.report(Progress("copy"))
        with self._database.snapshot() as session:
            backup_ids = rows.backups_with_missing(session, attempt.target)
        copies = CopyRepair(self._database, self._stores, trusted_keys(self._settings, self._identity), run)
        try:
            for backup_id in backup_ids:
                copies.repair(backup_id)
        finally:
            for name in copies.down:
                self._later.put_off(_store_key(name))
        if copies.failed:
            raise StorageError(
                f"{counted(len(copies.failed), 'copy', 'copies')} could not be made: {copies.failed[-1]}"
            )
        self._succeed(attempt, changed={"made": copies.made})
        log.info("repaired", target=attempt.target, copies=copies.made)

    def _known(self, names: Sequence[str]) -> list[str]:
        if not names:
            return []
        known = {store.name for store in self._stores.all()}
        return [name for name in names if name in known]


def _store_key(name: str) -> str:
    return f"store {name}"  # no target has a space in its name


class _Later:
    """What is not looked at again for a while, and each time for twice as long. Thread-safe."""

    def __init__(self) -> None:
        #: By key: until when, and how long that was.
        self._pauses: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def put_off(self, key: str) -> None:
        with self._lock:
            now = time.monotonic()
            # What was left alone for long enough begins anew.
            self._pauses = {each: pause for each, pause in self._pauses.items() if pause[0] + pause[1] > now}
            _, last = self._pauses.get(key, (0.0, _PAUSE / 2))
            pause = min(2 * last, _LONGEST_PAUSE)
            self._pauses[key] = (now + pause, pause)

    def is_put_off(self, key: str) -> bool:
        with self._lock:
            return self._pauses.get(key, (0.0, 0.0))[0] > time.monotonic()
