"""The way in and out, sessions that end or are carried on, forms that are refused, and errors told as pages."""

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from hhh import migrations
from hhh.core.clock import utcnow
from hhh.models import Role
from hhh.repositories import sessions
from hhh.services import users
from hhh.services.tokens import AccessTokens
from hhh.web.body_limit import LARGEST_BODY
from support.console import Console
from support.pages import Seen
from support.sign_in import EMAIL, PASSWORD, expire_access_token, make_user

STATS, ME, REFRESH = "/api/v1/backups/stats", "/api/v1/auth/me", "/api/v1/auth/refresh"
#: The browser's name for this host.
HERE = "http://testserver"


@pytest.fixture
def browser(console: Console) -> Console:
    """Somebody who is signed in, in a browser that no other test uses."""
    browser = console.another_browser()
    browser.sign_in()
    return browser


def end_session(browser: Console) -> None:
    """Ends the session of a browser on the server."""
    token = AccessTokens(browser.services.settings.secret).read(browser.client.cookies["hhh_at"], now=utcnow())
    assert token is not None
    with browser.database.transaction() as session:
        sessions.end(session, token.session_id)


def has_menu(page: Seen) -> bool:
    return page.root.where(lambda each: each.get("id") == "menu") != []


def users_of(console: Console) -> set[str]:
    with console.database.snapshot() as session:
        return {user.email for user in users.list_users(session)}


# -------------------------------------------------------------------------------------------------- signing in


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
    assert browser.sign_in(email="ann@example.com").location == "/"

    page = browser.get("/")
    left = browser.press(page, "Sign out")

    assert (page.status, page.heading) == (403, "Not allowed")
    assert "You are signed in as ann@example.com." in page.text
    assert "Sign out, and in again as a super admin" in page.text
    assert not has_menu(page)
    assert left.notices == ["You are signed out."]


# ------------------------------------------------------------------------------------------------- signing out


def test_signing_out_works_when_the_access_token_has_run_out(browser: Console) -> None:
    expire_access_token(browser.client, browser.services.settings)
    kept = httpx.Cookies(browser.client.cookies)

    assert browser.send("/sign-out").location == "/sign-in?done=signed-out"

    assert {*browser.client.cookies} == {"hhh_csrf"}
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


# ------------------------------------------------------------------------------------------------- refused forms


def send(browser: Console, email: str, **headers: str) -> Seen:
    """Has a user added by a form, with other headers."""
    fields = {"csrf_token": browser.csrf_token, "email": email, "role": "MEMBER", "make": "yes"}
    answer = browser.client.post("/new-user", data=fields, headers=headers)
    is_page = answer.headers.get("Content-Type", "").startswith("text/html")
    return Seen(answer.status_code, answer.text, location=answer.headers.get("Location", ""), is_page=is_page)


def test_a_planted_token_of_another_session_is_refused(browser: Console) -> None:
    other = browser.another_browser()
    other.sign_in()
    browser.client.cookies.set("hhh_csrf", other.csrf_token, domain="testserver.local", path="/")

    page = send(browser, "planted@example.com")

    assert (page.status, page.heading) == (403, "Not allowed")
    assert "planted@example.com" not in users_of(browser)


def test_a_planted_token_of_nobody_is_refused(browser: Console) -> None:
    browser.client.cookies.set("hhh_csrf", browser.another_browser().csrf_token, domain="testserver.local", path="/")

    assert send(browser, "planted@example.com").status == 403
    assert "planted@example.com" not in users_of(browser)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_a_form_on_a_page_of_another_site_is_refused_whatever_token_it_has(browser: Console, site: str) -> None:
    assert send(browser, "fetched@example.com", **{"Sec-Fetch-Site": site}).status == 403
    assert "fetched@example.com" not in users_of(browser)


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_form_of_ours_passes_in_a_browser_that_tells(browser: Console, site: str) -> None:
    assert send(browser, f"{site}@example.com", **{"Sec-Fetch-Site": site}).status == 200
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

    answer = send(browser, "late@example.com", Referer=f"{HERE}/new-user")

    assert answer.location == "/sign-in?ended=1&next=%2Fnew-user"
    assert "late@example.com" not in users_of(browser)


def test_a_form_that_is_no_form_is_refused(browser: Console) -> None:
    fields = {"csrf_token": browser.csrf_token, "email": "x@example.com", "role": "MEMBER", "make": "yes"}

    as_json = browser.client.post("/new-user", json=fields)
    as_files = browser.client.post("/new-user", files={name: (None, value) for name, value in fields.items()})

    assert (as_json.status_code, as_files.status_code) == (403, 403)
    assert "x@example.com" not in users_of(browser)


