"""Secrets of rows, sealed with the installation's key and with no other."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError
from hhh.core.secretbox import SecretBox
from hhh.repositories import sealing as rows

#: Whose secret `Installation.sealed_check` is.
CHECK_OWNER = "installation"


def target_owner(name: str) -> str:
    """Whose secret the URL of a target is."""
    return f"target {name}"


def store_owner(name: str) -> str:
    """Whose secret the options of a store are."""
    return f"store {name}"


def second_factor_owner(user_id: str) -> str:
    """Whose secret the second factor of a user is."""
    return f"second factor of user {user_id}"


def channel_owner(channel_id: str) -> str:
    """Whose secret the URL of a channel for alerts is: by its id, since its name may change."""
    return f"alert channel {channel_id}"


class Sealing:
    """Seals what goes into rows, and opens it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def seal(self, session: Session, plain: str, *, owner: str) -> str:
        """Seals within the transaction that writes it; a rotation of the key waits for its end.

        Raises:
            ConfigurationError: this process has another key than what is sealed already, e.g. since it was rotated.
        """
        rows.lock_for_writing(session)
        check = rows.sealed_check(session)
        if check is not None and not opens(self._box, check):
            raise ConfigurationError(
                "HHH_SECRET_KEY of this process is not the one that secrets are sealed with",
                hint="was it rotated? Set the right one, restart; if that is lost, run `hhh keys agree`",
            )
        return self._box.seal(plain, owner=owner)

    def open(self, sealed: str, *, owner: str) -> str:
        """What was sealed.

        Raises:
            ConfigurationError: it was sealed with another key, or is damaged.
        """
        return self._box.open(sealed, owner=owner)

    @cached_property
    def _box(self) -> SecretBox:
        return SecretBox(self._settings.secret)


def opens(box: SecretBox, check: str) -> bool:
    """Whether a box has the key that `Installation.sealed_check` was sealed with."""
    try:
        box.open(check, owner=CHECK_OWNER)
    except ConfigurationError:
        return False
    return True
