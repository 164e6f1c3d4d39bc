"""Users as pages show them, and what is wrong with what was typed of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from hhh.console.links import link
from hhh.console.typed import WrongFieldsError
from hhh.core.errors import InvalidInput
from hhh.core.security import new_token
from hhh.models import Role, User
from hhh.services import users
from hhh.services.auth import Principal
from hhh.services.passwords import checked_password
from hhh.web.forms import Fields

#: Each with what it may do, the most first.
ROLES: Mapping[Role, str] = {
    Role.SUPER_ADMIN: "Super admin: may do everything here",
    Role.ADMIN: "Admin: administers HHH, and may do nothing here",
    Role.MEMBER: "Member: may do nothing here but sign in",
}
_PER_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class ShownUser:
    """One user."""

    id: str
    email: str
    role: Role
    #: What they may do.
    may: str
    created_at: datetime
    is_you: bool
    has_second_factor: bool


@dataclass(frozen=True, slots=True)
class ShownUsers:
    """One page of users."""

    users: list[ShownUser]
    #: The e-mail that this page comes after.
    after: str
    #: Where the next one is; empty: there is none.
    next: str


def listed(session: Session, admin: Principal, after: str) -> ShownUsers:
    """A page of users, by e-mail."""
    found = users.page(session, after=after, limit=_PER_PAGE + 1)
    shown = [shown_user(each, admin) for each in found[:_PER_PAGE]]
    return ShownUsers(shown, after, link("/users", {"after": shown[-1].email}) if len(found) > _PER_PAGE else "")


def shown_user(user: User, admin: Principal) -> ShownUser:
    """A user, seen by somebody."""
    role = Role(user.role)
    is_you, has_second_factor = user.id == admin.id, user.totp_since is not None
    return ShownUser(user.id, user.email, role, ROLES[role], user.created_at, is_you, has_second_factor)


def role_of(fields: Fields) -> Role:
    """The role that was chosen.

    Raises:
        WrongFieldsError: none was.
    """
    try:
        return Role(fields.text("role"))
    except ValueError:
        raise WrongFieldsError({"role": "Choose one of those in the list"}) from None


def email_of(fields: Fields) -> str:
    """The e-mail that was typed.

    Raises:
        WrongFieldsError: it is none.
    """
    try:
        return users.checked_email(fields.text("email"))
    except InvalidInput as error:
        raise WrongFieldsError({"email": f"{error.message}: {error.hint}"}) from None


def password_of(fields: Fields, email: str) -> tuple[str, bool]:
    """The password that was typed twice, or one that is made where that was asked for; and whether it was made.

    Raises:
        WrongFieldsError: it does not do.
    """
    if fields.text("make"):
        return new_token(), True
    password = fields.get("password", "")
    try:
        checked_password(password, email=email)
    except InvalidInput as error:
        raise WrongFieldsError({"password": str(error)}) from None
    if fields.get("again", "") != password:
        raise WrongFieldsError({"again": "This is not the same password"})
    return password, False
