"""Users: who may sign in, and what for. What changes somebody takes the password of whoever asks, and no token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import SecretStr

from hhh.models import Role, User
from hhh.schemas.account import SessionsEnded
from hhh.schemas.user import UserChange, UserRemoval, UserRequest, UserResource
from hhh.services import users
from hhh.services.auth import Principal
from hhh.services.sign_in import confirm_password
from hhh.web.database import Snapshot, Transaction
from hhh.web.session import SuperAdminInPerson, super_admin
from hhh.web.state import own_database, settings
from hhh.web.turns import SIGN_IN_TURN

router = APIRouter(prefix="/api/v1/users", tags=["users"], dependencies=[Depends(super_admin)])


@router.get("")
def index(
    session: Snapshot,
    after: Annotated[str, Query(max_length=254, description="The e-mail that the page comes after.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Sequence[UserResource]:
    """Users by e-mail; the next page comes after the last one of this."""
    return [_resource(user) for user in users.page(session, after=after, limit=limit)]


@router.post("", status_code=status.HTTP_201_CREATED, dependencies=[SIGN_IN_TURN])
def create(
    request: Request, response: Response, body: UserRequest, admin: SuperAdminInPerson, session: Transaction
) -> UserResource:
    """Makes a user."""
    _confirm(request, admin, body.current_password)
    user = users.create_user(session, email=body.email, password=body.password.get_secret_value(), role=Role(body.role))
    response.headers["Location"] = f"/api/v1/users/{user.id}"
    return _resource(user)


@router.get("/{user_id}")
def show(user_id: str, session: Snapshot) -> UserResource:
    """One user."""
    return _resource(users.get(session, user_id))


@router.patch("/{user_id}", dependencies=[SIGN_IN_TURN])
def change(
    request: Request, user_id: str, body: UserChange, admin: SuperAdminInPerson, session: Transaction
) -> UserResource:
    """Gives a user another role or password; the role counts from the next request on."""
    _confirm(request, admin, body.current_password)
    user = users.get(session, user_id)
    if body.role is not None:
        users.set_role(session, email=user.email, role=Role(body.role))
    if body.password is not None:
        users.set_password(session, email=user.email, password=body.password.get_secret_value())
    return _resource(user)


@router.delete("/{user_id}", status_code=status.HTTP_204_NO_CONTENT, dependencies=[SIGN_IN_TURN])
def remove(request: Request, user_id: str, body: UserRemoval, admin: SuperAdminInPerson, session: Transaction) -> None:
    """Removes a user, whose sessions end; what they asked for stays."""
    _confirm(request, admin, body.current_password)
    users.remove(session, email=users.get(session, user_id).email)


@router.delete("/{user_id}/sessions")
def end_sessions(user_id: str, session: Transaction) -> SessionsEnded:
    """Signs a user out everywhere."""
    return SessionsEnded(ended=users.end_sessions(session, email=users.get(session, user_id).email))


def _confirm(request: Request, admin: Principal, password: SecretStr) -> None:
    """To be called before the transaction of the route has begun."""
    confirm_password(own_database(request), settings(request), admin, password.get_secret_value())


def _resource(user: User) -> UserResource:
    return UserResource(
        id=user.id,
        email=user.email,
        role=Role(user.role).value,
        second_factor=user.totp_since is not None,
        created_at=user.created_at,
    )
