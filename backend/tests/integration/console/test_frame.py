"""The frame of all pages: the way in and out, refused forms, errors, what a page may load."""

import re

import pytest

from hhh.console.assets import assets
from hhh.models import Role
from support.console import Console
from support.sign_in import PASSWORD, make_user

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


def test_a_wrong_password_is_told_and_not_repeated(fresh_console: Console) -> None:
    fresh_console.secrets.add("a wrong password")
    fresh_console.client.cookies.clear()
    page = fresh_console.press(
        fresh_console.get("/sign-in"), "Sign in", email="root@example.com", password="a wrong password"
    )

    assert page.status == 401
    assert page.form("Sign in").fields["email"] == ["root@example.com"]
    assert page.notices != []


@pytest.mark.parametrize("elsewhere", ["https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "x"])
def test_the_sign_in_leads_nowhere_else(console: Console, elsewhere: str) -> None:
    answer = console.send("/sign-in", email="root@example.com", password=PASSWORD, next=elsewhere)
    assert answer.location in ("/", "/first-steps")


def test_whoever_signs_out_is_out(fresh_console: Console) -> None:
    answer = fresh_console.send("/sign-out")

    assert fresh_console.get(answer.location).notices == ["You are signed out."]
    assert fresh_console.get("/").location == "/sign-in"


def test_a_form_without_the_token_of_this_session_changes_nothing(console: Console) -> None:
    form = {"target": "app"}
    for token in ("", "x", "x.y"):
        refused = console.send("/backups", form, csrf_token=token)
        assert (refused.status, refused.heading) == (403, "Not allowed")
        assert "Go back, load the page again" in refused.text
    assert console.get("/backups").rows() == []


def test_another_site_can_not_sign_anybody_in(console: Console) -> None:
    console.client.cookies.clear()
    answer = console.send("/sign-in", email="root@example.com", password=PASSWORD, csrf_token="")
    assert answer.status == 403
    console.sign_in()


def test_a_role_that_may_not_see_it_is_told_so(console: Console) -> None:
    make_user(console.database, email="member@example.com", role=Role.MEMBER)
    console.sign_in(email="member@example.com")

    page = console.get("/")

    assert (page.status, page.heading) == (403, "Not allowed")
    console.sign_in()


def test_an_unknown_page_says_so_and_leads_on(console: Console) -> None:
    page = console.get("/nowhere")
    assert (page.status, page.heading, page.links["Overview"]) == (404, "Not found", "/")


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
