"""Who this service is: its id and its signing key."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy.exc import IntegrityError

from hhh.core import signing
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.signing import SigningKey
from hhh.repositories import installation as rows


class Identity:
    """What marks the artifacts of this installation. Both parts are read, or made, when they are first asked for."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @cached_property
    def installation(self) -> str:
        """A UUID; the first folder under every store's prefix."""
        with self._database.snapshot() as session:
            known = rows.installation_id(session)
        return known or self._make_installation()

    @cached_property
    def signing_key(self) -> SigningKey:
        """Signs manifests."""
        return signing.load_or_make(self._settings.signing_key_path)

    def forget(self) -> None:
        """Reads the id anew when it is next asked for: the own database is another one now."""
        self.__dict__.pop("installation", None)

    def _make_installation(self) -> str:
        try:
            with self._database.transaction() as session:
                return rows.installation_id(session) or rows.create_installation(session)
        except IntegrityError:  # another process was first
            return self.installation
