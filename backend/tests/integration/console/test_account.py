"""One's own account on its page: second factor, password, sessions; whoever has what role."""

import re
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from hhh.core.clock import utcnow
from hhh.models import LoginFailure, Role, Scope
from hhh.schemas.api_token import TokenRequest
from support.console import Console
from support.console_browsers import has_menu
from support.pages import Seen
from support.second_factor import code_at
from support.sign_in import EMAIL, PASSWORD, make_user

ANOTHER = "another long password"


def own_page(browser: Console) -> Seen:
    return browser.get("/account")


def set_up(browser: Console) -> tuple[str, list[str]]:
    """Turns the second factor on, page by page; its secret and the recovery codes."""
    shown = browser.press(own_page(browser), "Set up a second factor", present_password=PASSWORD)
    secret = shown.root.where(lambda each: each.get("id") == "totp-secret")[0].text
    done = browser.press(shown, "Turn it on", code=code_at(secret, utcnow()))
    return secret, done.root.where(lambda each: each.get("id") == "recovery-codes")[0].text.split()


@pytest.fixture
def member(fresh_console: Console) -> Console:
    """Somebody without any right, signed in."""
    make_user(fresh_console.database, email="ann@example.com", role=Role.MEMBER)
    browser = fresh_console.another_browser()
    assert browser.sign_in(email="ann@example.com").location == "/account"
    return browser


def test_whoever_has_no_right_has_their_account(member: Console) -> None:
    page = own_page(member)

    assert (page.status, page.heading, has_menu(page)) == (200, "Your account", False)
    assert page.facts["E-mail"] == "ann@example.com"
    assert member.get("/backups").links["Your account"] == "/account"
    assert page.root.one("header").one("form").get("action") == "/sign-out"


def test_nobody_has_an_account_who_is_not_signed_in(console: Console) -> None:
    browser = console.another_browser()

    assert browser.get("/account").location == "/sign-in?next=%2Faccount"
    assert browser.send("/account/sessions/end-others").location.startswith("/sign-in")


def test_a_second_factor_is_set_up_with_a_qr_code_and_asked_for_at_the_next_sign_in(member: Console) -> None:
    wrong = member.press(own_page(member), "Set up a second factor", present_password="not the one")
    assert (wrong.status, wrong.wrong["present_password"]) == (422, "This is not your password.")
    shown = member.press(own_page(member), "Set up a second factor", present_password=PASSWORD)
    secret = shown.root.where(lambda each: each.get("id") == "totp-secret")[0].text
    member.secrets.add(secret)
    assert shown.root.where(lambda each: each.get("class") == "qr")[0].one("path").get("d").startswith("M4 4h1v1h-1z")
    assert not re.search(r"style=|data:", shown.html)
    moment = utcnow()

    refused = member.press(own_page(member), "Turn it on", code="000000")
    assert refused.wrong["code"].startswith("The code is wrong")
    codes = member.press(own_page(member), "Turn it on", code=code_at(secret, moment))
    spare = codes.root.where(lambda each: each.get("id") == "recovery-codes")[0].text.split()
    assert len(spare) == 10
    assert "10 recovery codes are left" in own_page(member).text

    browser = member.another_browser()
    asked = browser.send("/sign-in", email="ann@example.com", password=PASSWORD)
    assert (asked.status, asked.heading) == (200, "Sign in: the code")
    assert not browser.secrets_in(asked)
    again = browser.press(asked, "Sign in", code="")
    assert (again.status, again.heading) == (401, "Sign in: the code")
    let_in = browser.press(again, "Sign in", code=code_at(secret, moment + timedelta(seconds=30)), follow=False)
    assert (let_in.status, let_in.location) == (303, "/account")


def test_a_recovery_code_lets_in_and_leads_on_to_where_they_were_going(fresh_console: Console) -> None:
    _, codes = set_up(fresh_console)
    browser = fresh_console.another_browser()

    asked = browser.send("/sign-in", email=EMAIL, password=PASSWORD, next="/users")

    assert browser.press(asked, "Sign in", code=codes[0], follow=False).location == "/users"
    again = fresh_console.another_browser()
    asked = again.send("/sign-in", email=EMAIL, password=PASSWORD)
    assert again.press(asked, "Sign in", code=codes[0]).status == 401


