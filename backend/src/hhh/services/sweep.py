"""The sweep: what belongs to nothing, or lacks something, in every store and in the own database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta

import structlog

from hhh.artifacts.destinations import Destination
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import StorageError
from hhh.core.run import Progress, Run, Unattended
from hhh.models import JobKind, JobState
from hhh.repositories import jobs as job_rows
from hhh.repositories import sweeping as rows
from hhh.repositories.sweeping import LastSweep
from hhh.services import sweep_rows
from hhh.services.installation import Identity
from hhh.services.inventory import Inventory
from hhh.services.pruning import Pruning
from hhh.services.stores import DEFAULT_STORE, StoreService
from hhh.services.sweep_copies import check_copies
from hhh.services.sweep_leftovers import add_backups, drop_uploads, remove_objects
from hhh.services.sweep_report import FindingKind, SweepReport
from hhh.services.sweep_scope import Scope
from hhh.services.trust import trusted_keys
from hhh.services.upkeep import Upkeep
from hhh.services.work import Attempt, NewJob
from hhh.storages.base import ObjectInfo

#: What a job of a sweep says that it is for.
EVERYTHING = "*"
_EVERY = timedelta(days=1)
#: The same after one that failed.
_AGAIN = timedelta(hours=1)
#: Of fewer copies it is no sign of another place that most are gone.
_TELLING = 5
_IF_LOST = "If it is lost, see `hhh storage remove`"
_IF_MOVED = "If HHH_STORAGE_URL was changed: `hhh storage add` the old one, and `hhh catalogue rebuild --storage` it"
_IF_RIGHT = "If it is the right one, `hhh doctor --repair` marks what is not there as missing"

log = structlog.get_logger(__name__)


class Sweep(Upkeep):
    """The `hhh.services.work.Work` of `JobKind.SWEEP`, and the same for whoever looks by hand."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        identity: Identity,
        stores: StoreService,
        pruning: Pruning,
    ) -> None:
        super().__init__(database)
        self._settings = settings
        self._identity = identity
        self._stores = stores
        self._pruning = pruning

    def look(
        self,
        *,
        repair: bool,
        run: Run | None = None,
        tidy: Callable[[], None] | None = None,
        without: Collection[str] = (),
        believe: bool = False,
    ) -> SweepReport:
        """Looks for all of it. A second look after a repair finds only what a person has to see to.

        Safe beside backups and other sweeps. Without `repair` nothing is changed.

        Args:
            repair: whether to repair what is found.
            run: may end it between two objects.
            tidy: has a worker see to the jobs of dead ones; first, so that what they left is nobody's.
            without: names of stores that are left out, as they are known to be down.
            believe: whether most copies of a store may be marked as missing at once, as somebody who looks there asks
                for it.

        Raises:
            Cancelled, LeaseLost, Interrupted: the run is over; what was repaired stays.
            DatabaseUnavailable: the own database does not answer.
        """
        report, run = SweepReport(repair, believe), run or Unattended()
        sweep_rows.check_scratch(self._settings, report)
        if repair and tidy is not None:
            tidy()
        sweep_rows.check_leases(self._database, report, tidied=tidy is not None)
        for listed in self._stores.list():
            if listed.problem is not None and listed.name not in without:
                report.fail(listed.name, listed.problem)
        for destination in self._stores.all():
            if destination.name not in without:
                self._sweep_store(self._scope(destination, report, run))
        sweep_rows.check_jobs(self._database, report)
        sweep_rows.check_removals(self._database, self._pruning, report)
        sweep_rows.check_lost(self._database, report)
        return report

    def has_silent_jobs(self) -> bool:
        """Whether a job runs by its row whose worker gives no sign of life."""
        with self._database.snapshot() as session:
            return bool(rows.silent_jobs(session, before=job_rows.server_time(session)))

    def last(self) -> LastSweep | None:
        """The newest sweep by itself; None before the first."""
        with self._database.snapshot() as session:
            return rows.last_sweep(session, now=job_rows.server_time(session))

    def request(self) -> NewJob:
        """A sweep with repair, to be handed to a queue."""
        return NewJob(JobKind.SWEEP, EVERYTHING)

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: daily, for the first time a day after the installation was begun."""
        with self._database.snapshot() as session:
            now = job_rows.server_time(session)
            last = rows.last_sweep(session, now=now)
            since = last.created_at if last is not None else rows.installed_at(session)
        pause = _AGAIN if last is not None and last.state == JobState.FAILED else _EVERY
        return [self.request()] if since is not None and now - since >= pause else []

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Looks, and repairs.

        Raises:
            StorageError: a store could not be looked at; the others were.
            Cancelled, LeaseLost, Interrupted: the run is over; what was repaired stays.
            DatabaseUnavailable: the own database does not answer.
        """
        run.report(Progress("sweep"))
        report = self.look(repair=True, run=run)
        log.info("swept", found=dict(report.counts), repaired=dict(report.repaired), left_alone=report.left_alone)
        if report.failed_stores:
            name, reason = next(iter(report.failed_stores.items()))
            raise StorageError(f"{len(report.failed_stores)} store(s) could not be swept; {name}: {reason}")
        self._succeed(attempt, changed={str(kind): count for kind, count in report.repaired.items()})

    def _scope(self, destination: Destination, report: SweepReport, run: Run) -> Scope:
        return Scope(
            database=self._database,
            installation=self._identity.installation,
            destination=destination,
            trusted_keys=trusted_keys(self._settings, self._identity),
            safe_age=timedelta(hours=self._settings.sweep_safe_hours),
            repair=report.repair,
            report=report,
            run=run,
        )

    def _sweep_store(self, scope: Scope) -> None:
        try:
            self._sweep_objects(scope)
        except StorageError as error:
            scope.report.fail(scope.store, str(error))
            return
        try:
            drop_uploads(scope)
        except StorageError as error:
            # One that may only write and list does not see them.
            scope.report.refuse(scope.store, "", str(error))

    def _sweep_objects(self, scope: Scope) -> None:
        with self._database.snapshot() as session:
            expected = rows.stored_in(session, scope.store)
            installations = {scope.installation, *rows.installations_in(session, scope.store)}
        inventory = Inventory(_listed(scope, sorted(installations)))
        if (left := _left_of(expected, len(inventory), believe=scope.report.believe)) is not None:
            # Of a disk that is not mounted, or a bucket of another name, nothing is believed.
            detail = (
                f"{left} of {expected} backup(s) that the catalogue has in {scope.storage.address}: "
                f"is it the right place, and mounted? {_IF_LOST if scope.store != DEFAULT_STORE else _IF_MOVED}"
            )
            scope.tell(FindingKind.STORE_EMPTY, "", detail if not len(inventory) else f"{detail}. {_IF_RIGHT}")
            return
        check_copies(scope, inventory)
        add_backups(scope, inventory)
        remove_objects(scope, inventory)


def _left_of(expected: int, objects: int, *, believe: bool) -> str | None:
    """What to say of a place that has too little of these copies to be believed; None: it is believed.

    Each copy is two objects at least, so that of fewer objects than copies less than half of them can be whole.
    """
    if expected and not objects:
        return "Nothing is there"
    if expected >= _TELLING and objects < expected and not believe:
        return f"Only {objects} object(s) are there"
    return None


def _listed(scope: Scope, installations: Sequence[str]) -> Iterator[ObjectInfo]:
    for installation in installations:
        for info in scope.storage.list(installation):
            scope.run.raise_if_cancelled()
            yield info
