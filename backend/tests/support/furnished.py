"""A service in this process that has one of everything, for tests that try every endpoint of its API."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import MetaData, select

from hhh.core.database import Database
from hhh.main import create_app
from hhh.models import AlertKind, JobKind, Role, Scope
from hhh.schemas.alert import ChannelRequest
from hhh.schemas.api_token import TokenRequest
from hhh.schemas.schedule import ScheduleRequest
from hhh.services.container import Services
from support.local_services import settings_in
from support.own_databases import migrated_file
from support.sign_in import EMAIL, make_user, sign_in
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

#: Written by time alone, whatever anybody asks for.
_BEATS = {"workers", "alert_watch", "alert_troubles", "login_failures"}
#: Begun by itself.
_UPKEEP = {str(kind) for kind in JobKind} - {"backup", "restore", "verify"}
_PLACE = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Furnished:
    """The service, and a client whose super admin is signed in."""

    client: TestClient
    #: By the name of a place in a path; a name is by what it is of.
    ids: Mapping[str, str]
    #: One that may do everything.
    token: str

    @property
    def services(self) -> Services:
        """Of the application."""
        return cast("Services", cast("FastAPI", self.client.app).state.services)

    def names(self, path: str) -> dict[str, str]:
        """What the places of a described path are to be, for something that is there."""
        parent = path.split("/")[3] if path.startswith("/api/v1/") else ""
        return {
            place: self.ids["storage" if parent == "storages" else "target"] if place == "name" else self.ids[place]
            for place in _PLACE.findall(path)
        }

    def path(self, path: str) -> str:
        """A path of something that is there."""
        return path.format(**self.names(path))

    def sign_in(self) -> None:
        """Begins another session of the super admin."""
        self.client.cookies.clear()
        sign_in(self.client)

    def rows(self) -> dict[str, set[tuple[object, ...]]]:
        """All that the service's own database has, but for what time alone writes."""
        found: dict[str, set[tuple[object, ...]]] = {}
        with self.services.database.snapshot() as session:
            known = MetaData()
            known.reflect(session.get_bind())
            for table in known.sorted_tables:
                if table.name not in _BEATS:
                    rows = {tuple(map(str, row)) for row in session.execute(select(table))}
                    found[table.name] = {row for row in rows if _UPKEEP.isdisjoint(row)}
        return found


@contextmanager
def furnished(folder: Path, **more: Any) -> Iterator[Furnished]:
    """The service in an empty folder; its own database is a SQLite file there, unless settings name another."""
    known = settings_in(folder, **more)
    if known.default_database_file is not None:
        shutil.copy(migrated_file(), known.default_database_file)
    with closing(Database(known.own_database_url)) as database:
        make_user(database)
        with TestClient(create_app(known, database), follow_redirects=False) as client:
            sign_in(client)
            yield _furnish(client, folder)


def _furnish(client: TestClient, folder: Path) -> Furnished:
    services: Services = cast("FastAPI", client.app).state.services
    make_sqlite_database(folder / "shop.db", megabytes=0.02)
    services.targets.add("shop", f"sqlite:///{folder}/shop.db")
    (folder / "offsite").mkdir()
    services.stores.add("offsite", (folder / "offsite").as_uri())
    trigger = client.post("/api/v1/backups/trigger", json={"target": "shop"})
    backup = str(trigger.raise_for_status().json()["backup_id"])
    asked = {"backup_id": backup, "destination": str(folder / "restored.db")}
    restore = client.post("/api/v1/restores", json=asked).raise_for_status().json()["restore_id"]
    verification = client.post(f"/api/v1/backups/{backup}/verify", json={"level": "stored"}).raise_for_status()
    ids = {
        "backup_id": backup,
        "restore_id": restore,
        "verification_id": verification.json()["verification_id"],
        "schedule_id": services.schedules.add(ScheduleRequest(target="shop", cron="0 3 * * *")).id,
        "user_id": make_user(services.database, email="member@example.com", role=Role.MEMBER).id,
        "session_id": client.get("/api/v1/auth/sessions").raise_for_status().json()[0]["id"],
        "target": "shop",
        "storage": "offsite",
    }
    # Told of nothing that happens here.
    channel = ChannelRequest(name="ops", url=SecretStr("json://127.0.0.1:9/hook"), kinds=[AlertKind.WORKER_LOST])
    ids["channel"] = services.alerts.channels.add(channel).id
    spare = services.api_tokens.create(EMAIL, TokenRequest(name="spare", scopes=[Scope.BACKUP_READ]))
    token = services.api_tokens.create(EMAIL, TokenRequest(name="all", scopes=[Scope.ADMIN]))
    ids["token_id"] = spare.id
    for path in (f"restores/{restore}", f"verifications/{ids['verification_id']}"):
        wait_until(
            lambda path=path: client.get(f"/api/v1/{path}").raise_for_status().json()["finished_at"],  # type: ignore[misc]
            seconds=60,
            what=f"the end of {path}",
        )
    return Furnished(client, ids, token.token)
