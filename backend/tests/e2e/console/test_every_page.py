"""What holds for every page of the console, in a browser: accessible in light and in dark, no wider than a phone."""

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Browser

from hhh.console.routes import ROUTERS
from support.browser import NARROW, WIDE, Tab, Tabs
from support.demo import EMPTY_PAGES, PAGES, Demo, furnish
from support.npm import node_modules
from support.service import Service
from support.session import current_session

#: What is asked for otherwise than as a page: style and script, the session, files.
NO_PAGES = re.compile("/static/|/session|/settings/recovery-kit|/first-steps/|.*/download|/audit/export")

#: Looked at with data by `make test`. What they say instead is made of the same parts as on the other empty pages.
OTHERWISE_FULL = {f"{page}-empty" for page in ("restores", "stores", "schedules", "workers", "users", "settings")}


@pytest.fixture(scope="module")
def demo() -> Demo:
    """What a service that has been at work for a month has."""
    return furnish(current_session().new_folder("demo"))


@pytest.fixture(scope="module")
def looked_at(browser: Browser, demo: Demo) -> Iterator[Tab]:
    """A tab at that service."""
    with Service(demo.folder, demo.settings) as running:
        tabs = Tabs(browser, running)
        yield tabs.open(bypass_csp=True)  # axe is put into the page; the policy is held by the tests beside
        tabs.close()


@pytest.fixture(scope="module")
def looked_at_empty(browser: Browser) -> Iterator[Tab]:
    """A tab at a service that has done nothing yet."""
    with Service(current_session().new_folder("empty")) as running:
        tabs = Tabs(browser, running)
        yield tabs.open(bypass_csp=True)
        tabs.close()


def look_at(tab: Tab, path: str) -> None:
    """AssertionError with everything that is wrong with a page, loaded once: wide and light, then dark, then narrow."""
    node_modules()
    tab.page.emulate_media(color_scheme="light")
    tab.page.set_viewport_size(WIDE)
    tab.go(path)
    wrong = tab.axe()
    tab.page.emulate_media(color_scheme="dark")
    wrong += [f"dark: {each}" for each in tab.axe(rules=["color-contrast"])]
    tab.page.set_viewport_size(NARROW)
    if (wider := tab.overflow()) > 0:
        wrong.append(f"{wider} px wider than a phone: {tab.too_wide()}")
    wrong += tab.problems
    tab.problems.clear()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_data_is_accessible_and_fits_a_phone(looked_at: Tab, demo: Demo, page: str) -> None:
    look_at(looked_at, demo.path(page))


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.soak) if page in OTHERWISE_FULL else page for page in EMPTY_PAGES]
)
def test_an_empty_page_is_accessible_and_fits_a_phone(looked_at_empty: Tab, page: str) -> None:
    if page == "sign-in":
        looked_at_empty.page.context.clear_cookies()
    look_at(looked_at_empty, EMPTY_PAGES[page])


def test_every_page_there_is_is_looked_at() -> None:
    patterns = {
        route.path_regex
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and not NO_PAGES.match(route.path)
    }
    paths = {path.partition("?")[0] for path in (*PAGES.values(), *EMPTY_PAGES.values())}
    missing = [pattern.pattern for pattern in patterns if not any(pattern.match(path) for path in paths)]
    assert missing == []
