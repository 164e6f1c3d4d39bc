"""CSRF tokens."""

import re

import pytest

from hhh.web.csrf import CsrfTokens

TOKENS = CsrfTokens(b"secret")


def test_a_token_is_good_for_its_session_only() -> None:
    token = TOKENS.issue("session")

    assert TOKENS.is_of("session", token)
    assert not TOKENS.is_of("another", token)
    assert not TOKENS.is_of(None, token)


def test_before_a_session_there_is_a_token_of_none() -> None:
    assert TOKENS.is_of(None, TOKENS.issue(None))
    assert not TOKENS.is_of("session", TOKENS.issue(None))


def test_no_two_tokens_are_alike_and_all_fit_a_cookie_unquoted() -> None:
    assert TOKENS.issue("session") != TOKENS.issue("session")
    assert re.fullmatch(r"[\w.-]+", TOKENS.issue("session"))


@pytest.mark.parametrize(
    "token",
    ["", ".", "x", "ü.ü", TOKENS.issue("session")[:-1], "x" + TOKENS.issue("session")],
    ids=["empty", "dot", "letter", "no text", "shorter", "longer"],  # those of random tokens differ in each process
)
def test_a_tampered_token_is_none(token: str) -> None:
    assert not TOKENS.is_of("session", token)


def test_a_token_of_another_installation_is_none() -> None:
    assert not TOKENS.is_of("session", CsrfTokens(b"another secret").issue("session"))
