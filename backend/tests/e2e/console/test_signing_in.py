"""The way in and out with a browser, and what happens when a session ends while a page is open."""

from datetime import UTC, datetime, timedelta

import pyotp
from playwright.sync_api import expect

from support.browser import NARROW, WIDE, Tab, Tabs
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service


def sign_in(tab: Tab, *, password: str = ADMIN_PASSWORD) -> None:
    tab.page.get_by_label("E-mail").fill(ADMIN_EMAIL)
    tab.page.get_by_label("Password").fill(password)
    tab.page.get_by_role("button", name="Sign in").click()


def test_whoever_signs_in_comes_to_the_page_that_was_asked_for(tabs: Tabs) -> None:
    tab = tabs.open(signed_in=False)
    tab.go("/backups?target=app")
    assert tab.path == "/sign-in"

    sign_in(tab, password="wrong")
    tab.page.get_by_role("alert").wait_for()
    assert tab.page.get_by_label("E-mail").input_value() == ADMIN_EMAIL
    sign_in(tab)

    tab.is_at("/backups")
    assert tab.page.url.endswith("?target=app")
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.get_by_text("You are signed out.").wait_for()
    tab.go("/backups")
    assert tab.path == "/sign-in"


def test_an_access_token_that_ran_out_is_carried_on_unseen(tabs: Tabs) -> None:
    tab = tabs.open()
    [cookie] = [each for each in tab.page.context.cookies() if each.get("name") == "hhh_at"]
    tab.page.context.clear_cookies(name="hhh_at")

    tab.go("/backups")

    # Without any access token nobody knows which session it was.
    assert tab.path == "/sign-in"
    tab.page.context.add_cookies([cookie])  # type: ignore[list-item]
    assert tab.go("/backups").title() == "Backups · HHH Backup"


def test_a_session_that_was_ended_elsewhere_leads_to_the_sign_in_and_back(tabs: Tabs) -> None:
    tab = tabs.open(signed_in=False)
    tab.go("/backups")
    sign_in(tab)
    tab.is_at("/backups")
    kept = tab.page.context.cookies()
    tab.page.get_by_role("button", name="Sign out").click()
    tab.is_at("/sign-in")
    tab.page.context.add_cookies(kept)  # type: ignore[arg-type]

    tab.go("/backups")

    tab.page.get_by_text("Your session has ended").wait_for()
    sign_in(tab)
    tab.is_at("/backups")


def test_a_form_of_a_page_that_was_open_while_the_session_changed_is_refused(tabs: Tabs) -> None:
    tab = tabs.open(signed_in=False)
    tab.go("/backups")
    sign_in(tab)
    tab.is_at("/backups")
    other = tab.page.context.new_page()
    other.goto("/backups")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_text("You are signed out.").wait_for()
    sign_in(Tab(other))
    other.get_by_role("button", name="Sign out").wait_for()

    tab.page.get_by_role("button", name="Back up now").click()

    tab.page.get_by_role("heading", name="Not allowed").wait_for()
    assert "Nothing was changed" in tab.page.get_by_role("main").inner_text()
    tab.page.get_by_role("link", name="Go back").click()
    tab.is_at("/backups")


def test_nothing_that_a_page_was_not_made_with_runs_in_it(tab: Tab) -> None:
    tab.go("/backups")

    tab.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    tab.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    tab.page.evaluate("document.body.setAttribute('style', 'color: red')")
    tab.page.wait_for_function("() => document.images.length > 0")

    assert tab.page.evaluate("window.ran") is None
    assert tab.page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    refused = [problem for problem in tab.problems if "Content Security Policy" in problem]
    assert len(refused) >= 2
    tab.problems.clear()


def test_a_second_factor_is_set_up_by_a_qr_code_and_asked_for_from_then_on(tabs: Tabs, served: Service) -> None:
    user = {"email": "ann@example.com", "password": "a long enough password", "current_password": ADMIN_PASSWORD}
    with served.signed_in_client() as client:
        client.post("/api/v1/users", json=user).raise_for_status()
    tab = tabs.open(signed_in=False, bypass_csp=True)  # axe is put into the page
    page = tab.go("/account")
    page.get_by_label("E-mail").fill("ann@example.com")
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Sign in").click()
    tab.is_at("/account")
    look_at(tab)

    page.locator("#present-password-begin").fill("a long enough password")
    page.get_by_role("button", name="Set up a second factor").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    look_at(tab)
    codes = pyotp.TOTP(page.locator("#totp-secret").inner_text().strip())
    now = datetime.now(UTC)
    page.get_by_role("textbox", name="Code").fill(codes.at(now))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Recovery codes, shown once")).to_be_visible()
    look_at(tab)
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("button", name="Sign out", exact=True).click()

    page.get_by_label("E-mail").fill("ann@example.com")
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in: the code")).to_be_visible()
    look_at(tab)
    page.get_by_role("textbox", name="Code").fill(codes.at(now + timedelta(seconds=30)))
    page.get_by_role("button", name="Sign in").click()
    tab.is_at("/account")
    expect(page.get_by_text("10 recovery codes are left")).to_be_visible()
    look_at(tab)


def look_at(tab: Tab) -> None:
    """AssertionError with what is wrong with a page that no address leads to; wide, and then as on a phone."""
    tab.page.set_viewport_size(WIDE)
    wrong = tab.axe()
    tab.page.set_viewport_size(NARROW)
    if tab.overflow() > 0:
        wrong.append(f"wider than a phone: {tab.too_wide()}")
    assert not wrong + tab.problems, "\n".join(wrong + tab.problems)
