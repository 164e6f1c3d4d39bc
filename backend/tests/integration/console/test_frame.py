"""The frame of all pages: for whom they are drawn, and what they may load."""

import re

import pytest

from hhh.console.assets import assets
from support.console import Console
from support.sign_in import PASSWORD

#: One page of each kind, for what all have in common.
PAGES = ("/", "/backups", "/targets", "/settings")


def test_a_page_is_drawn_for_who_is_signed_in(console: Console) -> None:
    page = console.get("/")

    assert (page.status, page.title, page.heading) == (200, "Overview", "Overview")
    [here] = page.root.where(lambda each: each.get("aria-current") == "page")
    assert (here.text, here.get("href")) == ("Overview", "/")


@pytest.mark.parametrize("path", PAGES)
def test_nobody_else_sees_it_and_the_sign_in_leads_back_to_it(console: Console, path: str) -> None:
    console.client.cookies.clear()

    asked = console.get(path + "?target=app")

    assert asked.status == 303
    page = console.get(asked.location)
    back = console.press(page, "Sign in", email="root@example.com", password=PASSWORD, follow=False)
    assert back.location == path + "?target=app"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_nothing_inline(console: Console, path: str) -> None:
    policy = console.client.get(path).headers["Content-Security-Policy"]

    allowed = dict(each.split(" ", 1) for each in policy.split("; "))
    assert set(allowed.values()) == {"'none'", "'self'"}
    assert allowed["default-src"] == "'none'"


def test_style_and_script_are_kept_by_browsers_until_they_change(console: Console) -> None:
    page = console.client.get("/").text
    linked = dict(re.findall(r'(?:href|src)="/static/([^"?]+)\?v=([^"]+)"', page))

    assert set(linked) == set(assets())
    for name, digest in linked.items():
        answer = console.client.get(f"/static/{name}?v={digest}")
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.content == assets()[name].content
    assert console.client.get("/static/nothing.css").status_code == 404
