"""Users: listed, added, given roles and passwords, removed."""

import uuid

import pytest
from sqlalchemy import delete

from hhh.core.database import Database
from hhh.models import LoginFailure, Role
from hhh.services import users
from support.console import Console
from support.logs import Log, log
from support.pages import Seen
from support.sign_in import EMAIL, PASSWORD, make_user

__all__ = ["log"]

ANOTHER = "another long password"
#: What forms ask for of whoever sends them.
MINE = {"present_password": PASSWORD}


def id_of(database: Database, email: str) -> str:
    with database.snapshot() as session:
        return next(user.id for user in users.list_users(session) if user.email == email)


def role_of(database: Database, email: str) -> str | None:
    with database.snapshot() as session:
        return next((user.role for user in users.list_users(session) if user.email == email), None)


def page_of(console: Console, email: str) -> Seen:
    return console.get(f"/users/{id_of(console.database, email)}")


def everybody(database: Database) -> set[tuple[str, str, str]]:
    with database.snapshot() as session:
        return {(user.email, user.role, user.password_hash) for user in users.list_users(session)}


def forgive(console: Console) -> None:
    """Forgets failed attempts, so that no later test has to wait."""
    with console.database.transaction() as session:
        session.execute(delete(LoginFailure))


def can_sign_in(console: Console, email: str, password: str) -> bool:
    browser = console.another_browser()
    browser.secrets.add(password)
    return browser.sign_in(email=email, password=password).status == 303


def signed_in(console: Console, email: str) -> Console:
    """The browser of another user, who is signed in."""
    make_user(console.database, email=email)
    browser = console.another_browser()
    browser.sign_in(email=email)
    return browser


def test_the_list_tells_who_may_do_what_and_who_you_are(console: Console) -> None:
    make_user(console.database, email="ann.member@example.com", role=Role.MEMBER)

    page = console.get("/users")

    roles = {row["E-mail"]: row["Role"] for row in page.rows()}
    assert roles["ann.member@example.com"] == "Member: may do nothing here but sign in"
    assert roles[f"{EMAIL} (you)"] == "Super admin: may do everything here"
    assert page.links["ann.member@example.com"].startswith("/users/")


def test_a_user_is_added_with_a_password_that_is_typed_twice(console: Console) -> None:
    console.secrets.add(ANOTHER)
    form = console.get("/new-user")

    page = console.press(
        form, "Add the user", present_password=PASSWORD, email=" Bob@Example.com", password=ANOTHER, again=ANOTHER
    )

    assert page.notices == ["The user is added, and can sign in."]
    assert role_of(console.database, "bob@example.com") == Role.SUPER_ADMIN
    assert can_sign_in(console, "bob@example.com", ANOTHER)


def test_a_password_that_is_made_is_shown_once(console: Console) -> None:
    form = console.get("/new-user")

    page = console.press(
        form, "Add, and make a password", present_password=PASSWORD, email="made@example.com", role="MEMBER"
    )

    password = page.main.one("code").text
    assert (page.status, page.heading) == (200, "A password, shown once")
    assert can_sign_in(console, "made@example.com", password)
    assert password not in page_of(console, "made@example.com").html


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"email": "nobody"}, "email", "That is not an e-mail address"),
        ({"email": "x" * 250 + "@example.com"}, "email", "at most 254 characters"),
        ({"email": "nul\0@example.com"}, "email", "That is not an e-mail address"),
        ({"email": EMAIL}, "email", f"There is a user {EMAIL} already"),
        ({"password": "short", "again": "short"}, "password", "at least 12 characters"),
        ({"password": "x" * 1025, "again": "x" * 1025}, "password", "at most 1024 characters"),
        ({"again": "something else"}, "again", "not the same password"),
        ({"role": "EMPEROR"}, "role", "Choose one of those in the list"),
    ],
)
def test_what_can_not_be_used_is_told_beside_its_field_and_no_password_is_repeated(
    console: Console, typed: dict[str, str], field: str, said: str
) -> None:
    console.secrets |= {ANOTHER, "x" * 1025}
    whole = {"email": "carol@example.com", "role": "MEMBER", "password": ANOTHER, "again": ANOTHER, **MINE, **typed}

    page = console.send("/new-user", whole)

    assert page.status == 422
    assert said in page.wrong[field]
    assert page.form("Add the user").fields["email"] == [whole["email"]]
    assert role_of(console.database, "carol@example.com") is None


def test_an_email_that_looks_like_markup_is_shown_as_it_is(console: Console) -> None:
    email = "<script>alert(1)</script>@example.com"
    make_user(console.database, email=email, role=Role.MEMBER)

    page = page_of(console, email)

    assert page.heading == email
    assert any(row["E-mail"] == email for row in console.get("/users").rows())


