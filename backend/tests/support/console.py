"""The console in tests: a real application in this process, and somebody who is signed in to its pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hhh.core.database import Database
from hhh.main import create_app
from hhh.services.container import Services
from support.local_services import settings_in
from support.own_databases import migrated_file
from support.pages import PageForm, Seen
from support.sign_in import EMAIL, PASSWORD, make_user
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

#: What can be typed into, ticked or chosen: one value, or several of one name.
Value = str | Sequence[str]

_BROWSER = {"Accept": "text/html,application/xhtml+xml"}
_ENDED = frozenset({"success", "failed", "cancelled"})


class Console:
    """Somebody at the console, with a browser that has no script.

    Every page is checked as it is read (`support.pages.check`), and for secrets of the service.
    """

    def __init__(self, client: TestClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        app = cast("FastAPI", client.app)
        self.services: Services = app.state.services
        #: What may stand on no page; tests add the passwords that they type.
        self.secrets = {PASSWORD, self.services.settings.secret.decode()}

    @property
    def database(self) -> Database:
        """The service's own."""
        return self.services.database

    def get(self, path: str) -> Seen:
        """A page."""
        return self._read(self.client.get(path))

    def send(
        self, path: str, fields: Mapping[str, Value] | None = None, *, follow: bool = False, **more: Value
    ) -> Seen:
        """Sends a form with the CSRF token that pages have; the answer, or with `follow` the page it leads to."""
        sent = {"csrf_token": self.csrf_token, **(fields or {}), **more}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._read(self.client.post(path, content=urlencode(sent, doseq=True), headers=headers))
        return self.get(answer.location) if follow and answer.status == httpx.codes.SEE_OTHER else answer

    def press(self, page: Seen, button: str, *, action: str = "", follow: bool = True, **changed: Value) -> Seen:
        """Presses a button of a page: sends the form that it stands in, with what is typed into it.

        AssertionError if the form has no such field, or a choice not that value.
        """
        form = page.form(button, action=action)
        sent: dict[str, Value] = {**form.fields, **_typed(form, changed)}
        name, value = form.buttons[button]
        sent |= {name: value} if name else {}
        if form.method == "post":
            return self.send(form.action, sent, follow=follow)
        return self.get(f"{form.action}?{urlencode(sent, doseq=True)}")

    @property
    def csrf_token(self) -> str:
        """The token of the browser's cookie."""
        if "hhh_csrf" not in self.client.cookies:
            self.client.get("/sign-in")
        return self.client.cookies["hhh_csrf"]

    def secrets_in(self, page: Seen) -> set[str]:
        """Which secrets stand on a page or in where it leads to: of the service, of the session, and those typed."""
        tokens = {self.client.cookies.get(name) for name in ("hhh_at", "hhh_rt")}
        return {secret for secret in self.secrets | tokens if secret and secret in page.html + page.location}

    def sign_in(self, *, email: str = EMAIL, password: str = PASSWORD) -> Seen:
        """Signs in on the page for it; where that leads."""
        return self.send("/sign-in", email=email, password=password)

    def another_browser(self) -> Console:
        """Somebody who is not signed in, at the same console."""
        return Console(TestClient(self.client.app, headers=_BROWSER, follow_redirects=False), self.folder)

    # ---------------------------------------------------------------- what pages show, made without pages

    def add_target(self, name: str, **policy: Any) -> Path:
        """Registers a small SQLite database; its file."""
        file = self.folder / f"{name}.db"
        make_sqlite_database(file, megabytes=0.02)
        self.client.post(
            "/api/v1/targets", json={"name": name, "url": f"sqlite:///{file}", **policy}, headers=self.token
        ).raise_for_status()
        return file

    def back_up(self, target: str = "app") -> str:
        """Takes a backup; its id. AssertionError if it fails."""
        answer = self.client.post("/api/v1/backups/trigger", json={"target": target}, headers=self.token)
        assert answer.is_success, answer.text
        return str(answer.json()["backup_id"])

    def ended(self, path: str) -> dict[str, Any]:
        """A job by its path in the API (`/api/v1/restores/…`), once it has ended."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.get(path).raise_for_status().json()
            return found if found["finished_at"] else None

        return cast("dict[str, Any]", wait_until(look, seconds=60, what=f"the end of {path}"))

    @property
    def token(self) -> dict[str, str]:
        """The headers of a call that changes something."""
        return {"X-CSRF-Token": self.csrf_token, "Accept": "application/json"}

    def _read(self, answer: httpx.Response) -> Seen:
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        seen = Seen(answer.status_code, answer.text, location=answer.headers.get("Location", ""), is_page=is_page)
        assert seen.status != httpx.codes.INTERNAL_SERVER_ERROR, seen
        assert not self.secrets_in(seen), f"a secret stands on {answer.url.path}"
        return seen


@contextmanager
def a_console(folder: Path, **settings: Any) -> Iterator[Console]:
    """A console of a service in an empty folder, whose first super admin is signed in."""
    known = settings_in(folder, **settings)
    if known.default_database_file is not None:
        shutil.copy(migrated_file(), known.default_database_file)
    with closing(Database(known.own_database_url)) as database:
        app = create_app(known, database)  # which signs what the audit log has of the user
        make_user(database)
        with TestClient(app, headers=_BROWSER, follow_redirects=False) as client:
            console = Console(client, folder)
            assert console.sign_in().location == "/first-steps"
            yield console


def _typed(form: PageForm, changed: Mapping[str, Value]) -> Mapping[str, Value]:
    for name, value in changed.items():
        assert name in form.fields, f"no field {name!r} in {[*form.fields]}"
        known = form.choices.get(name)
        values = [value] if isinstance(value, str) else [*value]
        assert known is None or set(values) <= set(known), f"{values} can't be chosen of {known}"
    return changed
