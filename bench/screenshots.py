"""``python -m bench.screenshots``: pictures of every page, light and dark, wide and narrow.

Of a service that has been at work for a month, and of an empty one.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# The service and what it has done come from the tests' own rigs.
sys.path.insert(0, str(Path(__file__).parent.parent / "backend" / "tests"))

import structlog
from playwright.sync_api import Browser, Page

from support.browser import NARROW, WIDE, a_browser, chromium, session_cookies
from support.demo import EMPTY_PAGES, PAGES, furnish
from support.service import Service
from support.session import current_session

_REPOSITORY = Path(__file__).parent.parent
_WIDTHS = {"1280": WIDE, "390": NARROW}
_SCHEMES = ("light", "dark")
#: The one page for those who are not signed in; the last one.
_OUTSIDE = "sign-in"
#: What the README shows: page, and how much of it; three quarters of its size, as wide as a README is.
_SHOWN = {"console-overview": ("overview", 1300), "console-restore": ("restore-plan-replace", 1000)}
_SHOWN_SCALE = 0.75


def main() -> int:
    """Returns 0 if all pages were drawn, else 1."""
    asked = _arguments()
    if chromium() is None:
        print("Chromium is not installed. On Debian and Ubuntu: apt-get install chromium", file=sys.stderr)
        return 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asked.out.mkdir(parents=True, exist_ok=True)
    # Pages show paths: a short one is as good as any.
    with tempfile.TemporaryDirectory(prefix="demo-") as made, a_browser() as browser:
        folder = Path(made)
        demo = furnish(folder, megabytes=20)
        full = {name: demo.path(name) for name in PAGES}
        with Service(folder, demo.settings) as service:
            bad = [*_draw(browser, service, _chosen(full, asked.only), asked.out)]
            _draw_shown(browser, service, full, asked.out)
        with Service(current_session().new_folder("empty")) as service:
            bad += _draw(browser, service, _chosen(EMPTY_PAGES, asked.only), asked.out)
    print(f"{len([*asked.out.glob('*.png')])} pictures are in {asked.out}")
    for each in bad:
        print(each, file=sys.stderr)
    return 1 if bad else 0


def _draw(browser: Browser, service: Service, pages: Mapping[str, str], out: Path) -> Iterator[str]:
    """Draws them; what failed."""
    for scheme in _SCHEMES:
        for width, viewport in _WIDTHS.items():
            with _page(browser, service, color_scheme=scheme, viewport=viewport) as page:
                for name, path in pages.items():
                    if name == _OUTSIDE:  # whoever is signed in is led on from there
                        page.context.clear_cookies()
                    answer = page.goto(path)
                    if answer is None or (answer.status >= 400 and name != "not-found"):  # noqa: PLR2004  errors
                        yield f"{name} ({path}): {answer and answer.status}"
                    page.screenshot(path=out / f"{name}-{width}-{scheme}.png", full_page=True)


def _draw_shown(browser: Browser, service: Service, pages: Mapping[str, str], out: Path) -> None:
    for picture, (name, height) in _SHOWN.items():
        viewport = {"width": 1280, "height": height}
        with _page(browser, service, viewport=viewport, device_scale_factor=_SHOWN_SCALE) as page:
            page.goto(pages[name])
            page.screenshot(path=out / f"{picture}.png")


@contextmanager
def _page(browser: Browser, service: Service, **options: object) -> Iterator[Page]:
    context = browser.new_context(base_url=service.base_url, locale="en-GB", **options)  # type: ignore[arg-type]
    context.add_cookies(session_cookies(service))
    yield context.new_page()
    context.close()


def _chosen(pages: Mapping[str, str], only: list[str] | None) -> Mapping[str, str]:
    return {name: path for name, path in pages.items() if not only or any(name.startswith(each) for each in only)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=_REPOSITORY / "build" / "screenshots", help="default %(default)s")
    parser.add_argument("--only", action="append", help="only pages whose name begins so; may be given again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
