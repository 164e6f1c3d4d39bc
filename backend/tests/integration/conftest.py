"""What all tests of integration share."""

from collections.abc import Iterator

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from hhh.core import security

_CHEAP = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
_OF_NOBODY = _CHEAP.hash("nobody's")


@pytest.fixture(scope="module", autouse=True)
def passwords_are_cheap() -> Iterator[None]:
    """The same algorithm with the least of its work: a user made or signed in costs a tenth.

    What the service really takes is held by unit/core/test_security.py, and used by each `hhh` in a process of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security, "_HASHER", _CHEAP)
        patch.setattr(security, "_NOBODYS_HASH", _OF_NOBODY)
        yield