def test_who_has_mistyped_all_day_is_told_of_the_recovery_codes_and_let_in_with_one(fresh_console: Console) -> None:
    _, codes = set_up(fresh_console)
    browser = fresh_console.another_browser()
    asked = browser.send("/sign-in", email=EMAIL, password=PASSWORD)
    for _ in range(2):
        assert {browser.press(asked, "Sign in", code="000000").status for _ in range(10)} == {401}
        locked = browser.press(asked, "Sign in", code="000000")
        assert (locked.status, locked.notices[0][:26]) == (429, "Too many failed sign-ins. ")
        with fresh_console.database.transaction() as session:  # a quarter of an hour passes
            for row in session.scalars(select(LoginFailure)):
                row.created_at -= timedelta(minutes=15)
                row.expires_at -= timedelta(minutes=15)

    told = browser.press(asked, "Sign in", code="000000")

    assert (told.status, told.heading) == (429, "Sign in: the code")
    assert re.fullmatch(r"Too many wrong codes\. Try again in 23 h \d+ min, or use a recovery code\.", told.notices[0])
    assert browser.press(told, "Sign in", code=codes[0], follow=False).status == 303


@pytest.mark.parametrize("step", ["x", "a.b.c", "é"])
def test_a_second_step_that_is_none_of_ours_begins_anew(console: Console, step: str) -> None:
    page = console.another_browser().send("/sign-in", step=step, code="000000", next="/users")

    assert (page.status, page.heading) == (401, "Sign in")
    assert page.notices == ["That took too long. Type your password again."]
    assert page.form("Sign in").fields["next"] == ["/users"]


def test_it_is_taken_away_and_recovery_codes_are_renewed(fresh_console: Console) -> None:
    _, codes = set_up(fresh_console)
    page = own_page(fresh_console)

    wrong = fresh_console.press(page, "Make other recovery codes", present_password=PASSWORD, code="000000")
    assert wrong.wrong["code"].startswith("The code is wrong")
    renewed = fresh_console.press(page, "Make other recovery codes", present_password=PASSWORD, code=codes[0])
    new = renewed.root.where(lambda each: each.get("id") == "recovery-codes")[0].text.split()
    done = fresh_console.press(page, "Take the second factor away", present_password=PASSWORD, code=new[0])

    assert done.notices == ["The second factor is taken away: your password alone is asked for."]
    assert fresh_console.another_browser().sign_in().status == 303


def test_where_it_is_required_a_super_admin_without_one_is_led_to_set_it_up(fresh_console: Console) -> None:
    app = fresh_console.client.app
    services = app.state.services  # type: ignore[attr-defined]
    strict = services.settings.model_copy(update={"require_second_factor": True})
    object.__setattr__(services, "settings", strict)

    token = services.api_tokens.create(EMAIL, TokenRequest(name="ops", scopes=[Scope.BACKUP_READ])).token
    program = TestClient(app, headers={"Authorization": f"Bearer {token}"})

    refused = program.get("/api/v1/backups")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ERR_SECOND_FACTOR_REQUIRED")
    assert fresh_console.get("/backups").location == "/account"
    assert own_page(fresh_console).notices[0].startswith("Super admins need a second factor here.")
    set_up(fresh_console)
    assert fresh_console.get("/backups").status == program.get("/api/v1/backups").status_code == 200
    assert own_page(fresh_console).notices == []


def test_ones_password_is_set_and_the_other_sessions_end(member: Console) -> None:
    other = member.another_browser()
    other.sign_in(email="ann@example.com")
    member.secrets.add(ANOTHER)
    page = own_page(member)

    common = member.press(
        page, "Set the password", password="ann@example.com", again="ann@example.com", present_password=PASSWORD
    )
    assert "easily guessed" in common.wrong["password"]
    other_one = member.press(page, "Set the password", password=ANOTHER, again=ANOTHER, present_password="not the one")
    assert other_one.wrong["present_password"] == "This is not your password."
    known_by = member.client.cookies["hhh_known"]
    done = member.press(page, "Set the password", password=ANOTHER, again=ANOTHER, present_password=PASSWORD)

    assert member.client.cookies["hhh_known"] != known_by
    assert done.notices == ["Your password is set, and your other sessions have ended."]
    assert other.get("/account").location.startswith("/sign-in")


def test_sessions_are_listed_and_ended(member: Console) -> None:
    other = member.another_browser()
    other.client.headers["User-Agent"] = "<b>a phone</b>"
    other.sign_in(email="ann@example.com")

    rows = own_page(member).rows("Sessions")
    assert sorted(row["With"] for row in rows) == ["<b>a phone</b>", "testclient (this one)"]
    assert {row["From"] for row in rows} == {"testclient"}
    assert member.press(own_page(member), "End").notices == ["The session has ended."]
    assert other.get("/account").location.startswith("/sign-in")

    for _ in range(2):
        other.sign_in(email="ann@example.com")
    assert member.press(own_page(member), "End all others").notices == ["All your other sessions have ended."]
    assert member.press(own_page(member), "Sign out here").notices == ["You are signed out."]


def test_a_browser_stays_known_after_signing_out(member: Console) -> None:
    member.send("/sign-out")

    assert "hhh_known" in member.client.cookies
    cookie = next(each for each in member.client.cookies.jar if each.name == "hhh_known")
    assert cookie.has_nonstandard_attr("HttpOnly")