def test_another_role_counts_at_once(console: Console) -> None:
    make_user(console.database, email="dora@example.com", role=Role.MEMBER)

    page = console.press(
        page_of(console, "dora@example.com"), "Change the role", present_password=PASSWORD, role="SUPER_ADMIN"
    )

    assert page.notices == ["The role is changed; it counts at once."]
    assert role_of(console.database, "dora@example.com") == Role.SUPER_ADMIN


def test_the_last_super_admin_stays_one(fresh_console: Console) -> None:
    make_user(fresh_console.database, email="member@example.com", role=Role.MEMBER)

    page = fresh_console.press(
        page_of(fresh_console, EMAIL), "Change the role", present_password=PASSWORD, role="ADMIN", follow=False
    )

    assert page.status == 422
    assert "is the last super admin (make somebody else one first)" in page.wrong["role"]
    assert role_of(fresh_console.database, EMAIL) == Role.SUPER_ADMIN


def test_a_password_that_is_set_ends_the_sessions_of_its_user(console: Console) -> None:
    eve = signed_in(console, "eve@example.com")
    console.secrets.add(ANOTHER)

    page = console.press(
        page_of(console, "eve@example.com"),
        "Set the password",
        present_password=PASSWORD,
        password=ANOTHER,
        again=ANOTHER,
    )

    assert page.notices == ["The password is set, and all their sessions have ended."]
    assert can_sign_in(console, "eve@example.com", ANOTHER)
    assert not can_sign_in(console, "eve@example.com", PASSWORD)
    assert eve.get("/").location.startswith("/sign-in")


def test_ones_own_password_leads_to_the_sign_in(fresh_console: Console) -> None:
    fresh_console.secrets.add(ANOTHER)

    page = fresh_console.press(
        page_of(fresh_console, EMAIL), "Set the password", present_password=PASSWORD, password=ANOTHER, again=ANOTHER
    )

    assert page.heading == "Sign in"
    assert page.notices[0].startswith("Your password is set")
    assert fresh_console.get("/").location.startswith("/sign-in")
    assert fresh_console.sign_in(password=ANOTHER).status == 303


def test_ones_own_password_that_is_made_is_shown_before_signing_in_again(fresh_console: Console) -> None:
    page = fresh_console.press(page_of(fresh_console, EMAIL), "Make one, and show it once", present_password=PASSWORD)

    assert page.links["Sign in"] == "/sign-in"
    assert page.root.where(lambda each: each.get("id") == "menu") == []
    assert fresh_console.sign_in(password=page.main.one("code").text).status == 303


def test_a_password_that_does_not_do_changes_nothing(console: Console) -> None:
    make_user(console.database, email="finn@example.com")

    page = console.press(
        page_of(console, "finn@example.com"),
        "Set the password",
        present_password=PASSWORD,
        password="short",
        again="short",
        follow=False,
    )

    assert (page.status, [*page.wrong]) == (422, ["password"])
    assert can_sign_in(console, "finn@example.com", PASSWORD)


def test_a_removed_user_can_sign_in_no_more_and_their_sessions_are_over(console: Console) -> None:
    theirs = signed_in(console, "gone@example.com")

    page = console.press(page_of(console, "gone@example.com"), "Remove the user", present_password=PASSWORD)

    assert page.notices == ["The user is removed, and their sessions have ended."]
    assert role_of(console.database, "gone@example.com") is None
    assert not can_sign_in(console, "gone@example.com", PASSWORD)
    assert theirs.get("/").location.startswith("/sign-in")


def test_nobody_removes_themselves(console: Console) -> None:
    make_user(console.database, email="second.admin@example.com")
    path = f"/users/{id_of(console.database, EMAIL)}"

    page = console.get(path)
    answer = console.send(f"{path}/remove", MINE)

    assert "Nobody removes themselves" in page.text
    assert (answer.status, "Another super admin can." in answer.text) == (422, True)
    assert role_of(console.database, EMAIL) == Role.SUPER_ADMIN


@pytest.mark.parametrize("what", ["", "/role", "/password", "/remove"])
@pytest.mark.parametrize("user_id", ["x", "%00", "00000000-0000-0000-0000-000000000000"])
def test_a_user_who_is_not_there_is_not_found(console: Console, user_id: str, what: str) -> None:
    path = f"/users/{user_id}{what}"
    fields = {"role": "MEMBER", "password": ANOTHER, "again": ANOTHER, **MINE}

    answer = console.send(path, fields) if what else console.get(path)

    assert (answer.status, answer.heading) == (404, "Not found")


