"""API tokens: made, shown once, revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from hhh.console import own_password
from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.session import PageAdmin
from hhh.console.typed import Typed, WrongFieldsError, typed_again
from hhh.console.views import token_view
from hhh.core.errors import InvalidInput
from hhh.schemas.api_token import MadeToken, TokenRequest
from hhh.services.auth import Principal
from hhh.web.forms import Form
from hhh.web.state import services
from hhh.web.turns import SIGN_IN_TURN

router = page_router()

_SECRETS = frozenset({own_password.FIELD, "csrf_token"})


@router.get("/tokens")
def index(request: Request, number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1) -> Response:
    """Everybody's tokens, the newest first."""
    return page(request, "tokens", {"listed": token_view.listed(services(request).api_tokens, number)})


@router.get("/new-token")
def new(request: Request) -> Response:
    """The form of another one."""
    return _form(request, token_view.NOTHING)


@router.post("/new-token", dependencies=[SIGN_IN_TURN])
def make(request: Request, fields: Form, admin: PageAdmin) -> Response:
    """Makes a token, which is shown in this answer and never again."""
    try:
        asked = token_view.asked_of(fields)
        own_password.confirm(request, admin, fields)
        made = _made(request, admin, asked)
    except WrongFieldsError as error:
        return _form(request, typed_again(fields, secrets=_SECRETS, errors=error.errors), error)
    return page(request, "token_made", {"made": made, "scopes": token_view.SCOPES})


@router.get("/tokens/{token_id}")
def show(request: Request, token_id: str) -> Response:
    """One token."""
    token = services(request).api_tokens.get(token_id)
    return page(request, "token", {"token": token, "scopes": token_view.SCOPES})


@router.post("/tokens/{token_id}/revoke")
def revoke(request: Request, token_id: str) -> Response:
    """Makes a token good for nothing."""
    services(request).api_tokens.revoke(token_id)
    return redirect("/tokens", done="token-revoked")


def _made(request: Request, admin: Principal, asked: TokenRequest) -> MadeToken:
    try:
        return services(request).api_tokens.create(admin.email, asked)
    except InvalidInput as error:  # all else was looked at before
        raise WrongFieldsError({"name": str(error)}) from None


def _form(request: Request, typed: Typed, error: WrongFieldsError | None = None) -> Response:
    context = {"typed": typed, "scopes": token_view.SCOPES, "lifetimes": [*token_view.LIFETIMES.items()]}
    response = page(request, "token_new", context, status=error.status if error else 200)
    response.headers.update(error.headers if error else {})
    return response
