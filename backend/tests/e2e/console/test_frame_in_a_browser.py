"""What all pages share, in a browser: the skip link and the menu, times, the mark of a page that is no longer fresh."""

import re

import pytest
from playwright.sync_api import Browser, expect

from support.browser import NARROW, Tab, Tabs
from support.service import Service
from support.session import current_session


def test_the_first_stop_of_the_keyboard_leads_to_the_content(tab: Tab) -> None:
    tab.go("/backups")

    tab.page.keyboard.press("Tab")
    assert tab.focused() == "Skip to the content"
    expect(tab.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    tab.page.keyboard.press("Enter")

    assert tab.page.evaluate("document.activeElement.id") == "main"
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.closest('main') !== null")


def test_on_a_phone_the_menu_opens_by_its_button_and_closes_by_escape(tabs: Tabs) -> None:
    tab = tabs.open(viewport=NARROW, has_touch=True)
    tab.go("/backups")
    link = tab.page.get_by_role("navigation", name="Main").get_by_role("link", name="Restores")
    expect(link).to_be_hidden()

    tab.tab_to("Menu")
    tab.page.keyboard.press("Enter")
    expect(link).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(link).to_be_hidden()
    assert tab.focused() == "Menu"

    tab.page.get_by_role("button", name="Menu").tap()
    link.tap()
    tab.is_at("/restores")


def test_the_menu_of_a_phone_is_accessible(tabs: Tabs) -> None:
    tab = tabs.open(viewport=NARROW, bypass_csp=True, color_scheme="dark")
    tab.go("/backups")
    tab.page.get_by_role("button", name="Menu").click()

    assert tab.axe() == []
    assert tab.overflow() <= 0


def test_times_are_those_of_the_reader_with_utc_on_hover(served: Service, tabs: Tabs) -> None:
    with served.signed_in_client() as client:
        backup_id = client.post("/api/v1/backups/trigger").raise_for_status().json()["backup_id"]
    tab = tabs.open(timezone_id="Asia/Kolkata", locale="en-GB")
    tab.go(f"/backups/{backup_id}")

    time = tab.page.locator("time:not(.ago)").first
    moment, title = time.get_attribute("datetime"), time.get_attribute("title")
    assert moment is not None
    assert title == moment.replace("T", " ").replace("Z", " UTC")
    there = "new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short', timeZone: 'Asia/Kolkata'})"
    assert time.inner_text() == tab.page.evaluate(f"m => {there}.format(new Date(m))", moment)
    sizes = tab.page.locator("data[title]")
    assert re.fullmatch(r"[\d,]+ bytes?", sizes.first.get_attribute("title") or "")


def test_a_page_that_can_not_be_asked_for_again_says_since_when(browser: Browser) -> None:
    with Service(current_session().new_folder("stopped")) as service:
        tabs = Tabs(browser, service)
        tab = tabs.open()
        tab.page.clock.install()
        tab.go("/")
        tab.page.clock.run_for(61_000)
        expect(tab.page.locator("[data-offline]")).to_be_hidden()

        service.terminate()
        tab.page.clock.run_for(61_000)
        expect(tab.page.locator("[data-offline]")).to_contain_text("The service does not answer since")

        service.start()
        tab.page.clock.run_for(61_000)
        expect(tab.page.locator("[data-offline]")).to_be_hidden()
        assert all("net::ERR_CONNECTION" in problem for problem in tab.problems)
        tab.problems.clear()
        tabs.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_the_keyboard_is_on_is_seen(tabs: Tabs, scheme: str) -> None:
    tab = tabs.open(color_scheme=scheme)
    tab.go("/backups")
    tab.tab_to("Back up now")

    outline = tab.page.evaluate("getComputedStyle(document.activeElement).outline")
    assert "solid" in outline
    assert "3px" in outline
