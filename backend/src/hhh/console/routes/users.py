"""Users: who may sign in, and what for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from hhh.console import own_password
from hhh.console.rendering import page
from hhh.console.routing import SIGN_IN, page_router, redirect
from hhh.console.session import PageAdmin, end_session
from hhh.console.typed import Typed, WrongFieldsError, typed_again
from hhh.console.views import user_view
from hhh.core.errors import InvalidInput
from hhh.models import Role, User
from hhh.services import users
from hhh.services.auth import Principal
from hhh.web.database import Snapshot, Transaction
from hhh.web.forms import Form
from hhh.web.state import own_database
from hhh.web.turns import SIGN_IN_TURN

router = page_router()

_SECRETS = frozenset({"password", "again", own_password.FIELD, "csrf_token"})
_NOTHING = Typed({"role": [Role.SUPER_ADMIN]})


@router.get("/users")
def index(request: Request, admin: PageAdmin, session: Snapshot, after: str = "") -> Response:
    """Everybody, by e-mail."""
    return page(request, "users", {"found": user_view.listed(session, admin, after)})


@router.get("/new-user")
def new(request: Request) -> Response:
    """The form of another one."""
    return _new(request, _NOTHING)


@router.post("/new-user", dependencies=[SIGN_IN_TURN])
def add(request: Request, fields: Form, admin: PageAdmin, session: Transaction) -> Response:
    """Makes a user; a password that was made for them is shown in the answer, and never again."""
    try:
        email, role = user_view.email_of(fields), user_view.role_of(fields)
        password, is_made = user_view.password_of(fields, email)
        own_password.confirm(request, admin, fields)
        user = _created(session, email, password, role)
    except WrongFieldsError as error:
        return _new(request, typed_again(fields, secrets=_SECRETS, errors=error.errors), error)
    if is_made:
        return _shown_once(request, user, password, is_you=False)
    return redirect("/users", done="user-added")


@router.get("/users/{user_id}")
def show(request: Request, user_id: str, admin: PageAdmin, session: Snapshot) -> Response:
    """One user, and what can be changed."""
    return _user(request, admin, users.get(session, user_id))


@router.post("/users/{user_id}/role", dependencies=[SIGN_IN_TURN])
def set_role(request: Request, user_id: str, fields: Form, admin: PageAdmin, session: Transaction) -> Response:
    """Gives a user another role."""
    try:
        role = user_view.role_of(fields)
        own_password.confirm(request, admin, fields)
        _given_role(session, users.get(session, user_id).email, role)
    except WrongFieldsError as error:
        return _user(request, admin, users.get(session, user_id), _Refused("role", error, fields.text("role")))
    return redirect("/users", done="role-set")


@router.post("/users/{user_id}/password", dependencies=[SIGN_IN_TURN])
def set_password(request: Request, user_id: str, fields: Form, admin: PageAdmin, session: Transaction) -> Response:
    """Gives a user another password, which ends their sessions; one that was made is shown in the answer."""
    try:
        password, is_made = user_view.password_of(fields, _email_of(request, user_id))
        own_password.confirm(request, admin, fields)
    except WrongFieldsError as error:
        return _user(request, admin, users.get(session, user_id), _Refused("password", error))
    user = users.set_password(session, email=users.get(session, user_id).email, password=password)
    is_you = user.id == admin.id
    if is_you:
        request.state.principal = None  # so that the page has no menu: every link of it would lead to the sign-in
    if is_made:
        response = _shown_once(request, user, password, is_you=is_you)
    else:
        response = redirect(SIGN_IN, done="own-password-set") if is_you else redirect("/users", done="password-set")
    if is_you:
        end_session(request, response)
    return response


@router.post("/users/{user_id}/end-sessions")
def end_sessions(user_id: str, session: Transaction) -> Response:
    """Signs a user out everywhere."""
    users.end_sessions(session, email=users.get(session, user_id).email)
    return redirect(f"/users/{user_id}", done="their-sessions-ended")


@router.post("/users/{user_id}/remove", dependencies=[SIGN_IN_TURN])
def remove(request: Request, user_id: str, fields: Form, admin: PageAdmin, session: Transaction) -> Response:
    """Removes a user."""
    try:
        own_password.confirm(request, admin, fields)
    except WrongFieldsError as error:
        return _user(request, admin, users.get(session, user_id), _Refused("remove", error))
    users.remove(session, email=users.get(session, user_id).email)
    return redirect("/users", done="user-removed")


@dataclass(frozen=True, slots=True)
class _Refused:
    """What could not be done on the page of a user."""

    form: str
    error: WrongFieldsError
    #: The role that was chosen, in the form of it.
    role: str = ""


def _email_of(request: Request, user_id: str) -> str:
    # Not in the route's transaction, which must not have begun when a password is confirmed.
    with own_database(request).snapshot() as session:
        return users.get(session, user_id).email


def _created(session: Session, email: str, password: str, role: Role) -> User:
    try:
        return users.create_user(session, email=email, password=password, role=role)
    except InvalidInput as error:
        raise WrongFieldsError({"email": error.message}) from None


def _given_role(session: Session, email: str, role: Role) -> None:
    try:
        users.set_role(session, email=email, role=role)
    except InvalidInput as error:
        raise WrongFieldsError({"role": str(error)}) from None


def _new(request: Request, typed: Typed, error: WrongFieldsError | None = None) -> Response:
    return _drawn(request, "user_new", {"typed": typed}, error)


def _user(request: Request, admin: Principal, user: User, refused: _Refused | None = None) -> Response:
    shown = user_view.shown_user(user, admin)
    context = {
        "shown": shown,
        "role": (refused and refused.role) or shown.role,
        "errors": {refused.form: refused.error.errors} if refused else {},
    }
    return _drawn(request, "user", context, refused.error if refused else None)


def _drawn(request: Request, template: str, context: Mapping[str, object], error: WrongFieldsError | None) -> Response:
    status = error.status if error else 200
    response = page(request, template, {**context, "roles": [*user_view.ROLES.items()]}, status=status)
    response.headers.update(error.headers if error else {})
    return response


def _shown_once(request: Request, user: User, password: str, *, is_you: bool) -> Response:
    return page(request, "user_password", {"email": user.email, "password": password, "is_you": is_you})
