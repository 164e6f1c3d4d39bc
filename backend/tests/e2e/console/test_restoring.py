"""A restore at the console, from its recovery point to the receipt and the undo: by keyboard, and without a script."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from support.browser import Tab, Tabs
from support.restoring import change, content
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.session import current_session
from support.sqlite_data import make_sqlite_database


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with Service(current_session().new_folder("console")) as running:
        yield running


@pytest.fixture
def shop(served: Service, request: pytest.FixtureRequest) -> Path:
    """The file of a database, registered by the name `shop-<test>`."""
    name = f"shop-{abs(hash(request.node.name)) % 10_000}"
    file = served.folder / f"{name}.db"
    make_sqlite_database(file, megabytes=0.02)
    with served.signed_in_client() as client:
        client.post("/api/v1/targets", json={"name": name, "url": f"sqlite:///{file}"}).raise_for_status()
    return file


def test_by_keyboard_alone_from_the_sign_in_to_the_receipt(tabs: Tabs, shop: Path) -> None:
    then = content(shop)
    tab = tabs.open(signed_in=False)
    keyboard = tab.go("/backups").keyboard
    keyboard.type(ADMIN_EMAIL)
    tab.tab_to("Password")
    keyboard.type(ADMIN_PASSWORD)
    keyboard.press("Enter")
    tab.is_at("/backups")

    tab.tab_to("Database to back up")
    keyboard.type(shop.stem)
    tab.tab_to("Back up now")
    keyboard.press("Enter")
    expect(tab.page.locator(".state").first).to_contain_text("success")
    change(shop)
    tab.tab_to("Restores")
    keyboard.press("Enter")
    tab.is_at("/restores")
    tab.tab_to("Restore…")
    keyboard.press("Enter")
    tab.is_at("/restores/new")
    tab.tab_to(f"Choose {shop.stem}")
    keyboard.press("Enter")
    expect(tab.page.get_by_role("heading", name=f"Restore {shop.stem}")).to_be_visible()
    tab.tab_to("A new file beside it")
    keyboard.press("ArrowDown")
    assert tab.focused().startswith("In the place of the live one")
    tab.tab_to("Check it (dry run)")
    keyboard.press("Enter")
    expect(tab.page.get_by_text("Nothing stands against it")).to_be_visible()
    tab.tab_to(f"Type “{shop.stem}” to replace it")
    assert tab.page.get_by_role("button", name="Replace it now").is_disabled()
    keyboard.type(shop.stem)
    tab.tab_to("Replace it now")
    keyboard.press("Enter")

    expect(tab.page.get_by_role("heading", name="Receipt")).to_be_visible()
    assert content(shop) == then


def test_without_a_script_all_of_it_works_by_loading_pages_again(tabs: Tabs, shop: Path) -> None:
    tab = tabs.open(java_script_enabled=False, signed_in=False)
    page = tab.go("/backups")
    page.get_by_label("E-mail").fill(ADMIN_EMAIL)
    page.get_by_label("Password").fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    tab.is_at("/backups")
    page.get_by_label("Database to back up").select_option(shop.stem)
    press(page, "Back up now")
    wait_for_the_end(tab)
    expect(page.locator(".state").first).to_contain_text("success")
    then = content(shop)
    change(shop)
    changed = content(shop)

    tab.go(f"/restores/new?target={shop.stem}")
    page.get_by_label("In the place of the live one").check()
    press(page, "Check it (dry run)")
    wait_for_the_end(tab)
    page.get_by_label("Type").fill(shop.stem)
    press(page, "Replace it now")
    wait_for_the_end(tab)
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    assert content(shop) == then

    page.get_by_role("link", name="Undo…").click()
    press(page, "Undo it")
    wait_for_the_end(tab)
    expect(page.get_by_text("is in its place again")).to_be_visible()
    assert content(shop) == changed


def press(page: Page, button: str) -> None:
    """Sends a form, and waits for the page that it leads to."""
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def wait_for_the_end(tab: Tab) -> None:
    """Loads the page again, by the link that it has for that, until its job has ended."""
    again = tab.page.get_by_role("link", name="Load again")
    for _ in range(500):
        if again.count() == 0:
            return
        with tab.page.expect_navigation():
            again.click()
    raise AssertionError(f"{tab.page.url} does not end: {tab.page.get_by_role('main').inner_text()}")
