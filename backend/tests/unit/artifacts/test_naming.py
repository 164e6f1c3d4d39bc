from datetime import UTC, datetime, timedelta, timezone

import pytest

from hhh.artifacts.naming import ArtifactKeys, backup_file_name, valid_target_name
from hhh.storages.keys import checked_key

KEYS = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", 3, encrypted=False)
SEALED = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", 3, encrypted=True)


def test_a_backup_is_called_as_the_runbook_has_it_in_utc() -> None:
    noon = datetime(2025, 1, 1, 14, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert backup_file_name(noon) == "backup_20250101_120000.sql"
    assert backup_file_name(datetime(2025, 1, 1, 12, tzinfo=UTC), 2) == "backup_20250101_120000_2.sql"


def test_keys_are_those_of_the_architecture() -> None:
    assert KEYS.object == "installation/app/backup_20250101_120000.sql.3.zst"
    assert KEYS.facts == "installation/app/backup_20250101_120000.sql.3.facts.json"
    assert KEYS.attachment("schema.dump") == "installation/app/backup_20250101_120000.sql.3.schema.dump.zst"
    assert KEYS.manifest == "installation/app/backup_20250101_120000.sql.json"


def test_what_is_encrypted_says_so_in_its_name_and_the_manifest_never_is() -> None:
    assert SEALED.object == KEYS.object + ".age"
    assert SEALED.facts == KEYS.facts + ".age"
    assert SEALED.attachment("schema.dump") == KEYS.attachment("schema.dump") + ".age"
    assert SEALED.manifest == KEYS.manifest


@pytest.mark.parametrize("name", ["app", "a", "0", "my-db_2.eu", "x" * 63])
def test_a_plain_name_is_a_target_and_a_part_of_a_key(name: str) -> None:
    assert valid_target_name(name)
    assert checked_key(ArtifactKeys("i", name, "backup_20250101_120000.sql", 1, encrypted=True).object)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-rf", "_x", "App", "ä", "a/b", "a b", "a\n", "a\0", "a%2f", "x" * 64]
)
def test_a_name_that_could_be_more_than_a_name_is_no_target(name: str) -> None:
    assert not valid_target_name(name)
