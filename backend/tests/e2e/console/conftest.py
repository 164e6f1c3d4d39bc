"""A browser at a running service."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.browser import Tab, Tabs, browser
from support.service import Service
from support.session import current_session

__all__ = ["browser"]


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    """One service for all tests of a module."""
    with Service(current_session().new_folder("console")) as running:
        yield running


@pytest.fixture
def tabs(browser: Browser, served: Service) -> Iterator[Tabs]:
    """Opens tabs at the module's service."""
    opened = Tabs(browser, served)
    yield opened
    opened.close()


@pytest.fixture
def tab(tabs: Tabs) -> Tab:
    """One, in which the first super admin is signed in."""
    return tabs.open()
