"""Whose signatures count."""

import base64
from pathlib import Path

import pytest

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.services.installation import Identity
from hhh.services.trust import further_keys, trusted_keys
from support.local_services import settings_in

ONE, OTHER = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def settings(folder: Path, keys: str) -> Settings:
    return settings_in(folder, trusted_keys=keys)


def test_the_own_key_and_those_of_the_setting_count(tmp_path: Path) -> None:
    loaded = settings(tmp_path, f"{ONE}, {OTHER},{ONE}")
    identity = Identity(loaded, Database(loaded.own_database_url))

    assert trusted_keys(loaded, identity) == {identity.signing_key.public_key, ONE, OTHER}
    assert further_keys(loaded) == (ONE, OTHER)


@pytest.mark.parametrize(
    "key",
    [
        "MC4CAQAwBQYDK2VwBCIEIA",
        "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg",
        ONE[:-1],
        ONE.rstrip("="),
        ONE[:-2] + "F=",  # decodes to the same bytes
        base64.b64encode(bytes(33)).decode(),
    ],
)
def test_what_is_no_public_key_is_refused_by_its_place_and_not_repeated(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match="HHH_TRUSTED_KEYS: number 2 ") as refused:
        further_keys(settings(tmp_path, f"{ONE},{key}"))
    assert key not in str(refused.value)
