"""The first steps: how far the service is set up, told by what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.identities import Identities
from hhh.console.views.one_disk import shares_a_disk
from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError
from hhh.models import BackupStatus, VerificationStatus
from hhh.schemas.backup import BackupFilter, BackupResource
from hhh.schemas.storage import StorageResource, TestedStorage
from hhh.schemas.target import TestedTarget
from hhh.schemas.verification import VerificationFilter, VerificationResource
from hhh.services.container import Services
from hhh.services.targets import ListedTarget

State = Literal["done", "to do", "in your way", "your choice"]
#: Of the databases; their own page has all.
_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Tested:
    """What was just tried; None: it was not."""

    target: TestedTarget | None = None
    store: TestedStorage | None = None


@dataclass(frozen=True, slots=True)
class Databases:
    """The first step: is the database found."""

    state: State
    shown: Sequence[ListedTarget]
    #: How many others there are.
    more: int
    tested: TestedTarget | None


@dataclass(frozen=True, slots=True)
class Stores:
    """The second: where backups go."""

    state: State
    stores: Sequence[StorageResource]
    #: Whether a broken disk would take databases and backups.
    on_one_disk: bool
    tested: TestedStorage | None


@dataclass(frozen=True, slots=True)
class Key:
    """The third: encryption."""

    state: State
    recipients: Sequence[str]
    #: Whether what is encrypted can be opened here.
    has_identity: bool
    #: Why the settings can't be used.
    problem: str
    #: The public half of a key that was made, and that the settings don't have yet; empty: none.
    made: str


@dataclass(frozen=True, slots=True)
class FirstBackup:
    """The fourth."""

    state: State
    #: The names of all databases.
    targets: Sequence[str]
    newest: BackupResource | None
    #: The newest that was stored.
    good: BackupResource | None

    @property
    def running(self) -> BackupResource | None:
        """The newest, while it waits or runs."""
        return self.newest if self.newest is not None and self.newest.finished_at is None else None

    @property
    def failed(self) -> BackupResource | None:
        """The newest, if it failed."""
        return self.newest if self.newest is not None and self.newest.status == "failed" else None


@dataclass(frozen=True, slots=True)
class FirstProof:
    """The fifth: a proof, and that both go on by themselves."""

    #: What can be proven.
    backup: BackupResource | None
    #: The newest verification of that.
    newest: VerificationResource | None
    #: The newest proof that succeeded, of whatever backup.
    proof: VerificationResource | None
    #: Whether it is encrypted, and nobody here can open it.
    needs_identity: bool
    has_schedule: bool

    @property
    def state(self) -> State:
        """How far it is."""
        if self.proof is not None:
            return "done" if self.has_schedule else "to do"
        return "in your way" if self.needs_identity or self.failed is not None else "to do"

    @property
    def running(self) -> VerificationResource | None:
        """The newest, while it waits or runs."""
        return self.newest if self.newest is not None and self.newest.finished_at is None else None

    @property
    def failed(self) -> VerificationResource | None:
        """The newest, if it found no proof."""
        return self.newest if self.newest is not None and self.newest.status in {"failed", "inconclusive"} else None


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """All of them."""

    databases: Databases
    stores: Stores
    key: Key
    backup: FirstBackup
    proof: FirstProof

    @property
    def states(self) -> Sequence[State]:
        """In their order."""
        return [self.databases.state, self.stores.state, self.key.state, self.backup.state, self.proof.state]

    @property
    def left(self) -> int:
        """How many are not done; whether to encrypt is for others to say."""
        return sum(state in {"to do", "in your way"} for state in self.states)


def first_steps(services: Services, *, tested: Tested | None = None, made: str = "") -> FirstSteps:
    """Looks at what is there; tries nothing.

    Args:
        services: of the installation.
        tested: what was tried for this very page.
        made: the public half of a key that was just made.
    """
    tried = tested or Tested()
    key = _key(services.settings, made)
    newest = services.catalogue.page(BackupFilter(), cursor=None, limit=1).items
    good = services.catalogue.page(BackupFilter(status=BackupStatus.SUCCESS), cursor=None, limit=1).items
    backup = _backup(services, newest[0] if newest else None, good[0] if good else None)
    databases = _databases(services, tried.target, is_backed_up=bool(good))
    return FirstSteps(
        databases=databases,
        stores=_stores(services, databases.shown, tried.store, has_backups=bool(good)),
        key=key,
        backup=backup,
        proof=_proof(services, backup.good, key),
    )


def _databases(services: Services, tested: TestedTarget | None, *, is_backed_up: bool) -> Databases:
    shown, count = services.targets.page("", limit=_NAMED, offset=0)
    has_problem = any(each.problem for each in shown)
    state = _state_of_tried(tested, has_problem=has_problem, is_known=is_backed_up or count > 1)
    return Databases(state, shown, count - len(shown), tested)


def _stores(
    services: Services, targets: Sequence[ListedTarget], tested: TestedStorage | None, *, has_backups: bool
) -> Stores:
    stores = services.stores.list()
    state = _state_of_tried(tested, has_problem=any(each.problem for each in stores), is_known=has_backups)
    return Stores(state, stores, shares_a_disk(targets, [each.url for each in stores]), tested)


def _state_of_tried(tested: TestedTarget | TestedStorage | None, *, has_problem: bool, is_known: bool) -> State:
    """Of a step that is done once a test went well, or something else tells as much."""
    if has_problem or (tested is not None and not tested.ok):
        return "in your way"
    return "done" if is_known or tested is not None else "to do"


def _key(settings: Settings, made: str) -> Key:
    try:
        recipients = Recipients(settings.age_recipients).names
        known = Identities.load(settings.age_identity_file).recipients
    except ConfigurationError as error:
        return Key("in your way", (), has_identity=False, problem=str(error), made="")
    state: State = "done" if recipients else "to do" if made else "your choice"
    waits = made if made not in recipients else ""
    return Key(state, recipients, has_identity=bool({*recipients} & {*known}), problem="", made=waits)


def _backup(services: Services, newest: BackupResource | None, good: BackupResource | None) -> FirstBackup:
    has_failed = newest is not None and newest.status == "failed"
    state: State = "done" if good is not None else "in your way" if has_failed else "to do"
    return FirstBackup(state, services.targets.names(), newest, good)


def _proof(services: Services, good: BackupResource | None, key: Key) -> FirstProof:
    page = services.verifications.page
    proven = page(VerificationFilter(level="proven", status=VerificationStatus.SUCCESS), cursor=None, limit=1).items
    of_good = page(VerificationFilter(backup_id=good.id), cursor=None, limit=1).items if good is not None else []
    # Where many machines work, one of them may have it that answers nobody.
    alone = not services.settings.jobs_database_url.get_secret_value()
    needs_identity = alone and good is not None and _is_encrypted(good) and not key.has_identity
    return FirstProof(
        backup=good,
        newest=of_good[0] if of_good else None,
        proof=proven[0] if proven else None,
        needs_identity=needs_identity and not proven,
        has_schedule=bool(services.schedules.page(target=proven[0].target if proven else None, limit=1)),
    )


def _is_encrypted(backup: BackupResource) -> bool:
    return bool((backup.manifest or {}).get("recipients"))
