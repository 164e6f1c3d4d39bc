"""Passwords, tokens, keys."""

import re

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from hhh.core import security
from hhh.core.security import (
    authentication_code,
    derive_key,
    hash_password,
    hash_token,
    new_token,
    same,
    verify_password,
)

ARGON2ID_OF_THE_FIRST_RECOMMENDATION = r"\$argon2id\$v=19\$m=19456,t=2,p=1\$"


def test_a_password_is_hashed_with_argon2id_and_found_again() -> None:
    hashed = hash_password("correct horse")

    assert re.match(ARGON2ID_OF_THE_FIRST_RECOMMENDATION, hashed)
    assert verify_password("correct horse", hashed) == (True, None)
    assert verify_password("wrong horse", hashed) == (False, None)


def test_the_same_password_has_another_hash_each_time() -> None:
    assert hash_password("correct horse") != hash_password("correct horse")


def test_a_password_is_the_same_however_its_accents_are_typed() -> None:
    assert verify_password("cafe\u0301", hash_password("caf\u00e9"))[0]


def test_any_text_can_be_a_password() -> None:
    for password in ("", "nul\0nul", "🐴" * 300, "\udc80"):
        assert verify_password(password, hash_password(password))[0]


def test_an_outdated_hash_is_replaced_when_the_password_is_known() -> None:
    weak = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1),)).hash("horse")

    matches, better = verify_password("horse", weak)

    assert matches
    assert better is not None
    assert re.match(ARGON2ID_OF_THE_FIRST_RECOMMENDATION, better)
    assert verify_password("cow", weak) == (False, None)


def test_nobodys_hash_costs_what_a_real_one_costs_and_has_no_password() -> None:
    parameters = hash_password("x").split("$")[1:4]

    assert security._NOBODYS_HASH.split("$")[1:4] == parameters
    assert [len(part) for part in security._NOBODYS_HASH.split("$")] == [
        len(part) for part in hash_password("x").split("$")
    ]
    assert verify_password("x", None) == (False, None)


def test_tokens_are_256_bits_and_stored_as_a_digest() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert re.fullmatch(r"[\w-]{43}", new_token())
    assert re.fullmatch(r"[0-9a-f]{64}", hash_token(new_token()))


def test_each_purpose_has_a_key_of_its_own() -> None:
    one, other = derive_key(b"secret", "access-tokens"), derive_key(b"secret", "csrf-tokens")

    assert one != other
    assert len(one) == 32
    assert authentication_code(one, "message") != authentication_code(other, "message")
    assert one != derive_key(b"another secret", "access-tokens")


@pytest.mark.parametrize("text", ["", "token", "tökén", "\udc80"])
def test_texts_that_a_client_may_send_can_be_compared(text: str) -> None:
    assert same(text, text)
    assert not same(text, text + "x")
