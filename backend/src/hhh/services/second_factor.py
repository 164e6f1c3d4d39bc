"""The second factor: time-based codes (RFC 6238) of an app, and recovery codes for the day the phone is lost.

All of it works on a user whom the caller has locked, within the caller's transaction.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime

import pyotp
import structlog
from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.errors import InUse, InvalidInput
from hhh.core.security import hash_token, same
from hhh.models import Action, User
from hhh.repositories import recovery_codes as code_rows
from hhh.schemas.auth import LONGEST_CODE
from hhh.services import audit
from hhh.services.sealing import Sealing, second_factor_owner

ISSUER = "HHH Backup"
STEP_SECONDS = 30
_DIGITS = 6
#: A clock may be so many steps off, and typing may take as long.
_STEPS_OFF = 1
RECOVERY_CODES = 10
#: 80 random bits, so that their plain hash tells nothing.
_RECOVERY_BYTES = 10
_GROUP = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor that is being set up; shown once."""

    #: Base32, to be typed into an app.
    secret: str = field(repr=False)
    #: ``otpauth://…``, to be read by its camera.
    uri: str = field(repr=False)


def begin(session: Session, settings: Settings, user: User) -> Enrolment:
    """Makes a secret; it is asked for from `confirm` on. To be called before the user is locked by this transaction.

    Raises:
        InUse: there is a second factor.
    """
    secret = pyotp.random_base32()
    # Sealed first: a rotation of the key locks in this order as well.
    sealed = Sealing(settings).seal(session, secret, owner=second_factor_owner(user.id))
    session.refresh(user, with_for_update=True)
    if user.totp_since is not None:
        raise InUse("The second factor is set up already", hint="take it away first, to set up another")
    user.sealed_totp, user.totp_step = sealed, None
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER))


def confirm(session: Session, settings: Settings, user: User, code: str, *, now: datetime) -> list[str] | None:
    """Turns it on, once a code has shown that the app has the secret.

    Returns:
        The recovery codes, which are kept as hashes alone; None: the code was wrong.

    Raises:
        InUse: it is on already.
        InvalidInput: nothing is being set up.
    """
    if user.totp_since is not None:
        raise InUse("The second factor is set up already")
    if user.sealed_totp is None:
        raise InvalidInput("No second factor is being set up", hint="begin with POST /api/v1/auth/second-factor")
    if not _is_right(settings, user, code, now):
        return None
    user.totp_since = now
    codes = _new_codes(session, user)
    log.info("second_factor_set_up", email=user.email)
    audit.record(session, Action.SECOND_FACTOR, user.email, detail={"what": "set up"})
    return codes


def accept(session: Session, settings: Settings, user: User, code: str, *, now: datetime) -> bool:
    """Whether a code is right; if so it is used up. Without a second factor none is."""
    if user.totp_since is None or len(code) > LONGEST_CODE:
        return False
    if code_rows.use(session, user.id, hash_token(_normalised(code)), now):
        left = code_rows.left(session, user.id)
        log.warning("recovery_code_used", email=user.email, left=left)
        audit.record(session, Action.SECOND_FACTOR, user.email, detail={"what": "recovery code used", "left": left})
        return True
    return _is_right(settings, user, code, now)


def is_of_app(code: str) -> bool:
    """Whether a code looks like one of the app, of which there are few enough to be guessed; no recovery code does."""
    return (digits := _digits(code)).isascii() and digits.isdecimal() and len(digits) == _DIGITS


def renew_codes(session: Session, user: User) -> list[str]:
    """Other recovery codes; those before are good no longer."""
    codes = _new_codes(session, user)
    audit.record(session, Action.SECOND_FACTOR, user.email, detail={"what": "new recovery codes"})
    return codes


def remove(session: Session, user: User) -> bool:
    """Takes the second factor away, or what was begun of one; False if there was none."""
    had_one = user.totp_since is not None
    user.sealed_totp = user.totp_since = user.totp_step = None
    code_rows.remove_all(session, user.id)
    if had_one:
        log.warning("second_factor_removed", email=user.email)
        audit.record(session, Action.SECOND_FACTOR, user.email, detail={"what": "taken away"})
    return had_one


def codes_left(session: Session, user_id: str) -> int:
    """How many recovery codes were not used yet."""
    return code_rows.left(session, user_id)


def _is_right(settings: Settings, user: User, code: str, now: datetime) -> bool:
    digits = _digits(code)
    if user.sealed_totp is None or not is_of_app(code):
        return False
    otp = pyotp.TOTP(Sealing(settings).open(user.sealed_totp, owner=second_factor_owner(user.id)))
    present = int(now.timestamp()) // STEP_SECONDS
    for step in range(present - _STEPS_OFF, present + _STEPS_OFF + 1):
        is_new = user.totp_step is None or step > user.totp_step
        if is_new and same(otp.generate_otp(step), digits):
            user.totp_step = step
            return True
    return False


def _digits(code: str) -> str:
    return "".join(code.split())


def _new_codes(session: Session, user: User) -> list[str]:
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    code_rows.replace(session, user.id, [hash_token(_normalised(code)) for code in codes])
    return codes


def _recovery_code() -> str:
    drawn = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(drawn[at : at + _GROUP] for at in range(0, len(drawn), _GROUP))


def _normalised(code: str) -> str:
    return "".join(code.split()).replace("-", "").casefold()
