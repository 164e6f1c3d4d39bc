"""API tokens at the console: made, shown once, listed, revoked."""

from collections.abc import Sequence

from fastapi.testclient import TestClient

from hhh.models import Role
from hhh.services import users
from support.console import Console
from support.pages import Seen
from support.sign_in import EMAIL, PASSWORD, make_user


def make(
    console: Console,
    name: str,
    *,
    scopes: Sequence[str] = ("backup:read",),
    lifetime: str = "90",
    networks: str = "",
    password: str = PASSWORD,
) -> Seen:
    """The answer to the form, filled in."""
    form = console.get("/new-token")
    return console.press(
        form,
        "Make the token",
        name=name,
        scopes=scopes,
        lifetime=lifetime,
        networks=networks,
        present_password=password,
    )


def token_on(page: Seen) -> str:
    """The token that a page shows."""
    return next(each.text for each in page.main.all("pre") if each.get("id") == "made-token")


def program(console: Console, page: Seen) -> TestClient:
    """A program that calls the API with the token of a page."""
    return TestClient(console.client.app, headers={"Authorization": f"Bearer {token_on(page)}"})


def row_of(page: Seen, name: str) -> dict[str, str]:
    """What the list tells of a token."""
    return next(row for row in page.rows() if row["Name"].startswith(name))


def test_a_token_is_made_for_what_was_ticked_and_shown_once(browser: Console) -> None:
    made = make(browser, "monitoring", scopes=["backup:read", "verify:run"])

    caller = program(browser, made)

    assert made.heading == "A token, shown once"
    assert caller.get("/api/v1/auth/me").json()["scopes"] == ["backup:read", "verify:run"]
    assert caller.get("/api/v1/targets").status_code == 200
    assert caller.post("/api/v1/backups/trigger").json()["error"]["code"] == "ERR_SCOPE_MISSING"
    listed = browser.get("/tokens")
    assert row_of(listed, "monitoring")["State"] == "active"
    assert row_of(listed, "monitoring")["May"] == "backup:read, verify:run"
    assert token_on(made) not in listed.html + browser.get(listed.links["monitoring"]).html


def test_the_form_tells_beside_each_field_what_is_wrong_and_makes_nothing(browser: Console) -> None:
    make(browser, "taken")

    taken = make(browser, "taken")
    wrong = make(browser, "", scopes=[], networks="10.0.0.0/8 10.0.0.0.0")

    assert taken.status == wrong.status == 422
    assert taken.wrong["name"].startswith("There is a token 'taken' already")
    assert set(wrong.wrong) == {"name", "networks"}
    assert "10.0.0.0.0" in wrong.wrong["networks"]
    assert "Tick what it may be used for" in wrong.text
    assert wrong.form("Make the token").fields["networks"] == ["10.0.0.0/8 10.0.0.0.0"]
    assert len([row for row in browser.get("/tokens").rows() if row["Name"].startswith("taken")]) == 1


def test_a_token_is_made_by_who_knows_their_password(browser: Console) -> None:
    none, wrong = make(browser, "stolen", password=""), make(browser, "stolen", password="a guess")

    assert (none.status, none.wrong["present_password"]) == (422, "Type your password, to show that it is you.")
    assert (wrong.status, wrong.wrong["present_password"]) == (422, "This is not your password.")
    assert wrong.form("Make the token").fields["name"] == ["stolen"]
    assert "stolen" not in browser.get("/tokens").text


def test_a_revoked_token_is_good_for_nothing_and_stays_listed(browser: Console) -> None:
    made = make(browser, "pipeline", lifetime="never")
    caller = program(browser, made)
    page = browser.get(browser.get("/tokens").links["pipeline"])
    assert page.facts["Expires"] == "never, until it is revoked"

    done = browser.press(page, "Revoke the token")

    assert caller.get("/api/v1/targets").status_code == 401
    assert done.notices == ["The token is revoked: it is refused from now on."]
    assert row_of(done, "pipeline")["State"] == "revoked"
    assert browser.get(done.links["pipeline"]).forms == []


def test_a_token_of_somebody_who_is_no_super_admin_now_is_told_apart(browser: Console) -> None:
    make_user(browser.database, email="gone@example.com")
    theirs = browser.another_browser()
    theirs.sign_in(email="gone@example.com")
    make(theirs, "theirs")

    with browser.database.transaction() as session:
        users.set_role(session, email="gone@example.com", role=Role.MEMBER)

    page = browser.get(browser.get("/tokens").links["theirs"])
    assert page.facts["Owner"] == "gone@example.com"
    assert page.notices == [
        "gone@example.com is no super admin now: until they are, every request with this token is refused."
    ]


def test_pages_take_no_token(browser: Console) -> None:
    caller = program(browser, make(browser, "for pages", scopes=["admin"]))

    answer = caller.get("/tokens", follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in")
    assert EMAIL not in answer.text
