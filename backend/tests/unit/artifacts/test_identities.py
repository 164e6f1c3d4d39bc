import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

from hhh.artifacts.decryption import decrypted
from hhh.artifacts.encryption import Recipients
from hhh.artifacts.identities import Identities
from hhh.core.errors import ArtifactDamaged, ConfigurationError, IdentityMissing


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def recipients(identity: pyrage.x25519.Identity) -> Recipients:
    return Recipients([str(identity.to_public())])


def opened(identities: Identities, content: bytes) -> bytes:
    """What comes out of the stream, given in small pieces."""
    return b"".join(decrypted((content[at : at + 1000] for at in range(0, len(content), 1000)), identities))


def test_any_of_the_identities_of_a_file_opens_it(
    tmp_path: Path, identity: pyrage.x25519.Identity, recipients: Recipients
) -> None:
    file = tmp_path / "key.txt"
    file.write_text(f"# created: today\n# public key: age1\n\n{pyrage.x25519.Identity.generate()}\n {identity} \n")
    identities = Identities.load(file)

    content = os.urandom(200_000)
    assert identities.decrypt(recipients.encrypt(content)) == content
    assert opened(identities, recipients.encrypt(content)) == content
    assert str(identity.to_public()) in identities.recipients
    assert len(identities.recipients) == 2


def test_no_file_is_no_identities() -> None:
    assert not Identities.load(None)
    assert Identities.load(None).recipients == ()


def test_some_identities_are_true(identity: pyrage.x25519.Identity) -> None:
    assert Identities([str(identity)])


def test_neither_repr_nor_an_error_shows_a_key(tmp_path: Path, identity: pyrage.x25519.Identity) -> None:
    file = tmp_path / "key.txt"
    file.write_text(str(identity)[:-1] + "\n")

    with pytest.raises(ConfigurationError) as raised:
        Identities.load(file)

    assert str(file) in str(raised.value)
    for text in (str(raised.value), repr(raised.value), repr(Identities([str(identity)]))):
        assert "AGE-SECRET-KEY-1" + str(identity)[16:30] not in text


@pytest.mark.parametrize("content", ["", "# nothing\n", "age1qqqq\n", "-----BEGIN PRIVATE KEY-----\n", "\N{SNOWMAN}\n"])
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key.txt"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match=r"key\.txt"):
        Identities.load(file)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"key\.txt can't be read"):
        Identities.load(tmp_path / "key.txt")


@pytest.mark.parametrize("names", [[], [str(pyrage.x25519.Identity.generate())]])
def test_a_key_that_does_not_fit_is_told_from_damage(recipients: Recipients, names: list[str]) -> None:
    sealed = recipients.encrypt(b"content")

    with pytest.raises(IdentityMissing, match="HHH_AGE_IDENTITY_FILE"):
        Identities(names).decrypt(sealed)
    with pytest.raises(IdentityMissing, match="--identity"):
        opened(Identities(names), sealed)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda sealed: sealed[:-1], id="its last byte is missing"),
        pytest.param(lambda sealed: sealed[: sealed.index(b"---") + 100], id="most of it is missing"),
        pytest.param(lambda sealed: sealed[:40], id="its header is cut"),
        pytest.param(lambda sealed: b"", id="it is empty"),
        pytest.param(lambda sealed: b"x" + sealed, id="something stands before it"),
        pytest.param(lambda sealed: sealed + b"x", id="something stands behind it"),
        pytest.param(lambda sealed: sealed[:-50] + bytes([sealed[-50] ^ 1]) + sealed[-49:], id="one bit is another"),
    ],
)
def test_what_was_changed_is_damaged(
    identity: pyrage.x25519.Identity, recipients: Recipients, damage: Callable[[bytes], bytes]
) -> None:
    sealed = damage(recipients.encrypt(os.urandom(300_000)))

    with pytest.raises(ArtifactDamaged):
        Identities([str(identity)]).decrypt(sealed)
    with pytest.raises(ArtifactDamaged):
        opened(Identities([str(identity)]), sealed)


@pytest.mark.parametrize("error", [OSError("a reason"), KeyboardInterrupt("a reason"), IdentityMissing("a reason")])
@pytest.mark.parametrize("before", [0, 100_000])
def test_what_ends_the_stream_comes_through_unchanged(
    identity: pyrage.x25519.Identity, recipients: Recipients, error: BaseException, before: int
) -> None:
    sealed = recipients.encrypt(bytes(1 << 20))

    def pieces() -> Iterator[bytes]:
        yield sealed[:before]
        raise error

    with pytest.raises(type(error)) as raised:
        list(decrypted(pieces(), Identities([str(identity)])))
    assert raised.value is error
