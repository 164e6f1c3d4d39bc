"""The fixtures that every test may take; what they are stands in `support/`."""

import gc
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from hhh.api.description import Description
from support import described
from support.compiled_once import statements_are_compiled_once
from support.faulty_proxy import faulty_s3
from support.filesystems import small_filesystem
from support.own_databases import migrated_template
from support.postgres import (
    ANY_MAJOR,
    any_postgres,
    postgres,
    postgres15,
    postgres16,
    postgres18,
    postgres_database,
    postgres_servers,
    private_postgres,
)
from support.s3 import s3, s3_endpoint
from support.service import service, service_factory
from support.session import current_session

__all__ = [
    "any_postgres",
    "faulty_s3",
    "migrated_template",
    "postgres",
    "postgres15",
    "postgres16",
    "postgres18",
    "postgres_database",
    "postgres_servers",
    "private_postgres",
    "s3",
    "s3_endpoint",
    "service",
    "service_factory",
    "small_filesystem",
    "statements_are_compiled_once",
]


@pytest.hookimpl(tryfirst=True)  # before pytest has chosen where `tmp_path` is
def pytest_configure(config: pytest.Config) -> None:
    """Folders of tests are the session's, unless `--basetemp` says where; the workers get folders in that one."""
    if config.option.basetemp is None:
        config.option.basetemp = str(current_session().new_folder("tmp"))


@pytest.fixture(scope="session", autouse=True)
def answers_are_as_described() -> Iterator[None]:
    """Whatever a test asks the API for: an answer that its description does not tell of fails that test."""
    begin = TestClient.__init__

    def begin_and_watch(self: TestClient, *arguments: object, **options: object) -> None:
        begin(self, *arguments, **options)  # type: ignore[arg-type]
        if isinstance(getattr(self.app, "openapi", None), Description):
            self.event_hooks = {"response": [described.check]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestClient, "__init__", begin_and_watch)
        yield


# Thousands of tests and hundreds of modules live as long as the session: to look through them for garbage again and
# again is a tenth of all its work.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """What is there before the first test is never looked through again."""
    gc.collect()
    gc.freeze()


#: Of these files a quick run has one major of PostgreSQL and one kind of own database; `make soak` has the others.
#: What differs between them is held for all by the contract suites, round trips, comparisons, migrations and queues.
ONE_VARIANT_AT_FIRST = frozenset(
    f"test_{name}.py"
    for name in (
        "auth",
        "postgresql",
        "postgresql_archive",
        "postgresql_checks",
        "postgresql_fingerprints",
        "postgresql_foreign",
        "postgresql_hostile",
        "postgresql_large_objects",
        "postgresql_offsets",
        "postgresql_reading",
        "postgresql_restore",
        "postgresql_restore_faults",
        "postgresql_schema_comparison",
        "postgresql_selection",
        "postgresql_sequences",
        "postgresql_sessions",
        "postgresql_swap",
        "postgresql_throw_away",
        "postgresql_throw_away_killed",
        "drill_sweep",
        "proof_demands",
        "pruning",
        "recoverability",
        "restore",
        "restore_postgresql",
        "schedules",
        "sweep",
        "target_changes",
        "targets",
        "verification",
    )
)


@pytest.hookimpl(tryfirst=True)  # before what is marked so is left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks further variants as soak."""
    for item in items:
        if item.path.name in ONE_VARIANT_AT_FIRST and item.path.parent.name != "e2e" and _is_a_further_variant(item):
            item.add_marker("soak")


def _is_a_further_variant(item: pytest.Item) -> bool:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return parameters.get("postgres", ANY_MAJOR) != ANY_MAJOR or parameters.get("own_database") == "postgresql"
