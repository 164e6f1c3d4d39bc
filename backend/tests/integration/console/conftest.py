"""Somebody at the console of a service of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.console import Console, a_console
from support.session import current_session


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """One for all tests of a module that leave it as it was but for more of everything."""
    with a_console(current_session().new_folder("console")) as made:
        yield made


@pytest.fixture
def fresh_console(tmp_path: Path) -> Iterator[Console]:
    """One of an empty service, for a test that needs it so, or changes what others rely on."""
    with a_console(tmp_path) as made:
        yield made


@pytest.fixture
def browser(console: Console) -> Console:
    """Somebody who is signed in, in a browser that no other test uses."""
    browser = console.another_browser()
    browser.sign_in()
    return browser
