"""The way in and out of the console."""

import httpx
import pytest

from hhh.models import Role
from support.console import Console
from support.console_browsers import HERE, end_session, has_menu
from support.pages import Seen
from support.sign_in import EMAIL, PASSWORD, expire_access_token, make_user

# --------------------------------------------------------------------------------------------------------- signing in


def test_a_wrong_password_is_told_and_not_repeated(fresh_console: Console) -> None:
    fresh_console.secrets.add("a wrong password")
    fresh_console.client.cookies.clear()
    page = fresh_console.press(
        fresh_console.get("/sign-in"), "Sign in", email="root@example.com", password="a wrong password"
    )

    assert page.status == 401
    assert page.form("Sign in").fields["email"] == ["root@example.com"]
    assert page.notices != []


def test_too_many_tries_have_to_wait_and_are_told_how_long_in_words(fresh_console: Console) -> None:
    browser = fresh_console.another_browser()
    for _ in range(10):
        assert browser.sign_in(password="a wrong password").status == 401

    page = browser.sign_in()
    answer = browser.client.post(
        "/sign-in", data={"csrf_token": browser.csrf_token, "email": EMAIL, "password": PASSWORD}
    )

    assert page.status == 429
    assert "Too many failed sign-ins. Try again in 1" in page.notices[0]
    assert " min" in page.notices[0]
    assert 0 < int(answer.headers["Retry-After"]) <= 900


@pytest.mark.parametrize(
    ("email", "password"),
    [("", ""), (EMAIL, ""), ("", PASSWORD), (EMAIL, "x" * 1025), ("x" * 300, PASSWORD), ("a\0b\u200b@x", PASSWORD)],
)
def test_what_can_not_be_right_is_as_wrong_as_anything_else(console: Console, email: str, password: str) -> None:
    page = console.another_browser().sign_in(email=email, password=password)

    assert (page.status, page.heading) == (401, "Sign in")
    assert page.notices[0].startswith("Wrong e-mail or password.")


def test_whoever_is_signed_in_is_led_on_from_the_sign_in(browser: Console) -> None:
    assert browser.get("/sign-in").location == "/"
    assert browser.get("/sign-in?next=/backups&ended=1").location == "/backups"


def test_the_very_first_sign_in_leads_to_the_first_steps_and_later_ones_to_the_overview(
    fresh_console: Console,
) -> None:
    assert fresh_console.another_browser().sign_in().location == "/first-steps"

    fresh_console.back_up()

    assert fresh_console.another_browser().sign_in().location == "/"


def test_who_signs_in_twice_has_two_sessions_and_leaves_one(browser: Console) -> None:
    other = browser.another_browser()
    other.sign_in()

    browser.send("/sign-out")

    assert browser.get("/users").location.startswith("/sign-in")
    assert other.get("/users").status == 200


def test_a_page_for_signing_in_that_was_open_meanwhile_is_refused_and_leads_in(browser: Console) -> None:
    old = browser.another_browser()
    stale = old.csrf_token
    old.sign_in()

    answer = old.client.post(
        "/sign-in",
        data={"csrf_token": stale, "email": EMAIL, "password": PASSWORD},
        headers={"Referer": f"{HERE}/sign-in"},
    )
    page = Seen(answer.status_code, answer.text)

    assert (page.status, page.links["Go back"]) == (403, "/")
    assert old.get("/users").status == 200


