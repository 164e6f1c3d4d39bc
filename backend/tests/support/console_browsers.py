"""Browsers of the console's tests: who is signed in, and whose session ended."""

from __future__ import annotations

from hhh.core.clock import utcnow
from hhh.repositories import sessions
from hhh.services import users
from hhh.services.tokens import AccessTokens
from support.console import Console
from support.pages import Seen
from support.sign_in import PASSWORD

#: The browser's name for this host.
HERE = "http://testserver"


def end_session(browser: Console) -> None:
    """Ends the session of a browser on the server."""
    token = AccessTokens(browser.services.settings.secret).read(browser.client.cookies["hhh_at"], now=utcnow())
    assert token is not None
    with browser.database.transaction() as session:
        sessions.end(session, token.session_id)


def has_menu(page: Seen) -> bool:
    """Whether a page has the menu of whoever is signed in."""
    return page.root.where(lambda each: each.get("id") == "menu") != []


def users_of(console: Console) -> set[str]:
    """The e-mails of all users."""
    with console.database.snapshot() as session:
        return {user.email for user in users.list_users(session)}


def add_user(browser: Console, email: str, **headers: str) -> Seen:
    """Has a user added by a form, with further headers."""
    fields = {"email": email, "role": "MEMBER", "make": "yes", "present_password": PASSWORD}
    answer = browser.client.post("/new-user", data={"csrf_token": browser.csrf_token, **fields}, headers=headers)
    is_page = answer.headers.get("Content-Type", "").startswith("text/html")
    return Seen(answer.status_code, answer.text, location=answer.headers.get("Location", ""), is_page=is_page)
