"""The page of settings: all of them in words, no secret among them; and how well everything is."""

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pyrage
import pytest
from starlette.responses import Response
from starlette.types import Message

from hhh.console.views import settings_view
from hhh.console.views.examination import ROWS, SUM, Examination
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.services.container import assemble
from hhh.services.sweep import Sweep
from support.console import Console, a_console
from support.local_services import settings_in
from support.session import current_session
from support.waiting import wait_until

SECRET = "s3cret-that-stands-nowhere-" + "x" * 20


@pytest.fixture(scope="module")
def guarded() -> Iterator[Console]:
    """A console of a service that has a secret in every setting that can have one."""
    folder = current_session().new_folder("console")
    identity = pyrage.x25519.Identity.generate()
    (folder / "identity").write_text(f"{identity}\n")
    (folder / "identity").chmod(0o600)
    with a_console(
        folder,
        secret_key=f"key-{SECRET}",
        admin_password=f"password-{SECRET}",
        age_recipients=identity.to_public(),
        age_identity_file=folder / "identity",
        running_limit=3,
    ) as console:
        console.secrets |= {SECRET, str(identity)}
        yield console


def values(console: Console) -> dict[str, str]:
    """By name, the settings that the page shows."""
    return {
        row["Setting"]: row["Value"] for group in settings_view.GROUPS for row in console.get("/settings").rows(group)
    }


def has_swept(console: Console) -> bool:
    last = console.services.sweep.last()
    return last is not None and last.finished_at is not None


def test_every_setting_is_told() -> None:
    assert sorted(name for group in settings_view.GROUPS.values() for name in group) == sorted(Settings.model_fields)


def test_settings_are_told_with_what_holds_where_nothing_is_set(guarded: Console) -> None:
    shown = values(guarded)

    assert shown["HHH_RUNNING_LIMIT"] == "3"
    assert shown["HHH_ENV"] == "dev (default)"
    assert shown["HHH_COOKIE_SECURE"] == "no (default)"
    assert shown["HHH_DATABASE_URL"].startswith("sqlite:///")
    assert shown["HHH_STORAGE_URL"].startswith("file:///")
    assert (shown["HHH_SECRET_KEY"], shown["HHH_ADMIN_PASSWORD"]) == ("set", "set")
    assert shown["HHH_AGE_RECIPIENTS"] == "1 key"
    assert shown["HHH_CORS_ORIGINS"] == "not set"


def test_no_secret_stands_on_any_page_of_it_nor_in_the_kit(guarded: Console) -> None:
    # Each page that the console reads is searched for its secrets.
    assert guarded.get("/settings").status == 200
    assert guarded.get("/settings/health").status == 200
    kit = guarded.client.get("/settings/recovery-kit")
    assert "hhh-recovery-kit.md" in kit.headers["Content-Disposition"]
    assert guarded.services.identity.installation in kit.text
    assert SECRET not in kit.text
    assert "AGE-SECRET-KEY-1" not in kit.text


def test_addresses_are_told_without_their_passwords(tmp_path: Path) -> None:
    own = f"postgresql://ann:{SECRET}@db/hhh?sslpassword={SECRET}"
    jobs = f"postgresql://ann:{SECRET}@db/jobs"
    settings = settings_in(tmp_path, database_url=own, jobs_database_url=jobs)

    shown = settings_view.shown_settings(assemble(settings, Database(own)))

    told = {each.name: each.value for group in shown.values() for each in group}
    assert told["HHH_DATABASE_URL"].startswith("postgresql://ann:***@db/hhh")
    assert told["HHH_JOBS_DATABASE_URL"] == "postgresql://ann:***@db/jobs"
    assert SECRET not in str(shown)


def test_keys_and_versions_are_told(guarded: Console) -> None:
    page = guarded.get("/settings")
    [recipient] = guarded.services.settings.age_recipients

    assert page.facts["Signing key"] == guarded.services.identity.signing_key.public_key
    assert page.facts["Backups are encrypted for"] == recipient
    assert page.facts["This machine opens those for"] == recipient
    assert page.facts["SQLite"].endswith("for the service's own database")
    assert "pg_dump" in page.facts["PostgreSQL's programs"]


