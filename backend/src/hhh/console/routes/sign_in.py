"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import ACCOUNT, FIRST_STEPS, SIGN_IN, local_path, page_router, redirect
from hhh.console.session import SignInNeededError, begin_session, end_session, page_user
from hhh.console.words import seconds_in_words
from hhh.core.database import Database
from hhh.core.errors import HHHError, InvalidCredentials, RateLimited, SecondFactorRequired, SessionExpired
from hhh.models import Role
from hhh.schemas.auth import LONGEST_CODE, LoginRequest
from hhh.schemas.backup import BackupFilter
from hhh.services import auth
from hhh.services import sign_in as services_sign_in
from hhh.services.auth import SignedIn
from hhh.services.users import LONGEST_EMAIL
from hhh.web import cookies
from hhh.web.database import OwnDatabase, Transaction
from hhh.web.forms import Fields, Form
from hhh.web.session import access_token
from hhh.web.state import client, own_database, services, settings
from hhh.web.turns import SIGN_IN_TURN

router = page_router(for_everybody=True)


@router.get(SIGN_IN)
def show(request: Request, ended: str = "", onward: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Asks for e-mail and password; leads on whoever is signed in already."""
    try:
        page_user(request)
    except SignInNeededError:
        return _asked(request, onward=onward, ended=bool(ended))
    return redirect(local_path(onward))


@router.post(SIGN_IN, dependencies=[SIGN_IN_TURN])
def sign_in(request: Request, fields: Form, database: OwnDatabase) -> Response:
    """Starts a session, and goes on to where they were on their way to; asks for a code first, where one is needed."""
    onward = fields.text("next")
    if fields.text("step"):
        return _finish(request, fields, database)
    try:
        wanted = _wanted(fields)
        signed_in = services_sign_in.sign_in(
            database,
            settings(request),
            email=wanted.email,
            password=wanted.password.get_secret_value(),
            client=client(request),
        )
    except SecondFactorRequired as needed:
        return _code_asked(request, onward=onward, step=needed.step)
    except (InvalidCredentials, RateLimited) as error:
        return _asked(request, onward=onward, email=fields.text("email")[:LONGEST_EMAIL], error=error)
    return _let_in(request, signed_in, onward)


@router.post("/sign-out")
def sign_out(request: Request, session: Transaction) -> Response:
    """Ends the session."""
    access = access_token(request)
    token = request.cookies.get(cookies.REFRESH)
    auth.sign_out(session, session_id=access.session_id if access else None, refresh_token=token)
    response = redirect(SIGN_IN, done="signed-out")
    end_session(request, response)
    return response


@router.get("/session", dependencies=[Depends(page_user)])
def carry_on() -> Response:
    """Carries the session on, for the script, whose stream of events ended with its access token."""
    return Response(status_code=204)


def _finish(request: Request, fields: Fields, database: Database) -> Response:
    step, code, onward = fields.text("step"), fields.text("code")[: LONGEST_CODE + 1], fields.text("next")
    try:
        signed_in = services_sign_in.finish(database, settings(request), step=step, code=code, client=client(request))
    except SessionExpired as error:
        return _asked(request, onward=onward, error=InvalidCredentials(error.message, hint="Type your password again"))
    except (InvalidCredentials, RateLimited) as error:
        return _code_asked(request, onward=onward, step=step, error=error)
    return _let_in(request, signed_in, onward)


def _let_in(request: Request, signed_in: SignedIn, onward: str) -> Response:
    response = redirect(_first_page(request, signed_in) if onward in {"", "/"} else local_path(onward))
    begin_session(request, response, signed_in)
    return response


def _first_page(request: Request, signed_in: SignedIn) -> str:
    if signed_in.principal.role != Role.SUPER_ADMIN:
        return ACCOUNT
    return FIRST_STEPS if _is_new(request) else "/"


def _wanted(fields: Fields) -> LoginRequest:
    try:
        return LoginRequest.model_validate({"email": fields.text("email"), "password": fields.get("password", "")})
    except ValidationError:  # nobody has such an e-mail, or such a password
        raise InvalidCredentials("Wrong e-mail or password") from None


def _is_new(request: Request) -> bool:
    """Whether this service has done nothing yet."""
    return not services(request).catalogue.page(BackupFilter(), cursor=None, limit=1).items


def _code_asked(
    request: Request, *, onward: str, step: str, error: InvalidCredentials | RateLimited | None = None
) -> Response:
    context = {"onward": local_path(onward), "step": step, "error": _in_words(error) if error else None}
    response = page(request, "sign_in_code", context, status=error.status if error else 200)
    response.headers.update(error.headers if error else {})
    return response


def _asked(
    request: Request,
    *,
    onward: str,
    ended: bool = False,
    email: str = "",
    error: InvalidCredentials | RateLimited | None = None,
) -> Response:
    own_database(request)  # whoever can't sign in is told so before they try
    context = {"onward": local_path(onward), "ended": ended, "email": email, "error": error and _in_words(error)}
    response = page(request, "sign_in", context, status=error.status if error else 200)
    response.headers.update(error.headers if error else {})
    return response


def _in_words(error: InvalidCredentials | RateLimited) -> HHHError:
    if isinstance(error, RateLimited):
        rest = f", or {error.otherwise}" if error.otherwise else "; before that nobody looks at what you type"
        hint = f"Try again in {seconds_in_words(error.retry_after)}{rest}"
        return RateLimited(error.message, retry_after=error.retry_after, hint=hint)
    hint = error.hint or "capital letters count in the password, not in the e-mail"
    return InvalidCredentials(error.message, hint=hint)
