"""Chromium, as somebody uses the console with it: whatever a page complains of fails the test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    ViewportSize,
    expect,
    sync_playwright,
)

from support.npm import node_modules
from support.service import Service

#: Another program than the one of the packages, by its path.
VARIABLE = "CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: What a network without a way out needs, and an account that may do anything.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
#: What axe is asked: WCAG 2.2 AA, and what its makers know to go wrong beside.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_FURTHER_ROWS = "tbody tr:nth-child(n + 9)"
_MILLISECONDS = 20_000
_MOST_TABS = 300
_FOCUSED = """() => {
    const e = document.activeElement, label = e.labels?.[0]?.innerText.trim().split("\\n")[0];
    return label || (e.getAttribute("aria-label") || e.textContent || e.tagName).trim().replace(/\\s+/g, " ");
}"""
expect.set_options(timeout=_MILLISECONDS)
#: A stream of events, or a page that was left while it loaded.
_ABORTED = "net::ERR_ABORTED"


def chromium() -> str | None:
    """The program; None where there is none."""
    return os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def a_browser() -> Iterator[Browser]:
    """Chromium, without a window. RuntimeError where it is not installed."""
    program = chromium()
    if program is None:
        raise RuntimeError("Chromium is not installed. On Debian and Ubuntu: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of a module; not of a session: an event loop runs in this thread as long as it is there."""
    if chromium() is None:
        pytest.skip("Chromium is not installed on this machine: pages are not looked at with a browser")
    with a_browser() as started:
        yield started


@dataclass
class Tab:
    """A page in a browser of its own, with what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"the script failed: {error}"))
        self.page.on("requestfailed", self._on_failure)
        self.page.on("response", self._on_response)

    def go(self, path: str) -> Page:
        """Loads a page of the console."""
        self.page.goto(path)
        return self.page

    @property
    def path(self) -> str:
        """Where it is, without its query."""
        return urlsplit(self.page.url).path

    def is_at(self, path: str) -> None:
        """Waits until it is there."""
        self.page.wait_for_url(lambda url: urlsplit(url).path == path)

    def axe(self, *, rules: Sequence[str] = ()) -> list[str]:
        """What axe-core finds wrong with what is shown: by all its rules, or those named.

        Of long lists the first rows are looked at: the others are like them, and axe takes its time for each.
        """
        if not self.page.evaluate("'axe' in window"):
            self.page.add_script_tag(path=node_modules() / "axe-core/axe.min.js")
            self.page.evaluate(f"document.querySelectorAll({_FURTHER_ROWS!r}).forEach(row => row.remove())")
        asked = {"type": "rule", "values": [*rules]} if rules else {"type": "tag", "values": _RULES}
        options = {"runOnly": asked, "resultTypes": ["violations"]}
        found: dict[str, Any] = self.page.evaluate("options => axe.run(options)", options)
        return [
            f"{violation['id']}: {violation['help']}: {json.dumps(node['target'])} {node['html'][:200]} "
            f"{' '.join(node['failureSummary'].split())[:400]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def too_wide(self) -> list[str]:
        """What reaches beyond the window, outermost first; of what scrolls by itself nothing."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('main *, header *')]
                .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
                .filter(e => !e.parentElement.closest('.scroll, pre'))
                .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""
        )
        return found

    def focused(self) -> str:
        """What the keyboard is on: its label, its text or its tag."""
        return str(self.page.evaluate(_FOCUSED))

    def tab_to(self, name: str) -> None:
        """Presses Tab until the keyboard is on what is called so; AssertionError if it never is."""
        passed = []
        for _ in range(_MOST_TABS):
            self.page.keyboard.press("Tab")
            passed.append(self.focused())
            if passed[-1] == name:
                return
        raise AssertionError(f"the keyboard never comes to {name!r}, but to {[*dict.fromkeys(passed)]}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # That of an answer is told by `_on_response`, which knows what was asked for.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"{message.type}: {message.text}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != _ABORTED:
            self.problems.append(f"{request.method} {request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500 or (response.status >= 400 and not response.request.is_navigation_request()):
            self.problems.append(f"{response.request.method} {response.url}: {response.status}")


class Tabs:
    """Opens tabs at a service, each in a browser context of its own."""

    def __init__(self, browser: Browser, service: Service) -> None:
        self.service = service
        self.opened: list[Tab] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def open(self, *, signed_in: bool = True, **options: Any) -> Tab:
        """A new one; `options` are those of Playwright's `Browser.new_context`."""
        context = self._browser.new_context(base_url=self.service.base_url, **{"viewport": WIDE, **options})
        context.set_default_timeout(_MILLISECONDS)
        self._contexts.append(context)
        if signed_in:
            context.add_cookies(session_cookies(self.service))
        self.opened.append(Tab(context.new_page()))
        return self.opened[-1]

    def close(self) -> None:
        """Closes all of them; AssertionError with what went wrong in one."""
        for context in self._contexts:
            context.close()
        problems = [problem for tab in self.opened for problem in tab.problems]
        assert not problems, "\n".join(problems)


def session_cookies(service: Service) -> Any:
    """Those of the first super admin, in a session of its own for each service: signing in costs a core on purpose."""
    if service not in _SESSIONS:
        with service.signed_in_client() as client:
            _SESSIONS[service] = [
                {"name": name, "value": value, "url": service.base_url} for name, value in client.cookies.items()
            ]
    return _SESSIONS[service]


_SESSIONS: dict[Service, Any] = {}
