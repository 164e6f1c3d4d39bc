"""Access tokens: short-lived proof, signed by this installation, of which session a request belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from hhh.core.security import derive_key

#: How long an access token serves before it must be refreshed.
ACCESS_LIFETIME = timedelta(minutes=15)
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token of ours says. Whether its session still lives, only the database knows."""

    user_id: str
    session_id: str
    #: It is ours, but its time has run out.
    expired: bool


class AccessTokens:
    """Issues and reads access tokens: JSON Web Tokens (RFC 7519) with the claims sub, sid, iat, exp.

    A role is not among them: it is read from the database for each request.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = derive_key(secret, "access-tokens")

    def issue(self, user_id: str, session_id: str, *, now: datetime) -> str:
        """A token for that session, good until `ACCESS_LIFETIME` from now."""
        claims = {"sub": user_id, "sid": session_id, "iat": now, "exp": now + ACCESS_LIFETIME}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read(self, token: str, *, now: datetime) -> AccessToken | None:
        """What the token says; None if it is none of ours."""
        # The time is compared here, so that an expired token still tells its session (the CSRF token is bound to it).
        options: jwt.types.Options = {"require": ["sub", "sid", "iat", "exp"], "verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options=options)
            expired = now.timestamp() >= int(claims["exp"])
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None
        return AccessToken(user_id=claims["sub"], session_id=str(claims["sid"]), expired=expired)