@pytest.mark.parametrize("typed", ["", "another wrong one", "x" * 1025])
@pytest.mark.parametrize(
    "button", ["Change the role", "Set the password", "Make one, and show it once", "Remove the user"]
)
def test_who_has_only_a_session_changes_nobody(console: Console, button: str, typed: str) -> None:
    user_id = make_user(console.database, email=f"{uuid.uuid4()}@example.com", role=Role.MEMBER).id
    console.secrets |= {ANOTHER} | {typed} - {""}
    page = console.get(f"/users/{user_id}")
    new = {"role": {"role": "ADMIN"}, "password": {"password": ANOTHER, "again": ANOTHER}}
    before = everybody(console.database)

    answer = console.press(
        page, button, follow=False, **new.get(page.form(button).action.rpartition("/")[2], {}), present_password=typed
    )

    assert (answer.status, [*answer.wrong]) == (422, ["present_password"])
    assert everybody(console.database) == before
    if button == "Change the role":
        assert answer.form(button).fields["role"] == ["ADMIN"]
    forgive(console)


def test_who_has_only_a_session_adds_nobody_and_what_was_typed_stays(console: Console) -> None:
    console.secrets |= {ANOTHER, "another wrong one"}

    page = console.press(
        console.get("/new-user"),
        "Add the user",
        email="ghost@example.com",
        role="ADMIN",
        password=ANOTHER,
        again=ANOTHER,
        present_password="another wrong one",
    )

    assert (page.status, page.wrong) == (422, {"present_password": "This is not your password."})
    assert (page.form("Add the user").fields["email"], page.form("Add the user").fields["role"]) == (
        ["ghost@example.com"],
        ["ADMIN"],
    )
    assert role_of(console.database, "ghost@example.com") is None
    forgive(console)


def test_wrong_passwords_of_a_session_are_counted_and_those_of_others_elsewhere_are_not(fresh_console: Console) -> None:
    user_id = make_user(fresh_console.database, email="ann@example.com", role=Role.MEMBER).id
    path = f"/users/{user_id}/remove"
    for _ in range(10):
        fresh_console.another_browser().sign_in(password="another wrong one")
    for _ in range(10):
        assert fresh_console.send(path, MINE | {"present_password": "another wrong one"}).status == 422

    page = fresh_console.send(path, MINE)
    sent = {"csrf_token": fresh_console.csrf_token, **MINE}

    assert page.status == 429
    assert page.wrong["present_password"].startswith("Too many failed sign-ins: try again in 1")
    assert 0 < int(fresh_console.client.post(path, data=sent).headers["Retry-After"]) <= 900
    assert role_of(fresh_console.database, "ann@example.com") == Role.MEMBER


def test_the_log_names_who_changed_whom(console: Console, log: Log) -> None:
    console.press(
        console.get("/new-user"), "Add, and make a password", email="logged@example.com", present_password=PASSWORD
    )
    path = f"/users/{id_of(console.database, 'logged@example.com')}"
    console.press(console.get(path), "Change the role", role="MEMBER", present_password=PASSWORD)
    console.press(console.get(path), "Make one, and show it once", present_password=PASSWORD)
    console.press(console.get(path), "Remove the user", present_password=PASSWORD)

    for event in ("user_created", "role_set", "password_set", "user_removed"):
        assert [(line["email"], line["by"]) for line in log.lines(event)] == [("logged@example.com", EMAIL)]
    assert PASSWORD not in log.text


def test_long_lists_have_pages(fresh_console: Console) -> None:
    with fresh_console.database.transaction() as session:
        first = users.create_user(session, email="user-000@example.com", password=PASSWORD, role=Role.MEMBER)
        for number in range(1, 60):
            copy = {"password_hash": first.password_hash, "role": first.role, "created_at": first.created_at}
            session.add(
                type(first)(id=f"{number:08}-0000-0000-0000-000000000000", email=f"user-{number:03}+&@x", **copy)
            )

    page = fresh_console.get("/users")
    rest = fresh_console.get(page.links["Next page"])

    assert (len(page.rows()), len(rest.rows())) == (50, 11)
    assert not {row["E-mail"] for row in page.rows()} & {row["E-mail"] for row in rest.rows()}
    assert "Next page" not in rest.links
    assert fresh_console.get(rest.links["First page"]).rows() == page.rows()
    assert fresh_console.get("/users?after=zzz%00").headings == ["Users"]


def test_a_super_admin_signs_somebody_out_everywhere(fresh_console: Console) -> None:
    user_id = make_user(fresh_console.database, email="ann@example.com", role=Role.MEMBER).id
    browser = fresh_console.another_browser()
    browser.sign_in(email="ann@example.com")
    page = fresh_console.get(f"/users/{user_id}")

    done = fresh_console.press(page, "End all their sessions")

    assert page.facts["Second factor"] == "none"
    assert done.notices == ["All their sessions have ended."]
    assert browser.get("/account").location.startswith("/sign-in")
