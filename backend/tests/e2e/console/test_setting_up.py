"""Setting up at the console: a store, a database, when and what is kept, who may sign in; and all of it back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from support.browser import Tab, Tabs
from support.service import ADMIN_PASSWORD, Service
from support.session import current_session
from support.sqlite_data import make_sqlite_database


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with Service(current_session().new_folder("console")) as running:
        yield running


@pytest.fixture
def file(served: Service) -> Path:
    """A database to be registered."""
    path = served.folder / "notes.db"
    if not path.exists():
        make_sqlite_database(path, megabytes=0.02)
    return path


@pytest.fixture
def shop(served: Service) -> str:
    """The name of a registered database."""
    path = served.folder / "shop.db"
    if not path.exists():
        make_sqlite_database(path, megabytes=0.02)
        with served.signed_in_client() as client:
            client.post("/api/v1/targets", json={"name": "shop", "url": f"sqlite:///{path}"}).raise_for_status()
    return "shop"


def is_done(page: Page, said: str) -> None:
    expect(page.locator(".notice.done")).to_contain_text(said)


def test_a_store_is_tested_before_it_is_kept(tab: Tab, served: Service) -> None:
    page = tab.go("/stores")
    page.get_by_role("link", name="Add a store").first.click()
    page.get_by_label("Name", exact=True).fill("second")
    page.get_by_label("Kind").select_option("file")
    (served.folder / "in-the-way").write_text("")
    place = page.locator("#file-place")
    place.fill(f"{served.folder}/in-the-way/store")
    page.get_by_role("button", name="Test and save").click()
    expect(page.get_by_text("Nothing was saved")).to_be_visible()

    place.fill(f"{served.folder}/second")
    page.get_by_role("button", name="Test and save").click()

    is_done(page, "The store is registered")
    tab.is_at("/stores/second")
    page.get_by_role("link", name="Edit").click()
    tab.is_at("/stores/second/edit")
    tab.go("/stores/second/remove")
    remove = page.get_by_role("button", name="Remove second")
    expect(remove).to_be_disabled()
    page.get_by_label("Its name, to be sure").fill("second")
    remove.click()
    expect(page.get_by_role("heading", name="second is removed")).to_be_visible()


def test_a_database_is_opened_before_it_is_kept(tab: Tab, file: Path) -> None:
    page = tab.go("/new-target")
    page.get_by_label("Name", exact=True).fill("notes")
    page.get_by_label("Kind").select_option("sqlite")
    expect(page.get_by_label("Host")).to_be_hidden()
    page.get_by_label("Path").fill(f"{file}-that-is-not-there")
    page.get_by_role("button", name="Test and save").click()
    expect(page.get_by_text("could not be opened, and nothing was saved")).to_be_visible()

    page.get_by_label("Path").fill(str(file))
    page.get_by_role("button", name="Test and save").click()

    is_done(page, "The database is registered")
    tab.is_at("/targets/notes")
    tab.go("/targets/notes/remove")
    remove = page.get_by_role("button", name="Remove notes")
    expect(remove).to_be_disabled()
    page.get_by_label("Its name, to be sure").fill("notes")
    remove.click()
    expect(page.get_by_role("heading", name="notes is removed")).to_be_visible()


def test_a_schedule_is_told_in_words_while_it_is_typed(tab: Tab, shop: str) -> None:
    page = tab.go("/schedules/new")
    page.get_by_label("Database").select_option(shop)
    page.get_by_label("A line of cron").check()
    page.get_by_label("Line of cron", exact=True).fill("0 4 * * 1,4")
    expect(page.locator("[data-preview]")).to_contain_text("each Monday and Thursday at 04:00")
    expect(page.locator("[data-preview] tbody tr")).to_have_count(5)
    page.get_by_role("button", name="Set up the schedule").click()
    is_done(page, "The schedule is set up")

    tab.go("/schedules")
    page.get_by_role("button", name="Pause").click()
    is_done(page, "The schedule is paused")
    page.get_by_role("button", name="Resume").click()
    is_done(page, "The schedule goes on")

    page.get_by_role("button", name="Remove", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Remove this schedule?")
    expect(dialog).to_be_visible()
    for _ in range(6):
        page.keyboard.press("Tab")
        # Beyond its last button the keyboard is in the browser's own bar, and on nothing of the page behind.
        assert page.evaluate("document.activeElement.matches('dialog[open] *, dialog, body')")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert tab.focused() == "Remove"
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Remove", exact=True).click()
    dialog.get_by_role("button", name="Remove the schedule").click()
    is_done(page, "The schedule is removed")


def test_what_is_kept_is_tried_before_it_is_saved(tab: Tab, shop: str) -> None:
    page = tab.go(f"/targets/{shop}/retention")
    page.get_by_label("Days", exact=True).fill("7")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_text("These rules are tried, not saved")).to_be_visible()

    page.get_by_role("button", name="Save these rules").click()

    is_done(page, "The rules are saved")
    expect(page.get_by_label("Days", exact=True)).to_have_value("7")


def test_somebody_gets_a_password_that_is_shown_once(tabs: Tabs) -> None:
    tab = tabs.open()
    page = tab.go("/new-user")
    page.get_by_label("E-mail").fill("new@example.com")
    page.get_by_label("Role").select_option("SUPER_ADMIN")
    page.get_by_label("Your password").fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Add, and make a password").click()
    password = page.locator("pre code").inner_text()

    theirs = tabs.open(signed_in=False)
    theirs.go("/users")
    theirs.page.get_by_label("E-mail").fill("new@example.com")
    theirs.page.get_by_label("Password").fill(password)
    theirs.page.get_by_role("button", name="Sign in").click()
    theirs.is_at("/users")

    tab.go("/users")
    page.get_by_role("link", name="new@example.com").click()
    page.get_by_text("Remove this user").click()
    page.locator("details").get_by_label("Your password").fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Remove the user").click()
    is_done(page, "The user is removed")
    theirs.go("/users")
    assert theirs.path == "/sign-in"


def test_what_is_to_be_copied_is_in_the_clipboard(tabs: Tabs, served: Service) -> None:
    with served.signed_in_client() as client:
        backup_id = client.post("/api/v1/backups/trigger").raise_for_status().json()["backup_id"]
    tab = tabs.open(permissions=["clipboard-read", "clipboard-write"])
    page = tab.go(f"/backups/{backup_id}")
    page.get_by_text("The commands").click()
    copyable = page.locator("details[open] .copyable").first

    copyable.get_by_role("button").click()

    expect(copyable.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == copyable.locator("pre").inner_text()
