import os
from collections.abc import Iterator

import pyrage
import pytest

from hhh.artifacts.encryption import Recipients
from hhh.core.errors import ConfigurationError


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


def test_each_of_the_recipients_can_read_it() -> None:
    identities = [pyrage.x25519.Identity.generate() for _ in range(2)]
    recipients = Recipients([str(each.to_public()) for each in identities])
    pieces = [os.urandom(size) for size in (1, 0, 100_000, 1 << 20)]
    whole = b"".join(each for each in pieces if each)
    written: list[bytes] = []

    recipients.encrypt_to(iter([each for each in pieces if each]), written.append)

    for identity in identities:
        assert pyrage.decrypt(b"".join(written), [identity]) == whole
        assert pyrage.decrypt(recipients.encrypt(b"small"), [identity]) == b"small"


def test_no_recipients_are_false_and_some_are_true(identity: pyrage.x25519.Identity) -> None:
    assert not Recipients([])
    assert Recipients([str(identity.to_public())])
    assert Recipients([str(identity.to_public())]).names == (str(identity.to_public()),)


@pytest.mark.parametrize("name", ["", "age1", "age1qqqqqq", "ssh-ed25519 AAAA", "somebody@example.org"])
def test_what_is_no_recipient_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match="HHH_AGE_RECIPIENTS"):
        Recipients([name])


def test_a_private_key_put_there_by_mistake_is_not_repeated(identity: pyrage.x25519.Identity) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Recipients([str(identity)])

    assert str(identity)[:20] not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("error", [RuntimeError("a reason"), KeyboardInterrupt("a reason"), SystemExit(3)])
def test_what_ends_the_stream_comes_through_unchanged(identity: pyrage.x25519.Identity, error: BaseException) -> None:
    recipients = Recipients([str(identity.to_public())])

    def pieces() -> Iterator[bytes]:
        yield bytes(1 << 20)
        raise error

    def write(piece: bytes) -> None:
        raise error

    with pytest.raises(type(error)) as from_reading:
        recipients.encrypt_to(pieces(), lambda piece: None)
    with pytest.raises(type(error)) as from_writing:
        recipients.encrypt_to(iter([bytes(1 << 20)]), write)
    assert from_reading.value is from_writing.value is error
