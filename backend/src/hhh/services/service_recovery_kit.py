"""The secrets of a recovery kit, put where the service on an empty machine looks for them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyrage
from pydantic import SecretStr

from hhh.core.config import Settings
from hhh.core.errors import HHHError, InvalidInput
from hhh.core.files import needed, write_private
from hhh.core.scratch import scratch_folder
from hhh.services.service_recovery_checks import place, secret_of

_SEALED = re.compile(r"^-----BEGIN AGE.*^-----END AGE[^\n]*$", re.MULTILINE | re.DOTALL)
_SECRET_KEY = re.compile(r"^HHH_SECRET_KEY=(.+)$", re.MULTILINE)
_SIGNING_KEY = re.compile(r"^-----BEGIN PRIVATE KEY-----.*^-----END PRIVATE KEY-----$", re.MULTILINE | re.DOTALL)
_IDENTITY = re.compile(r"^AGE-SECRET-KEY-\S+$", re.MULTILINE)
#: In the data folder: a setting that only the operator can set.
_TO_SET = "recovered.env"


@dataclass(frozen=True, slots=True)
class KitSecrets:
    """What a kit holds, as `hhh.services.recovery_kit` has written it."""

    secret_key: str = field(repr=False)
    #: PEM.
    signing_key: str = field(repr=False)
    #: age identities, one a line; empty where the service had none.
    identities: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The keys of a kit in their places."""

    settings: Settings
    #: None where the settings name one, or there is none.
    identity_file: Path | None
    #: Files that were written.
    written: tuple[Path, ...]
    #: A file with a setting that the operator has to take over; None where nothing is to be done.
    to_set: Path | None


def open_kit(text: str, passphrase: str) -> KitSecrets:
    """Reads the secrets of a kit.

    Raises:
        InvalidInput: it holds none, or the passphrase is another one.
    """
    sealed = _SEALED.search(text.replace("\r\n", "\n"))  # as mails and other systems write the ends of lines
    if sealed is None:
        raise InvalidInput(
            "The kit holds no secrets", hint="name the one that `hhh keys kit --with-secrets` wrote, or leave --kit out"
        )
    try:
        plain = pyrage.passphrase.decrypt(sealed[0].encode(), passphrase).decode()
    except (pyrage.DecryptError, UnicodeDecodeError):
        raise InvalidInput("The passphrase does not open the kit, or the kit is damaged") from None
    secret, signing = _SECRET_KEY.search(plain), _SIGNING_KEY.search(plain)
    if secret is None or signing is None:
        raise InvalidInput("The kit lacks HHH_SECRET_KEY or the signing key", hint="name another one")
    return KitSecrets(secret[1].strip(), f"{signing[0]}\n", "\n".join(_IDENTITY.findall(plain)))


@contextlib.contextmanager
def unpacked(settings: Settings, kit: KitSecrets) -> Iterator[Unpacked]:
    """Writes what is not there yet. Keys that are there stay, and are compared when the database is restored.

    The age identity is written only where a setting names a file for it; else it is there until the block is left.
    Where the block raises an error of ours, what was written is removed: the next kit may be the right one.

    Raises:
        InUse: there is a database already.
        ConfigurationError: a file can't be written.
    """
    place(settings)
    written: list[Path] = []
    try:
        with _unpacked(settings, kit, written) as keys:
            yield keys
    except HHHError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _unpacked(settings: Settings, kit: KitSecrets, written: list[Path]) -> Iterator[Unpacked]:
    signing, identity = settings.signing_key_path, settings.age_identity_file
    _write(signing, kit.signing_key, written)
    if identity is not None and kit.identities:
        _write(identity, f"{kit.identities}\n", written)
    settings, to_set = _with_secret(settings, kit.secret_key, written)
    with scratch_folder(settings.scratch_dir, "recovery") as scratch:
        file = None
        if identity is None and kit.identities:
            file = scratch / "identity"
            write_private(file, f"{kit.identities}\n".encode())
        yield Unpacked(settings, file, tuple(written), to_set)


def _with_secret(settings: Settings, secret: str, written: list[Path]) -> tuple[Settings, Path | None]:
    if settings.env != "production":
        if secret_of(settings) is None:
            _write(settings.data_dir / "secret.key", secret, written)
        return settings, None
    if settings.secret_key.get_secret_value():
        return settings, None
    to_set = settings.data_dir / _TO_SET
    _write(to_set, f"HHH_SECRET_KEY={secret}\n", written)
    return settings.model_copy(update={"secret_key": SecretStr(secret)}), to_set


def _write(path: Path, content: str, written: list[Path]) -> None:
    with needed(path):
        if path.exists():
            return
        write_private(path, content.encode(), exclusive=True)
    written.append(path)
