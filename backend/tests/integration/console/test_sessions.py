"""Forms that are refused for what session they are of, and sessions that are carried on."""

import httpx
import pytest

from hhh.models import Role
from hhh.services import users
from support.console import Console
from support.console_browsers import HERE, add_user, end_session, users_of
from support.sign_in import EMAIL, PASSWORD, expire_access_token, make_user

ME, REFRESH = "/api/v1/auth/me", "/api/v1/auth/refresh"


# ------------------------------------------------------------------------------------------------------ refused forms


def test_a_form_without_the_token_of_this_session_changes_nothing(console: Console) -> None:
    form = {"target": "app"}
    for token in ("", "x", "x.y"):
        refused = console.send("/backups", form, csrf_token=token)
        assert (refused.status, refused.heading) == (403, "Not allowed")
        assert "Go back, load the page again" in refused.text
    assert console.get("/backups").rows() == []


def test_another_site_can_not_sign_anybody_in(console: Console) -> None:
    browser = console.another_browser()

    answer = browser.send("/sign-in", email=EMAIL, password=PASSWORD, csrf_token="")

    assert (answer.status, browser.get("/").status) == (403, 303)


def test_a_planted_token_of_another_session_is_refused(browser: Console) -> None:
    other = browser.another_browser()
    other.sign_in()
    browser.client.cookies.set("hhh_csrf", other.csrf_token, domain="testserver.local", path="/")

    page = add_user(browser, "planted@example.com")

    assert (page.status, page.heading) == (403, "Not allowed")
    assert "planted@example.com" not in users_of(browser)


def test_a_planted_token_of_nobody_is_refused(browser: Console) -> None:
    browser.client.cookies.set("hhh_csrf", browser.another_browser().csrf_token, domain="testserver.local", path="/")

    assert add_user(browser, "planted@example.com").status == 403
    assert "planted@example.com" not in users_of(browser)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_a_form_on_a_page_of_another_site_is_refused_whatever_token_it_has(browser: Console, site: str) -> None:
    assert add_user(browser, "fetched@example.com", **{"Sec-Fetch-Site": site}).status == 403
    assert "fetched@example.com" not in users_of(browser)


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_form_of_ours_passes_in_a_browser_that_tells(browser: Console, site: str) -> None:
    assert add_user(browser, f"{site}@example.com", **{"Sec-Fetch-Site": site}).status == 200
    assert f"{site}@example.com" in users_of(browser)


def test_where_both_cookies_are_gone_the_form_leads_to_the_sign_in_and_back(browser: Console) -> None:
    token = browser.csrf_token
    browser.client.cookies.clear()
    headers = {"Referer": f"{HERE}/new-user?x=1"}

    answer = browser.client.post("/new-user", data={"csrf_token": token, "email": "x@example.com"}, headers=headers)
    page = browser.get(answer.headers["Location"])

    assert (answer.status_code, page.heading) == (303, "Sign in")
    assert page.form("Sign in").fields["next"] == ["/new-user?x=1"]


def test_a_form_whose_session_has_ended_leads_back_to_its_page(browser: Console) -> None:
    end_session(browser)

    answer = add_user(browser, "late@example.com", Referer=f"{HERE}/new-user")

    assert answer.location == "/sign-in?ended=1&next=%2Fnew-user"
    assert "late@example.com" not in users_of(browser)


def test_a_form_that_is_no_form_is_refused(browser: Console) -> None:
    fields = {"csrf_token": browser.csrf_token, "email": "x@example.com", "role": "MEMBER", "make": "yes"}
    fields["present_password"] = PASSWORD

    as_json = browser.client.post("/new-user", json=fields)
    as_files = browser.client.post("/new-user", files={name: (None, value) for name, value in fields.items()})

    assert (as_json.status_code, as_files.status_code) == (403, 403)
    assert "x@example.com" not in users_of(browser)


def test_a_form_of_too_many_fields_is_refused(browser: Console) -> None:
    page = browser.send("/new-user", {f"f{number}": "x" for number in range(3000)})

    assert page.status == 422
    assert "more than 2000 fields" in page.text


# --------------------------------------------------------------------------------------------------------- carried on


def test_pages_are_carried_on_when_the_access_token_has_run_out(browser: Console) -> None:
    refresh_token = browser.client.cookies["hhh_rt"]
    expire_access_token(browser.client, browser.services.settings)
    expired = browser.client.cookies["hhh_at"]

    page = browser.get("/users")

    assert page.status == 200
    assert browser.client.cookies["hhh_at"] != expired
    assert browser.client.cookies["hhh_rt"] == refresh_token
    assert browser.client.get(ME).json()["email"] == EMAIL


def test_a_form_goes_through_when_the_access_token_has_run_out(browser: Console) -> None:
    expire_access_token(browser.client, browser.services.settings)

    page = add_user(browser, "carried@example.com")

    assert page.status == 200
    assert "carried@example.com" in users_of(browser)
    assert browser.client.get(ME).status_code == 200


def test_two_pages_at_once_are_both_carried_on(browser: Console) -> None:
    expire_access_token(browser.client, browser.services.settings)
    before = httpx.Cookies(browser.client.cookies)

    first = browser.get("/users")
    browser.client.cookies = before
    second = browser.get("/users")

    assert (first.status, second.status) == (200, 200)


def test_the_script_carries_the_session_on_for_its_streams(browser: Console) -> None:
    expire_access_token(browser.client, browser.services.settings)

    assert browser.client.get("/session").status_code == 204
    assert browser.client.get(ME).status_code == 200
    assert browser.another_browser().client.get("/session").status_code == 303


def test_a_refresh_token_that_was_used_elsewhere_carries_nothing_on(browser: Console) -> None:
    expire_access_token(browser.client, browser.services.settings)
    before = httpx.Cookies(browser.client.cookies)
    browser.client.post(REFRESH, headers=browser.token).raise_for_status()
    browser.client.cookies = before

    assert browser.get("/users").location == "/sign-in?ended=1&next=%2Fusers"


def test_tokens_of_two_sessions_carry_nothing_on(browser: Console) -> None:
    other = browser.another_browser()
    other.sign_in()
    expire_access_token(browser.client, browser.services.settings)
    browser.client.cookies.set("hhh_rt", other.client.cookies["hhh_rt"], domain="testserver.local", path="/")

    assert browser.get("/users").location == "/sign-in?ended=1&next=%2Fusers"


@pytest.mark.parametrize("refresh_token", ["", "x", "%00", "ü"])
def test_without_its_refresh_token_no_session_is_carried_on(browser: Console, refresh_token: str) -> None:
    expire_access_token(browser.client, browser.services.settings)
    cookies = f"hhh_at={browser.client.cookies['hhh_at']}; hhh_rt={refresh_token}"

    answer = browser.another_browser().client.get("/users", headers={"Cookie": cookies.encode()})

    assert answer.headers["Location"] == "/sign-in?ended=1&next=%2Fusers"


def test_a_role_that_is_taken_away_counts_also_where_the_session_is_carried_on(fresh_console: Console) -> None:
    make_user(fresh_console.database, email="ann@example.com")
    browser = fresh_console.another_browser()
    browser.sign_in(email="ann@example.com")
    expire_access_token(browser.client, browser.services.settings)
    with fresh_console.database.transaction() as session:
        users.set_role(session, email="ann@example.com", role=Role.MEMBER)

    assert browser.get("/users").status == 403
