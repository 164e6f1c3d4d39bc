"""API tokens: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.models import Scope
from hhh.schemas.api_token import MadeToken, TokenCreation, TokenResource
from hhh.services.sign_in import confirm_unless_recent
from hhh.web.session import SuperAdminInPerson, allowed
from hhh.web.state import own_database, services, settings
from hhh.web.turns import SIGN_IN_TURN

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"], dependencies=[Depends(allowed(Scope.ADMIN))])


@router.post("", status_code=201, dependencies=[SIGN_IN_TURN])
def create(request: Request, response: Response, body: TokenCreation, admin: SuperAdminInPerson) -> MadeToken:
    """Makes a token of whoever is signed in, and shows it this once. No token makes another."""
    password = body.current_password.get_secret_value() if body.current_password else None
    confirm_unless_recent(own_database(request), settings(request), admin, password)
    made = services(request).api_tokens.create(admin.email, body)
    response.headers["Location"] = f"/api/v1/tokens/{made.id}"
    return made


@router.get("")
def index(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Sequence[TokenResource]:
    """Everybody's tokens, the newest first, those that are no longer good included."""
    return services(request).api_tokens.page(limit=limit, offset=offset)


@router.get("/{token_id}")
def show(request: Request, token_id: str) -> TokenResource:
    """One token."""
    return services(request).api_tokens.get(token_id)


@router.delete("/{token_id}", status_code=204)
def revoke(request: Request, token_id: str) -> None:
    """Makes a token good for nothing, from the next request on. It stays listed."""
    services(request).api_tokens.revoke(token_id)
