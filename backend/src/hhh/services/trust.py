"""Whose signature on a manifest counts."""

from __future__ import annotations

import base64
import binascii

from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError
from hhh.services.installation import Identity

_KEY_BYTES = 32


def trusted_keys(settings: Settings, identity: Identity) -> frozenset[str]:
    """The public keys (32 bytes in base64): this installation's own, and those of ``HHH_TRUSTED_KEYS``.

    Raises:
        ConfigurationError: one of the setting is no such key, or the own key can't be used.
    """
    return frozenset({identity.signing_key.public_key, *further_keys(settings)})


def further_keys(settings: Settings) -> tuple[str, ...]:
    """The keys of ``HHH_TRUSTED_KEYS``: of older signing keys, and of other installations.

    Raises:
        ConfigurationError: one is no Ed25519 public key in base64.
    """
    for number, key in enumerate(settings.trusted_keys, start=1):
        if not is_public_key(key):
            # What was put there by mistake may be a private key: it is not repeated.
            raise ConfigurationError(
                f"HHH_TRUSTED_KEYS: number {number} of the list is no Ed25519 public key",
                hint="44 characters of base64, as `hhh keys show` and a manifest's signature.public_key have it",
            )
    return tuple(dict.fromkeys(settings.trusted_keys))


def is_public_key(text: str) -> bool:
    """Whether it is a public key as manifests and reports name it."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    # Manifests name a key in the one right way to write it; another one would never be equal to it.
    return len(raw) == _KEY_BYTES and base64.b64encode(raw).decode() == text
