"""Who this service is: its id, its signing key, and the secret that all its machines share."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy.exc import IntegrityError

from hhh.core import signing
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.core.secretbox import SecretBox
from hhh.core.signing import SigningKey
from hhh.models import Action, Installation
from hhh.repositories import installation as rows
from hhh.services import audit
from hhh.services.sealing import CHECK_OWNER, opens

_AGREE = "if the old one is lost or was stolen, make this machine's the right one with `hhh keys agree`"


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
        """Signs manifests.

        Raises:
            ConfigurationError: the file can't be used, or the other machines of this installation have another key.
        """
        if self._settings.jobs_database_url.get_secret_value():
            with self._database.snapshot() as session:
                self._refuse_other_signing_key(rows.signing_key(session))
        return self._own_key

    def forget(self) -> None:
        """Reads the id anew when it is next asked for: the own database is another one now."""
        self.__dict__.pop("installation", None)

    def agree(self) -> None:
        """Makes this machine's signing key and ``HHH_SECRET_KEY`` the ones that all machines must have.

        Of a service on one machine they always are: what is lost there is made anew, and nobody is in the way.
        """
        public_key = self._own_key.public_key
        self._make_installation()
        with self._database.transaction() as session:
            row = rows.get(session)
            row.signing_key = public_key
            if not self._opens(row):
                row.sealed_check = self._box.seal(CHECK_OWNER, owner=CHECK_OWNER)
            audit.record(session, Action.KEYS, "keys of all machines", detail={"signing_key": public_key})

    def refuse_other_keys(self) -> None:
        """Sees that this machine has the keys of the others; the first one tells what they are.

        Raises:
            ConfigurationError: the others sign with another key, or have another secret; what to copy is told.
        """
        self._make_installation()
        with self._database.transaction() as session:
            row = rows.get(session, locked=True)
            if row.sealed_check is not None and not self._opens(row):
                raise ConfigurationError(
                    "HHH_SECRET_KEY is not that of the other machines of this installation",
                    hint=f"{self._where_secret()}; {_AGREE}",
                )
            self._refuse_other_signing_key(row.signing_key)
            row.signing_key = self._own_key.public_key
            row.sealed_check = row.sealed_check or self._box.seal(CHECK_OWNER, owner=CHECK_OWNER)

    @cached_property
    def _own_key(self) -> SigningKey:
        return signing.load_or_make(self._settings.signing_key_path)

    def _refuse_other_signing_key(self, known: str | None) -> None:
        path = self._settings.signing_key_path
        # One that is missing is not made: it would only be another one.
        if known is None or (path.exists() and self._own_key.public_key == known):
            return
        found = "is not that" if path.exists() else "is missing; it has to be that"
        raise ConfigurationError(
            f"The signing key {path} {found} of the other machines of this installation, {known}",
            hint=f"copy to it the file `signing.key` of their data folder, or their HHH_SIGNING_KEY_FILE; {_AGREE}",
        )

    def _opens(self, row: Installation) -> bool:
        return row.sealed_check is not None and opens(self._box, row.sealed_check)

    @property
    def _box(self) -> SecretBox:
        return SecretBox(self._settings.secret)

    def _where_secret(self) -> str:
        if self._settings.secret_key.get_secret_value():
            return "set the same on all machines"
        return f"set the same on all machines; here it came from {self._settings.data_dir / 'secret.key'}"

    def _make_installation(self) -> str:
        try:
            with self._database.transaction() as session:
                return rows.installation_id(session) or rows.create_installation(session)
        except IntegrityError:  # another process was first
            return self.installation
