"""Looks at everything a backup needs, before it is needed, and at what became of those that were taken."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path

from hhh.artifacts.encryption import Recipients
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database, shown
from hhh.core.errors import ConfigurationError, HHHError
from hhh.core.files import needed, readable_by_others
from hhh.core.scratch import scratch_folder
from hhh.core.text import counted, listed
from hhh.engines.base import Workplace
from hhh.models import JobState
from hhh.repositories import sweeping as rows
from hhh.services import doctor_proof
from hhh.services.container import Services
from hhh.services.doctor_audit import audit_log
from hhh.services.doctor_findings import STORE, Finding, attempted, store_that_is_down, when
from hhh.services.doctor_own import own_database
from hhh.services.policies import resolved
from hhh.services.sweep_report import SweepReport

#: For so long a target need not have a backup.
_FIRST_BACKUP = timedelta(days=1)
#: After so long without a sweep nobody seems to work.
_LAST_SWEEP = timedelta(days=3)
_SCHEDULES_AT_ONCE = 500


def examine_all(
    services: Services, *, check_jobs: Callable[[], None], sweep: Callable[[Collection[str]], SweepReport]
) -> Iterator[Finding]:
    """Looks at everything, what others depend on first; each finding is given as soon as it is known.

    Args:
        services: of the installation.
        check_jobs: opens the jobs' own database, where there is one.
        sweep: looks for what was left over, but not in these stores: one that is down is told once, and not waited for
            again.

    Raises:
        DatabaseUnavailable: the own database does not answer.
    """
    down = set[str]()
    for finding in examine(services):
        yield finding
        if (store := store_that_is_down(finding)) is not None:
            down.add(store)
    if services.settings.jobs_database_url.get_secret_value():
        yield attempted("jobs database", lambda: _jobs_database(check_jobs))
    yield from _swept(sweep(down))
    yield from examine_upkeep(services)
    yield from audit_log(services, down)


def examine(services: Services) -> Iterator[Finding]:
    """Looks at scratch, keys, stores and targets, one after the other; each finding is given as soon as it is known."""
    settings = services.settings
    yield attempted("own database", lambda: _own_database_file(services.database))
    yield attempted("scratch folder", lambda: _scratch(settings))
    yield attempted("signing key", lambda: f"Ed25519 {services.identity.signing_key.public_key}")
    yield attempted("encryption", lambda: _encryption(settings))
    if (folder := settings.pg_bin_dir) is not None:
        yield attempted("PostgreSQL programs", lambda: _pg_dump(folder / "pg_dump"))
    for store in services.stores.list():
        yield from _store(services, store.name)
    asked = doctor_proof.demands(services)
    drilled = asked.drilled if doctor_proof.drills_here(services, asked) else ()
    for name in services.targets.names():
        yield from _target(services, name, is_drilled=name in drilled)
    yield from doctor_proof.elsewhere(services, asked)


def examine_upkeep(services: Services) -> Iterator[Finding]:
    """Looks at what should have happened by itself: schedules, copies, backups at all, the daily sweep; who works, and
    whether alerts arrive.

    Raises:
        DatabaseUnavailable: the own database does not answer.
    """
    yield from _policies(services)
    yield from _schedules(services)
    yield from _backups(services)
    with services.database.snapshot() as session:
        missing = rows.missing_by_store(session)
    for store, count in missing.items():
        detail = (
            f"{count} missing; made again from good ones, if there are any, by themselves or by `hhh backup repair`"
        )
        yield Finding(f"copies in {store}", ok=False, detail=detail)
    yield from own_database(services)
    yield _last_sweep(services)
    yield from doctor_proof.takers(services)
    yield from _alerts(services)


def _jobs_database(check: Callable[[], None]) -> str:
    check()
    return "it can be reached, and has the queue's tables; keys are those of the other machines"


def _swept(report: SweepReport) -> Iterator[Finding]:
    """What a sweep found, as findings."""
    for each in report.findings:
        where = f" in {each.store}" if each.store else ""
        subject = f"{each.kind.replace('_', ' ')}{where}"
        detail = f"{each.subject}: {each.detail}" if each.subject else each.detail
        yield Finding(subject, bool(each.done), detail, each.done)
    for kind, count in report.left_out.items():
        repaired = report.repaired[kind] == report.counts[kind]
        yield Finding(
            kind.replace("_", " "), repaired, f"{count} more; the log has all", "as above" if repaired else ""
        )
    if not report.total:
        young = f"; {report.left_alone} object(s) may be of something under way" if report.left_alone else ""
        yield Finding("sweep", ok=True, detail=f"nothing is left over, and what counts as stored is there{young}")


def _own_database_file(database: Database) -> str:
    if (file := database.file) is not None:
        with needed(file):
            open_to_others = readable_by_others(file)
        if open_to_others:
            raise ConfigurationError(
                f"{file} holds hashes of passwords, and other accounts of this machine may read it",
                hint=f"chmod 600 {file}*",
            )
    url = database.url.set(drivername=database.url.get_backend_name())
    return f"{shown(url)}, migrations are done"


def _scratch(settings: Settings) -> str:
    with scratch_folder(settings.scratch_dir, "doctor"):
        free = shutil.disk_usage(settings.scratch_dir).free
    return f"{settings.scratch_dir} can be written, {free // 2**20} MiB are free"


def _pg_dump(program: Path) -> str:
    if not program.is_file():
        raise ConfigurationError(f"HHH_PG_BIN_DIR: there is no {program}", hint="name the folder that pg_dump is in")
    return f"{program} is there"


def _encryption(settings: Settings) -> str:
    recipients = Recipients(settings.age_recipients)
    if not recipients:
        return "off: backups are stored in clear; set HHH_AGE_RECIPIENTS to encrypt them"
    return f"age, for {counted(len(settings.age_recipients), 'recipient', 'recipients')}"


def _store(services: Services, name: str) -> Iterator[Finding]:
    tested = services.stores.test(name)
    if not tested.steps:
        yield Finding(f"{STORE}{name}", tested.ok, tested.error or "")
    for step in tested.steps:
        yield Finding(f"{STORE}{name}: {step.name}", step.ok, step.detail)
    if tested.ok:
        done = ", ".join(step.name for step in tested.steps)
        yield Finding(f"{STORE}{name}", ok=True, detail=f"{services.stores.get(name).url} does all it has to: {done}")


def _target(services: Services, name: str, *, is_drilled: bool) -> Iterator[Finding]:
    settings = services.settings
    try:
        target = services.targets.find(name)
        with scratch_folder(settings.scratch_dir, "doctor") as scratch:
            found = target.engine.inspect(target.url, Workplace(scratch, settings.pg_bin_dir))
    except HHHError as error:
        yield Finding(f"target {name}", ok=False, detail=str(error))
        return
    yield Finding(f"target {name}", ok=True, detail=found.description)
    if is_drilled:
        yield from doctor_proof.drill_programs(settings, name, target.engine.kind, found.version)


def _policies(services: Services) -> Iterator[Finding]:
    known = {store.name for store in services.stores.list()}
    for target, policy in services.policies.set_policies().items():
        if unknown := [name for name in resolved(policy) if name not in known]:
            detail = f"names stores that nobody knows: {listed(unknown)}; see `hhh target set {target} --storage …`"
            yield Finding(f"policy of {target}", ok=False, detail=detail)


def _schedules(services: Services) -> Iterator[Finding]:
    offset = 0
    while page := services.schedules.page(limit=_SCHEDULES_AT_ONCE, offset=offset):
        offset += len(page)
        for schedule in page:
            if schedule.overdue:
                newest = f"the newest backup is of {when(schedule.last_backup_at)}"
                if schedule.verify is not None:
                    newest = f"the newest that was verified ({schedule.verify}) is of {when(schedule.last_verified_at)}"
                detail = f"{schedule.cron} is overdue: {newest}"
                yield Finding(f"schedule of {schedule.target}", ok=False, detail=f"{detail}; does any worker run?")


def _backups(services: Services) -> Iterator[Finding]:
    with services.database.snapshot() as session:
        backed_up = rows.backed_up_targets(session)
        installed_at = rows.installed_at(session)
    now = utcnow()
    for target in services.targets.list():
        since = target.created_at or installed_at or now
        if target.name not in backed_up and now - since > _FIRST_BACKUP:
            detail = f"it has none, though it is there since {when(since)}; take one, or set up a schedule"
            yield Finding(f"backups of {target.name}", ok=False, detail=detail)


def _last_sweep(services: Services) -> Finding:
    last = services.sweep.last()
    if last is None:
        return Finding("last sweep", ok=True, detail="none by itself yet: workers begin one each day")
    detail = f"{when(last.created_at)}: {last.state}"
    if last.state == JobState.FAILED:
        return Finding("last sweep", ok=False, detail=f"{detail}: {last.error}")
    if utcnow() - last.created_at > _LAST_SWEEP:
        return Finding("last sweep", ok=False, detail=f"{detail}; does any worker run?")
    return Finding("last sweep", ok=True, detail=detail)


def _alerts(services: Services) -> Iterator[Finding]:
    channels = [each for each in services.alerts.channels.list() if each.enabled]
    for each in channels:
        taken = (
            f"it took a message last at {when(each.last_delivered_at)}" if each.last_delivered_at else "none went there"
        )
        if (error := each.problem or each.last_error) is not None:
            waiting = f"{taken}, and {counted(each.waiting, 'message waits', 'messages wait')}"
            detail = f"it takes none: {error}; {waiting}. Try it: hhh alerts test {each.name}"
            yield Finding(f"alerts to {each.name}", ok=False, detail=detail)
        else:
            yield Finding(f"alerts to {each.name}", ok=True, detail=taken)
    if not channels:
        yield Finding(
            "alerts", ok=True, detail="nobody is told of troubles: `hhh alerts channels add` sets up a channel"
        )