def test_keys_that_can_not_be_read_are_told_and_all_else_as_well(tmp_path: Path) -> None:
    with a_console(tmp_path, age_identity_file=tmp_path / "gone") as console:
        page = console.get("/settings")
        assert str(tmp_path / "gone") in page.notices[0]
        assert page.rows("Service")


def test_what_is_found_is_told_and_summed_up(fresh_console: Console) -> None:
    console = fresh_console
    file = console.add_target("shop")
    well = console.get("/settings/health")
    file.unlink()
    ill = console.get("/settings/health")

    assert (well.status, well.headings[-1]) == (200, "All is well")
    assert {row["State"] for row in well.rows("Findings")} == {"well"}
    found = {row["What"]: row["State"] for row in ill.rows("Findings")}
    assert (found["Target shop"], found["Store default"]) == ("needs you", "well")
    assert ill.headings[-1].startswith("1 of ")
    assert "Target shop:" in ill.main.one("section").text
    assert well.main.get("id") == "main"


def test_an_examination_changes_nothing(fresh_console: Console) -> None:
    console = fresh_console
    console.back_up()

    def stored() -> list[Path]:
        return sorted(each for each in (console.folder / "data" / "backups").rglob("*") if each.is_file())

    before = stored()
    assert console.get("/settings/health").status == 200
    assert stored() == before != []


def test_who_goes_away_ends_it_and_the_next_one_begins(fresh_console: Console) -> None:
    sent = list[Message]()

    async def examine() -> None:
        gone = anyio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message.get("body"):
                gone.set()

        page = f"<p>{ROWS}{SUM}the end</p>"
        await Examination(fresh_console.services, page, Response(), lambda: False)({"type": "http"}, receive, send)

    anyio.run(examine)

    assert sent[1]["body"] == b"<p>"
    assert "the end" not in str(sent)
    assert fresh_console.get("/settings/health").status == 200


def test_a_process_that_is_stopping_ends_it(fresh_console: Console) -> None:
    fresh_console.client.app.state.jobs.stop()  # type: ignore[attr-defined]

    page = fresh_console.get("/settings/health")

    [found] = page.rows("Findings")
    assert found["Found"] == "The examination was ended: the service is stopping."


def test_two_at_once_are_one_after_the_other(fresh_console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    console, looks, goes_on = fresh_console, threading.Event(), threading.Event()
    look = Sweep.look

    def wait_and_look(*arguments: object, **more: object) -> object:
        looks.set()
        assert goes_on.wait(60)
        return look(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Sweep, "look", wait_and_look)
    pages = list[str]()
    first = threading.Thread(target=lambda: pages.append(console.client.get("/settings/health").text))
    first.start()
    assert looks.wait(60)

    second = console.get("/settings/health")
    goes_on.set()
    first.join(60)

    assert (second.status, second.links["Try again"]) == (409, "/settings/health")
    assert "An examination is under way already." in second.notices[0]
    assert "All is well" in pages[0]
    assert console.get("/settings/health").status == 200


def test_what_fails_as_nobody_expected_ends_the_page_as_one(
    fresh_console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> object:
        raise RuntimeError("nobody expected it")

    monkeypatch.setattr(Sweep, "look", break_down)

    page = fresh_console.get("/settings/health")

    assert page.rows("Findings")[-1]["Found"] == "It ended early; the service's log has more."
    assert "nobody expected it" not in page.text


def test_a_sweep_is_asked_for_once(fresh_console: Console) -> None:
    console = fresh_console
    page = console.get("/settings")
    assert "There was none yet." in page.text

    asked = console.press(page, "Sweep and repair now")

    assert asked.heading == "Workers"
    assert asked.notices[0].startswith("A sweep with repair was asked for.")
    wait_until(lambda: has_swept(console), seconds=60, what="the end of the sweep")
    [row] = console.get("/workers").rows("Upkeep")
    assert (row["Job"], row["State"]) == ("Sweep", "success")
    assert "There was none yet." not in console.get("/settings").text
