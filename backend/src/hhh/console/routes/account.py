"""One's own account: second factor, password, sessions. For everybody who is signed in, whatever their role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response

from hhh.console import own_password
from hhh.console.own_password import TooManyTriesError
from hhh.console.rendering import page
from hhh.console.routing import ACCOUNT, SIGN_IN, page_router, redirect
from hhh.console.session import PageUser, end_session
from hhh.console.typed import WrongFieldsError
from hhh.console.views import account_view, user_view
from hhh.core.errors import InvalidCredentials, InvalidInput, RateLimited, WrongCode
from hhh.models import Role
from hhh.services.account import Account
from hhh.services.auth import Principal
from hhh.web import cookies
from hhh.web.database import OwnDatabase
from hhh.web.forms import Form
from hhh.web.state import settings
from hhh.web.turns import SIGN_IN_TURN

router = page_router(for_everybody=True)

T = TypeVar("T")


def account(request: Request, database: OwnDatabase, user: PageUser) -> Account:
    """A dependency: the account of whoever is signed in."""
    return Account(database, settings(request), user)


Own = Annotated[Account, Depends(account)]


@router.get(ACCOUNT)
def show(request: Request, user: PageUser, own: Own) -> Response:
    """All of it."""
    return _account(request, user, own)


@router.post(f"{ACCOUNT}/password", dependencies=[SIGN_IN_TURN])
def set_password(request: Request, fields: Form, user: PageUser, own: Own) -> Response:
    """Sets another password; all other sessions end."""
    try:
        present = own_password.typed(fields)
        password, _ = user_view.password_of(fields, user.email)
        device = _tried(lambda: own.set_password(present, password))
    except WrongFieldsError as error:
        return _account(request, user, own, "password", error)
    response = redirect(ACCOUNT, done="account-password-set")
    cookies.set_known_device(response, settings(request), device)
    return response


@router.post(f"{ACCOUNT}/second-factor", dependencies=[SIGN_IN_TURN])
def begin_second_factor(request: Request, fields: Form, user: PageUser, own: Own) -> Response:
    """Makes a secret, which is shown in the answer, and never again."""
    try:
        present = own_password.typed(fields)
        enrolment = _tried(lambda: own.begin_second_factor(present))
    except WrongFieldsError as error:
        return _account(request, user, own, "begin", error)
    context = {"secret": enrolment.secret, "qr": account_view.qr_code(enrolment.uri)}
    return page(request, "account_second_factor", context)


@router.post(f"{ACCOUNT}/second-factor/confirm", dependencies=[SIGN_IN_TURN])
def confirm_second_factor(request: Request, fields: Form, user: PageUser, own: Own) -> Response:
    """Turns it on; the recovery codes are shown in the answer, and never again."""
    try:
        code = account_view.code_of(fields)
        codes = _tried(lambda: own.confirm_second_factor(code), field="code")
    except WrongFieldsError as error:
        return _account(request, user, own, "confirm", error)
    return page(request, "account_codes", {"codes": codes, "is_new": True})


@router.post(f"{ACCOUNT}/second-factor/recovery-codes", dependencies=[SIGN_IN_TURN])
def renew_recovery_codes(request: Request, fields: Form, user: PageUser, own: Own) -> Response:
    """Makes other recovery codes, shown in the same way."""
    try:
        present, code = own_password.typed(fields), account_view.code_of(fields)
        codes = _tried(lambda: own.renew_recovery_codes(present, code))
    except WrongFieldsError as error:
        return _account(request, user, own, "codes", error)
    return page(request, "account_codes", {"codes": codes, "is_new": False})


@router.post(f"{ACCOUNT}/second-factor/remove", dependencies=[SIGN_IN_TURN])
def remove_second_factor(request: Request, fields: Form, user: PageUser, own: Own) -> Response:
    """Takes the second factor away."""
    try:
        present, code = own_password.typed(fields), account_view.code_of(fields)
        _tried(lambda: own.remove_second_factor(present, code))
    except WrongFieldsError as error:
        return _account(request, user, own, "remove", error)
    return redirect(ACCOUNT, done="second-factor-removed")


@router.post(f"{ACCOUNT}/sessions/end-others")
def end_other_sessions(own: Own) -> Response:
    """Ends all sessions but this one."""
    own.end_other_sessions()
    return redirect(ACCOUNT, done="sessions-ended")


@router.post(f"{ACCOUNT}/sessions/{{session_id}}/end")
def end_one_session(request: Request, session_id: str, user: PageUser, own: Own) -> Response:
    """Ends one session; where it is this one, that is a sign-out."""
    own.end_session(session_id)
    if session_id != user.credential_id:
        return redirect(ACCOUNT, done="session-ended")
    response = redirect(SIGN_IN, done="signed-out")
    end_session(request, response)
    return response


def _tried(change: Callable[[], T], *, field: str = own_password.FIELD) -> T:
    """What a change gives; what is wrong with what was typed is told beside the field."""
    try:
        return change()
    except RateLimited as error:
        raise TooManyTriesError(error, field=field) from None
    except WrongCode as error:
        raise WrongFieldsError({"code": str(error)}) from None
    except InvalidCredentials as error:
        raise WrongFieldsError({own_password.FIELD: error.message}) from None
    except InvalidInput as error:
        raise WrongFieldsError({"password": str(error)}) from None


def _account(
    request: Request, user: Principal, own: Account, form: str = "", error: WrongFieldsError | None = None
) -> Response:
    state = own.second_factor()
    is_required = settings(request).require_second_factor and user.role == Role.SUPER_ADMIN
    context: Mapping[str, object] = {
        "factor": state,
        "may": user_view.ROLES[user.role],
        "is_needed": is_required and state.since is None,
        "sessions": account_view.shown_sessions(own.sessions(), user),
        "errors": {form: error.errors} if error else {},
    }
    response = page(request, "account", context, status=error.status if error else 200)
    response.headers.update(error.headers if error else {})
    return response
