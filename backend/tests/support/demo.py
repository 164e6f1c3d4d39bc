"""A service that has been at work for a month: targets that are well and not, real backups, restores and drills."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
from pydantic import SecretStr
from sqlalchemy import update

from hhh.core.clock import utcnow
from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.jobs.worker import working
from hhh.models import AlertKind, Policy, Role, Scope
from hhh.schemas.alert import ChannelRequest
from hhh.schemas.api_token import TokenRequest
from hhh.schemas.policy import PolicyFields
from hhh.schemas.retention import Retention
from hhh.schemas.schedule import ScheduleRequest
from hhh.schemas.verification import Level
from hhh.services import users
from hhh.services.container import Services, assemble
from support import demo_history
from support.demo_history import Course
from support.own_databases import migrated_file
from support.restoring import RestoreBench, change
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD
from support.sqlite_data import make_sqlite_database

#: 63 characters, as many as a name may have.
LONG_NAME = "customers-and-orders-of-all-european-subsidiaries-production-eu"
REFUSED = 'connection to server at "10.20.0.7", port 5432 failed: Connection refused'
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_GB = 1e9


@dataclass(frozen=True)
class Demo:
    """What is in it, by what paths of pages name."""

    folder: Path
    #: As `support.service.Service` takes them.
    settings: Mapping[str, object]
    #: Ids, by what each is of.
    ids: Mapping[str, str]

    def path(self, page: str) -> str:
        """The path of a page of `PAGES`."""
        return PAGES[page].format(long=LONG_NAME, **self.ids)


#: Every page that has something to show, by the name of its picture.
PAGES: Mapping[str, str] = {
    "overview": "/",
    "first-steps": "/first-steps",
    "backups": "/backups",
    "backups-of-one": f"/backups?target={LONG_NAME}",
    "backup": "/backups/{backup}",
    "backup-failed": "/backups/{failed}",
    "backup-damaged": "/backups/{damaged}",
    "backup-contents": "/backups/{backup}/contents",
    "backup-delete": "/backups/{past}/delete",
    "restores": "/restores",
    "restore-new": "/restores/new?target=shop",
    "restore-new-backup": "/restores/new?backup={backup}",
    "restore": "/restores/{restore}",
    "restore-plan": "/restores/{plan}",
    "restore-plan-replace": "/restores/{replace_plan}",
    "restore-failed": "/restores/{failed_restore}",
    "restore-undo": "/restores/{restore}/undo",
    "drills": "/drills",
    "drill": "/drills/{drill}",
    "drill-assertion": "/drills/{assertion}",
    "drill-differences": "/drills/{differences}",
    "drill-damaged": "/drills/{damage}",
    "drill-report": "/drills/{drill}/report",
    "targets": "/targets",
    "target": "/targets/shop",
    "target-long": "/targets/{long}",
    "target-failing": "/targets/billing",
    "target-edit": "/targets/shop/edit",
    "target-remove": "/targets/{long}/remove",
    "target-new": "/new-target",
    "retention": "/targets/shop/retention",
    "retention-long": "/targets/{long}/retention",
    "stores": "/stores",
    "store": "/stores/offsite",
    "store-edit": "/stores/offsite/edit",
    "store-remove": "/stores/offsite/remove",
    "store-new": "/new-store",
    "schedules": "/schedules",
    "schedule": "/schedules/{schedule}",
    "schedule-edit": "/schedules/{schedule}/edit",
    "schedule-new": "/schedules/new",
    "alerts": "/alerts",
    "audit": "/audit",
    "alert-edit": "/alerts/{channel}/edit",
    "alert-new": "/new-alert",
    "workers": "/workers",
    "account": "/account",
    "users": "/users",
    "user": "/users/{user}",
    "user-new": "/new-user",
    "tokens": "/tokens",
    "token": "/tokens/{token}",
    "token-new": "/new-token",
    "settings": "/settings",
    "settings-health": "/settings/health",
    "not-found": "/nowhere",
}
#: Those that look different where nothing was done yet.
EMPTY_PAGES: Mapping[str, str] = {
    **{
        f"{name}-empty": PAGES[name]
        for name in (
            "overview",
            "first-steps",
            "backups",
            "restores",
            "drills",
            "targets",
            "stores",
            "schedules",
            "alerts",
            "workers",
            "users",
            "tokens",
            "settings",
        )
    },
    "restore-new-empty": "/restores/new",
    "target-empty": "/targets/app",
    "retention-empty": "/targets/app/retention",
    "sign-in": "/sign-in",
}


def furnish(folder: Path, *, megabytes: float = 0.3) -> Demo:
    """Fills the data folder of a service that is not running yet.

    Args:
        folder: an empty one.
        megabytes: the size of the databases that are backed up in earnest.
    """
    identity = folder / "identity.txt"
    key = pyrage.x25519.Identity.generate()
    identity.write_text(f"{key}\n")
    settings = {
        "scratch_dir": folder / "scratch",
        "age_recipients": str(key.to_public()),
        "age_identity_file": identity,
        # What a look at the service itself would change.
        "read_back_percent": 0,
    }
    (folder / "scratch").mkdir()
    (folder / "data").mkdir(mode=0o700)
    shutil.copy(migrated_file(), folder / "data" / "hhh.db")
    with _opened(folder, settings) as services, working(services) as worker:
        now = utcnow().replace(microsecond=0)
        ids = _Furniture(services, RestoreBench(services, worker), folder, now).put(megabytes)
    return Demo(folder, settings, ids)


@contextlib.contextmanager
def _opened(folder: Path, settings: Mapping[str, object]) -> Iterator[Services]:
    names = {"data_dir": folder / "data", "admin_email": ADMIN_EMAIL, "admin_password": ADMIN_PASSWORD, **settings}
    environment = {f"HHH_{name.upper()}": str(value) for name, value in names.items()}
    known = load_settings(environment, dotenv=folder / "none.env")
    with contextlib.closing(Database(known.own_database_url)) as database:
        yield assemble(known, database)


@dataclass(frozen=True)
class _Furniture:
    services: Services
    bench: RestoreBench
    folder: Path
    now: datetime

    def put(self, megabytes: float) -> dict[str, str]:
        ids: dict[str, str] = {}
        self._add_stores()
        self._add_targets(megabytes)
        ids |= self._work()
        ids |= self._write_history()
        ids |= self._add_schedules()
        ids |= self._add_channels()
        ids |= self._add_users()
        ids |= self._add_tokens()
        with self.services.database.transaction() as session:  # else retention would empty it while it is looked at
            session.execute(update(Policy).values(prune_due_at=None))
        return ids

    def _add_stores(self) -> None:
        for name in ("offsite", "archive-in-another-country-with-a-long-name"):
            (self.folder / name).mkdir()
            self.services.stores.add(name, (self.folder / name).as_uri())

    def _add_targets(self, megabytes: float) -> None:
        kept = Retention(keep_last=3, daily=7, weekly=4, monthly=6)
        local: dict[str, dict[str, Any]] = {
            "shop": {"storages": ["default", "offsite"], "retention": kept, "proven_within_days": 7},
            "notes": {"assertions": ["SELECT count(*) > 100000 FROM note"], "backed_up_within_hours": 26},
            "metrics": {"backed_up_within_hours": 26},
        }
        for name, policy in local.items():
            make_sqlite_database(self.folder / f"{name}.db", megabytes=megabytes)
            self.services.targets.add(name, f"sqlite:///{self.folder}/{name}.db", PolicyFields(**policy))
        server = "postgresql://backup:secret@127.0.0.1:9"  # where nothing listens
        self.services.targets.add("billing", f"{server}/billing", PolicyFields(retention=kept))
        self.services.targets.add(LONG_NAME, f"{server}/{LONG_NAME}", PolicyFields(retention=kept))
        self.services.targets.update("app", None, PolicyFields(proven_within_days=7), whole=False)

    def _work(self) -> dict[str, str]:
        """What pages show down to the objects is done in earnest."""
        ids = {"damaged": self.bench.backup("notes")}
        self._damage("notes")
        ids["damage"] = self._verify(ids["damaged"], "stored")
        ids["failed_restore"] = self._restore(ids["damaged"], destination=f"{self.folder}/notes-of-yesterday.db")
        ids["old"] = self.bench.backup("shop")
        change(self.folder / "shop.db", "DELETE FROM note WHERE id % 3 = 0")
        ids["backup"] = self.bench.backup("shop")
        ids["drill"] = self._verify(ids["backup"], "proven")
        ids["assertion"] = self._verify(self.bench.backup("notes"), "proven")
        self.services.targets.update("notes", None, PolicyFields(assertions=[]), whole=False)
        self.bench.backup("notes")
        ids["plan"] = self._restore(ids["old"], destination=f"{self.folder}/shop-of-this-morning.db", dry_run=True)
        ids["copy"] = self._restore(ids["old"], destination=f"{self.folder}/shop-of-this-morning.db")
        ids["restore"] = self._restore(ids["old"], mode="replace", confirm="shop")
        ids["replace_plan"] = self._restore(ids["backup"], mode="replace", confirm="shop", dry_run=True)
        ids["app"] = self.bench.backup("app")
        return ids

    def _write_history(self) -> dict[str, str]:
        database, now = self.services.database, self.now
        both = ("default", "offsite")
        full = "Store offsite: no space left on device"
        courses = [
            Course("shop", 2.4e6, _HOUR * 6, until=_HOUR * 5, stores=both, failed={40: full}, proven_each=4),
            Course("metrics", 61 * _GB, _DAY, until=_DAY * 4, cancelled=frozenset({11}), proven_each=5),
            Course("billing", 7.4 * _GB, _DAY, until=_HOUR * 3, failed={12: REFUSED, 29: REFUSED}, proven_each=7),
            Course("app", 5.2e6, _DAY, until=_HOUR * 30, missed=frozenset({6, 7}), proven_each=10),
            Course(LONG_NAME, 412 * _GB, _DAY, until=_HOUR * 9, stores=both),
        ]
        written = {course.target: demo_history.write(database, course, now) for course in courses}
        difference = demo_history.a_difference(database, written[LONG_NAME][-1], now - _HOUR * 6)
        return {"failed": written["billing"][-1], "differences": difference, "past": written["shop"][-1]}

    def _add_schedules(self) -> dict[str, str]:
        schedules = self.services.schedules
        added = schedules.add(ScheduleRequest(target="shop", cron="0 */6 * * *", jitter_seconds=300))
        schedules.add(ScheduleRequest(target="shop", cron="@weekly", verify="proven"))
        schedules.add(ScheduleRequest(target="billing", cron="30 2 * * *", time_zone="Europe/Berlin"))
        schedules.add(ScheduleRequest(target=LONG_NAME, cron="0 4 * * 1-5", time_zone="America/Argentina/Buenos_Aires"))
        paused = schedules.add(ScheduleRequest(target="metrics", cron="15 1 1 * *"))
        schedules.pause(paused.id)
        return {"schedule": added.id}

    def _add_channels(self) -> dict[str, str]:
        alerts = self.services.alerts
        mail = SecretStr("mailto://hhh:no-secret@127.0.0.1:9?from=hhh@example.com&to=ops@example.com")
        added = alerts.channels.add(ChannelRequest(name="ops", url=mail))
        hook = ChannelRequest(
            name="chat-of-shops", url=SecretStr("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
        )
        alerts.channels.add(hook.model_copy(update={"targets": ["shop*"], "kinds": [AlertKind.SIZE_ODD]}))
        alerts.rounds.look(at_once=True)
        return {"channel": added.id}

    def _add_users(self) -> dict[str, str]:
        with self.services.database.transaction() as session:
            users.ensure_first_super_admin(self.services.settings, session)
            email = "somebody.with.a.rather.long.name@department.subsidiary.example.com"
            added = users.create_user(session, email=email, password=ADMIN_PASSWORD, role=Role.MEMBER)
            users.create_user(session, email="ops@example.com", password=ADMIN_PASSWORD, role=Role.SUPER_ADMIN)
            return {"user": added.id}

    def _add_tokens(self) -> dict[str, str]:
        tokens = self.services.api_tokens
        networks = ["10.20.0.0/16", "2001:db8:85a3::/48"]
        everything = TokenRequest(name="Everything: the pipeline of the department", scopes=[*Scope], networks=networks)
        tokens.create("ops@example.com", everything)
        tokens.revoke(tokens.named(everything.name).id)
        reader = TokenRequest(name="monitoring", scopes=[Scope.BACKUP_READ], expires_at=self.now + _DAY * 30)
        return {"token": tokens.create("ops@example.com", reader).id}

    def _verify(self, backup_id: str, level: Level) -> str:
        new = self.services.verifications.request(backup_id, level, requested_by=ADMIN_EMAIL)
        verification_id = self.bench.worker.create(new)
        self.bench.worker.execute(verification_id)
        return verification_id

    def _restore(self, backup_id: str, **asked: Any) -> str:
        restore_id = self.bench.ask(backup_id, **asked)
        self.bench.run(restore_id)
        return restore_id

    def _damage(self, target: str) -> None:
        """Flips a byte of its only object."""
        [stored] = (self.folder / "data" / "backups").glob(f"*/{target}/*.sql.1.zst.age")
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.write_bytes(content)
