"""What the doctor looks at so that the service can be brought back: backups of its own database, keys, versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hhh.core.clock import utcnow
from hhh.core.text import listed
from hhh.core.version import PRODUCT_VERSION
from hhh.repositories import schedules as schedule_rows
from hhh.repositories import sweeping
from hhh.services import versions
from hhh.services.container import Services
from hhh.services.doctor_findings import Finding, when
from hhh.services.own_backups import OwnBackups
from hhh.services.policies import APP, resolved
from hhh.services.service_recovery_checks import check_keys

_BACKUPS = "own database's backups"
#: For so long a store need not have the newest, whatever the interval.
_A_DAY = timedelta(days=1)


def own_database(services: Services) -> Iterator[Finding]:
    """Whether the service could be brought back today, and who of its processes is of another version.

    Raises:
        DatabaseUnavailable: the own database does not answer.
    """
    own = OwnBackups(services.settings, services.database)
    yield from _taken_by_itself(services, own)
    yield from _in_every_store(services, own)
    yield from _keys(services)
    for other in versions.of_other_versions(services.database):
        detail = f"{other.name} on {other.host} is of {other.version}, and this is {PRODUCT_VERSION}: stop it, and "
        yield Finding("versions", ok=False, detail=f"{detail}install the same on all machines (docs/upgrading.md)")


def _taken_by_itself(services: Services, own: OwnBackups) -> Iterator[Finding]:
    if own.interval:
        return
    with services.database.snapshot() as session:
        planned = schedule_rows.next_backup(session, APP)
    if planned is None:
        detail = f"none is taken by itself (HHH_OWN_BACKUP_HOURS=0), and {APP} has no schedule: set up one of the two"
        yield Finding(_BACKUPS, ok=False, detail=detail)


def _in_every_store(services: Services, own: OwnBackups) -> Iterator[Finding]:
    for name in services.policies.stores_without_own_backups():
        detail = f"the policy of {APP} leaves this store out; name it as well: `hhh target set {APP} --storage …`"
        yield Finding(f"{_BACKUPS} in {name}", ok=False, detail=detail)
    with services.database.snapshot() as session:
        installed_at = sweeping.installed_at(session)
    newest, stores = own.newest_by_store(), resolved(services.policies.of(APP))
    if installed_at is None or not newest:
        # After a day the missing backup of a target is told as that of any other.
        yield Finding(_BACKUPS, ok=True, detail="none yet: the first is taken a quarter of an hour after the start")
        return
    latest = max(_A_DAY, own.interval) * 2
    late = [name for name in stores if utcnow() - newest.get(name, installed_at) > latest]
    for name in late:
        age = f"the newest is of {when(newest.get(name))}"
        detail = f"{age}; see `hhh backup list --target {APP}`, and does any worker run?"
        yield Finding(f"{_BACKUPS} in {name}", ok=False, detail=detail)
    if not late:
        detail = f"the newest is of {when(max(newest.values()))}; they go to {listed(stores)}"
        yield Finding(_BACKUPS, ok=True, detail=detail)


def _keys(services: Services) -> Iterator[Finding]:
    """With these, and no others, the service is brought back."""
    with services.database.snapshot() as session:
        checks = check_keys(services.settings, session, services.identity.signing_key.public_key)
    wrong = [check.message for check in checks if check.status == "unsafe"]
    for message in wrong:
        yield Finding("recovery keys", ok=False, detail=message)
    if not wrong:
        kept = "HHH_SECRET_KEY and the signing key are those of the installation"
        identity = (
            "; backups are encrypted: the age identity is needed, too" if services.settings.age_recipients else ""
        )
        detail = f"{kept}{identity}. `hhh keys kit --with-secrets` has them for `hhh recover-service`"
        yield Finding("recovery keys", ok=True, detail=detail)