ELSEWHERE = [
    "https://evil.example.com",
    "//evil.example.com",
    "///evil.example.com",
    "/\\evil.example.com",
    "\\\\evil.example.com",
    "/\t/evil.example.com",
    "/\n/evil.example.com",
    "/\r\nLocation: https://evil.example.com",
    "/\u2028x",
    "javascript:alert(1)",
    "evil.example.com",
    "/sign-in?next=/x",
    "/" + "x" * 2000,
    "",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_address_of_the_sign_in_leads_elsewhere(console: Console, path: str) -> None:
    browser = console.another_browser()

    page = browser.get(f"/sign-in?{httpx.QueryParams({'next': path})}")
    answer = browser.send("/sign-in", email=EMAIL, password=PASSWORD, next=path)

    assert page.form("Sign in").fields["next"] == ["/"]
    assert answer.location in {"/", "/first-steps"}


@pytest.mark.parametrize(
    "path", ["/%2Fevil.example.com", "/.//evil.example.com", "/@evil.example.com", "/ü?a=b&c=%0d%0a"]
)
def test_odd_paths_stay_on_this_host(console: Console, path: str) -> None:
    answer = console.another_browser().send("/sign-in", email=EMAIL, password=PASSWORD, next=path)

    there = httpx.URL(HERE).join(answer.location)
    assert (answer.status, there.host) == (303, "testserver")
    assert not {"\r", "\n"} & {*answer.location}


@pytest.mark.parametrize(
    "query", ["ended=banana", "ended=", "next=%ff%00", "next=a&next=b", "done=nothing", "x" * 5000]
)
def test_no_query_keeps_anybody_from_signing_in(console: Console, query: str) -> None:
    page = console.another_browser().get(f"/sign-in?{query}")

    assert (page.status, page.heading) == (200, "Sign in")


@pytest.mark.parametrize(
    ("asked", "back"),
    [
        ("/backups?target=app&status=failed", "/backups?target=app&status=failed"),
        ("/targets/a%3Fb%23c", "/targets/a%3Fb%23c"),
        ("/users?after=" + "x" * 3000, "/"),
    ],
)
def test_a_session_that_has_ended_is_told_and_leads_back(console: Console, asked: str, back: str) -> None:
    browser = console.another_browser()
    browser.sign_in()
    end_session(browser)

    page = browser.get(browser.get(asked).location)
    answer = browser.press(page, "Sign in", email=EMAIL, password=PASSWORD, follow=False)

    assert page.notices[0].startswith("Your session has ended.")
    assert answer.location in ({back} if back != "/" else {"/", "/first-steps"})


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN])
def test_who_may_not_come_in_is_told_why_and_can_sign_out(fresh_console: Console, role: Role) -> None:
    make_user(fresh_console.database, email="ann@example.com", role=role)
    browser = fresh_console.another_browser()
    assert browser.sign_in(email="ann@example.com").location == "/account"

    page = browser.get("/")
    left = browser.press(page, "Sign out")

    assert (page.status, page.heading) == (403, "Not allowed")
    assert "You are signed in as ann@example.com." in page.text
    assert "Sign out, and in again as a super admin" in page.text
    assert not has_menu(page)
    assert left.notices == ["You are signed out."]


# -------------------------------------------------------------------------------------------------------- signing out


def test_whoever_signs_out_is_out(fresh_console: Console) -> None:
    answer = fresh_console.send("/sign-out")

    assert fresh_console.get(answer.location).notices == ["You are signed out."]
    assert fresh_console.get("/").location == "/sign-in"


def test_signing_out_works_when_the_access_token_has_run_out(browser: Console) -> None:
    expire_access_token(browser.client, browser.services.settings)
    kept = httpx.Cookies(browser.client.cookies)

    assert browser.send("/sign-out").location == "/sign-in?done=signed-out"

    assert {*browser.client.cookies} == {"hhh_csrf", "hhh_known"}
    browser.client.cookies = kept
    assert browser.get("/users").location.startswith("/sign-in?ended=1")


def test_signing_out_works_when_the_session_has_ended(browser: Console) -> None:
    end_session(browser)

    assert browser.send("/sign-out").location == "/sign-in?done=signed-out"


def test_signing_out_in_two_windows_ends_at_the_sign_in(browser: Console) -> None:
    of_the_other_window = browser.csrf_token
    browser.send("/sign-out")

    answer = browser.send("/sign-out", csrf_token=of_the_other_window)

    assert (answer.status, answer.location) == (303, "/sign-in?ended=1")
