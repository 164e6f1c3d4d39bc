"""What a policy demands of fingerprints reaches the facts in the store."""

import json
from pathlib import Path

import pytest

from hhh.core.database import Database
from hhh.core.run import Unattended
from hhh.engines.fingerprints import method_of
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.policy import Fingerprint, PolicyFields
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.sqlite_data import make_sqlite_database
from support.sweeping import SOURCE, take


def methods(services: Services, target: str) -> set[str | None]:
    """How the fingerprints of the only backup of a target were taken."""
    [path] = (services.settings.data_dir / "backups").glob(f"*/{target}/*.facts.json")
    facts = SqliteFacts.model_validate(json.loads(path.read_bytes()))
    return {table.fingerprint and method_of(table.fingerprint) for table in facts.tables}


@pytest.mark.parametrize(("fingerprint", "expected"), [("off", None), ("sampled", "full/1"), ("full", "full/1")])
def test_a_backup_has_the_fingerprints_that_its_target_demands(
    tmp_path: Path, sqlite_database: Database, fingerprint: Fingerprint, expected: str | None
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    services.targets.update(SOURCE, None, PolicyFields(fingerprint=fingerprint), whole=False)
    take(services)
    assert methods(services, SOURCE) == {expected}


def test_so_has_a_file_that_is_imported_for_it(tmp_path: Path, sqlite_database: Database) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    services.targets.update(SOURCE, None, PolicyFields(fingerprint="full"), whole=False)
    make_sqlite_database(tmp_path / "foreign.db")
    services.imports.take_in(tmp_path / "foreign.db", SOURCE, Unattended())
    services.imports.take_in(tmp_path / "foreign.db", "legacy", Unattended())
    assert methods(services, SOURCE) == {"full/1"}
    assert methods(services, "legacy") == {None}