def test_a_form_of_too_many_fields_is_refused(browser: Console) -> None:
    page = browser.send("/new-user", {f"f{number}": "x" for number in range(3000)})

    assert page.status == 422
    assert "more than 2000 fields" in page.text


# ---------------------------------------------------------------------------------------------- carried on


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

    page = send(browser, "carried@example.com")

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


# ------------------------------------------------------------------------------------------- errors as pages


def test_an_unknown_page_has_the_menu_for_who_is_signed_in_only(browser: Console) -> None:
    seen, unseen = browser.get("/nowhere"), browser.another_browser().get("/nowhere")

    assert [(page.status, has_menu(page)) for page in (seen, unseen)] == [(404, True), (404, False)]
    assert "There is no such page." in seen.text
    assert browser.send("/nowhere").heading == "Not found"


def test_the_page_of_an_error_hands_out_the_token_of_its_forms(browser: Console) -> None:
    browser.client.cookies.delete("hhh_csrf", domain="testserver.local", path="/")

    page = browser.get("/nowhere")
    [token] = [each.get("value") for each in page.root.all("input") if each.get("name") == "csrf_token"]

    assert browser.send("/sign-out", csrf_token=token).location == "/sign-in?done=signed-out"


def test_a_way_that_a_page_does_not_have_says_so(browser: Console) -> None:
    assert (browser.get("/sign-out").status, browser.get("/sign-out").heading) == (405, "Not like this")


def test_a_form_that_is_too_large_says_so(browser: Console) -> None:
    page = browser.send("/new-user", email="x" * LARGEST_BODY)

    assert (page.status, page.heading) == (413, "Too large")


@pytest.mark.parametrize(
    "referer", ["http://[", "http://testserver:99999999/x", "//", "x" * 5000, "http://evil.example/x"]
)
def test_a_referer_that_makes_no_sense_breaks_no_page(browser: Console, referer: str) -> None:
    answer = browser.client.get("/nowhere", headers={"Referer": referer})

    assert answer.status_code == 404
    assert Seen(404, answer.text).links["Go back"] == "/"


def test_the_page_of_an_error_leads_back_to_where_its_form_was(browser: Console) -> None:
    answer = browser.client.get("/nowhere", headers={"Referer": f"{HERE}/backups?target=app"})

    assert Seen(404, answer.text).links["Go back"] == "/backups?target=app"


@pytest.mark.parametrize("path", ["/api/nowhere", ME, STATS, "/api/v1/backups/x"])
def test_what_the_api_answers_is_never_a_page(console: Console, path: str) -> None:
    answer = console.another_browser().client.get(path)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"]["code"].startswith("ERR_")


def test_programs_are_answered_in_json_everywhere(browser: Console) -> None:
    answer = browser.client.get("/nowhere", headers={"Accept": "*/*"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_NOT_FOUND")


def test_where_the_database_is_away_a_page_says_so_and_what_to_do(fresh_console: Console) -> None:
    file = fresh_console.database.file
    assert file is not None
    fresh_console.database.close()
    for part in file.parent.glob(f"{file.name}*"):
        part.rename(part.with_name(f"away-{part.name}"))
    file.mkdir()

    pages = [fresh_console.get("/"), fresh_console.send("/sign-in", email=EMAIL, password=PASSWORD)]

    for page in pages:
        assert (page.status, page.heading) == (503, "Not available")
        assert "See hhh doctor." in page.text
    assert fresh_console.client.get(ME).headers["Content-Type"] == "application/json"


def test_while_migrations_are_pending_every_page_says_what_to_run(fresh_console: Console) -> None:
    app = fresh_console.client.app
    assert isinstance(app, FastAPI)
    with fresh_console.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    app.state.migrations_pending = True

    pages = [fresh_console.get(path) for path in ("/", "/sign-in", "/nowhere")]
    pages.append(fresh_console.another_browser().get("/sign-in"))
    answer = fresh_console.client.get(ME)

    assert [page.status for page in pages] == [503, 503, 404, 503]
    assert all("Run hhh migrate." in page.text for page in pages if page.status == 503)
    assert answer.json()["error"]["code"] == "ERR_MIGRATIONS_PENDING"
    with fresh_console.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": migrations.HEAD})
    assert fresh_console.get("/").status == 200
