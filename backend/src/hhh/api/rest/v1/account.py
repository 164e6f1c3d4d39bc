"""One's own account: `/api/v1/auth/{password,second-factor,sessions}`, for people who are signed in and no token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, status

from hhh.models import UserSession
from hhh.schemas.account import (
    CodeRequest,
    PasswordChange,
    RecoveryCodes,
    SecondFactorChange,
    SecondFactorRequest,
    SecondFactorResponse,
    SessionResource,
    SessionsEnded,
)
from hhh.services.account import Account
from hhh.web.database import OwnDatabase
from hhh.web.session import CurrentUser
from hhh.web.state import settings
from hhh.web.turns import SIGN_IN_TURN

router = APIRouter(prefix="/api/v1/auth", tags=["account"])


def account(request: Request, database: OwnDatabase, user: CurrentUser) -> Account:
    """A dependency: the account of whoever is signed in."""
    return Account(database, settings(request), user)


Own = Annotated[Account, Depends(account)]


@router.post("/password", status_code=status.HTTP_204_NO_CONTENT, dependencies=[SIGN_IN_TURN])
def set_password(own: Own, body: PasswordChange) -> None:
    """Sets another password, and ends all other sessions."""
    own.set_password(body.current_password.get_secret_value(), body.new_password.get_secret_value())


@router.post("/second-factor", status_code=status.HTTP_201_CREATED, dependencies=[SIGN_IN_TURN])
def begin_second_factor(own: Own, body: SecondFactorRequest) -> SecondFactorResponse:
    """Begins the set-up of a second factor: its secret, for an app. It is asked for once a code was confirmed."""
    enrolment = own.begin_second_factor(body.current_password.get_secret_value())
    return SecondFactorResponse(secret=enrolment.secret, uri=enrolment.uri)


@router.post("/second-factor/confirm")
def confirm_second_factor(own: Own, body: CodeRequest) -> RecoveryCodes:
    """Turns the second factor on, with a code of the app; ends all other sessions, and tells the recovery codes."""
    return RecoveryCodes(recovery_codes=own.confirm_second_factor(body.code.get_secret_value()))


@router.post("/second-factor/recovery-codes", dependencies=[SIGN_IN_TURN])
def renew_recovery_codes(own: Own, body: SecondFactorChange) -> RecoveryCodes:
    """Other recovery codes; those before are good no longer."""
    codes = own.renew_recovery_codes(body.current_password.get_secret_value(), body.code.get_secret_value())
    return RecoveryCodes(recovery_codes=codes)


@router.delete("/second-factor", status_code=status.HTTP_204_NO_CONTENT, dependencies=[SIGN_IN_TURN])
def remove_second_factor(own: Own, body: SecondFactorChange) -> None:
    """Takes the second factor away."""
    own.remove_second_factor(body.current_password.get_secret_value(), body.code.get_secret_value())


@router.get("/sessions")
def sessions(own: Own, user: CurrentUser) -> Sequence[SessionResource]:
    """Where one is signed in; the session that was seen last comes first, and at most 200 are listed."""
    return [_session(each, is_current=each.id == user.credential_id) for each in own.sessions()]


@router.delete("/sessions")
def end_other_sessions(own: Own) -> SessionsEnded:
    """Ends all sessions but this one."""
    return SessionsEnded(ended=own.end_other_sessions())


@router.delete("/sessions/{session_id}", status_code=status.HTTP_204_NO_CONTENT)
def end_session(own: Own, session_id: str) -> None:
    """Ends one session; this one as well, if it is named."""
    own.end_session(session_id)


def _session(row: UserSession, *, is_current: bool) -> SessionResource:
    return SessionResource(
        id=row.id,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        address=row.address,
        client=row.client,
        current=is_current,
    )
