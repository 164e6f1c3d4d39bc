"""The second step of signing in on a page: a short-lived, signed word that the password was right.

It stands in the form that asks for the code, in the place of the password, and is good with a code alone: once that
second factor is taken away, or another is there, it is good for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from hhh.core.security import authentication_code, derive_key, same
from hhh.models import User

#: How long somebody may look for their phone.
LIFETIME = timedelta(minutes=5)
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class SecondStep:
    """Whose password was right."""

    user_id: str
    #: Of that password and second factor: another of either ends it.
    fingerprint: str


class SecondSteps:
    """Issues and reads them: JSON Web Tokens with the claims sub, pwd, exp."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive_key(secret, "second-steps")

    def issue(self, user: User, *, now: datetime) -> str:
        """A word for that user, their present password and second factor."""
        claims = {"sub": user.id, "pwd": self._fingerprint(user), "exp": now + LIFETIME}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read(self, token: str, *, now: datetime) -> SecondStep | None:
        """What it says; None if it is none of ours, or too old."""
        options: jwt.types.Options = {"require": ["sub", "pwd", "exp"], "verify_exp": False}
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options=options)
            if now.timestamp() >= int(claims["exp"]):
                return None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None
        return SecondStep(str(claims["sub"]), str(claims["pwd"]))

    def is_of(self, step: SecondStep, user: User) -> bool:
        """Whether it was of the password and the second factor that the user has now."""
        return same(step.fingerprint, self._fingerprint(user))

    def _fingerprint(self, user: User) -> str:
        return authentication_code(self._key, f"{user.totp_since} {user.password_hash}")
