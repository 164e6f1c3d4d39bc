"""Access tokens."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from hhh.core.security import derive_key
from hhh.models import User
from hhh.services.second_steps import SecondSteps
from hhh.services.tokens import ACCESS_LIFETIME, AccessToken, AccessTokens

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
TOKENS = AccessTokens(b"secret")


def test_a_token_tells_whose_session_it_is() -> None:
    token = TOKENS.issue("user", "session", now=NOW)

    assert TOKENS.read(token, now=NOW) == AccessToken("user", "session", expired=False)


def test_a_token_lasts_fifteen_minutes_and_still_tells_its_session_afterwards() -> None:
    token = TOKENS.issue("user", "session", now=NOW)

    assert timedelta(minutes=15) == ACCESS_LIFETIME
    assert TOKENS.read(token, now=NOW + timedelta(minutes=14, seconds=59)) == AccessToken(
        "user", "session", expired=False
    )
    assert TOKENS.read(token, now=NOW + timedelta(minutes=15)) == AccessToken("user", "session", expired=True)


def test_a_token_says_nothing_of_a_role() -> None:
    claims = jwt.decode(TOKENS.issue("user", "session", now=NOW), options={"verify_signature": False})

    assert set(claims) == {"sub", "sid", "iat", "exp"}


def test_an_access_token_is_no_second_step() -> None:
    assert SecondSteps(b"secret").read(TOKENS.issue("user", "session", now=NOW), now=NOW) is None


def unsigned(claims: dict) -> str:
    def part(data: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


CLAIMS = {"sub": "user", "sid": "session", "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 900}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "a.b.c",
        "ü.ü.ü",
        unsigned(CLAIMS),
        jwt.encode(CLAIMS, b"x" * 32, algorithm="HS256"),
        jwt.encode(CLAIMS, derive_key(b"secret", "csrf-tokens"), algorithm="HS256"),
        jwt.encode(CLAIMS, derive_key(b"secret", "access-tokens") * 2, algorithm="HS512"),
        AccessTokens(b"another secret").issue("user", "session", now=NOW),
        SecondSteps(b"secret").issue(User(id="user", password_hash="x"), now=NOW),
        jwt.encode(CLAIMS, derive_key(b"secret", "second-steps"), algorithm="HS256"),
        jwt.encode(CLAIMS, derive_key(b"secret", "access-tokens"), algorithm="HS256", headers={"crit": ["b64"]}),
        TOKENS.issue("user", "session", now=NOW)[:-2],
        *(
            jwt.encode({key: CLAIMS[key] for key in CLAIMS if key != missing}, derive_key(b"secret", "access-tokens"))
            for missing in CLAIMS
        ),
    ],
)
def test_what_is_no_token_of_ours_says_nothing(token: str) -> None:
    assert TOKENS.read(token, now=NOW) is None
