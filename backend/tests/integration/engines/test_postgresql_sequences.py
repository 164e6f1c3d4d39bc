"""Sequences that go back: no lock keeps anybody from it while a database is backed up."""

from pathlib import Path

import pytest

from hhh.engines.base import Workplace
from hhh.schemas.facts import PostgresqlFacts
from support.engine_rigs import PostgresqlRig, read_to_end
from support.postgres import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def rig(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> PostgresqlRig:
    with postgres.connect(postgres_database) as connection:
        connection.execute(
            "CREATE SEQUENCE up; CREATE SEQUENCE down INCREMENT -2; CREATE SEQUENCE round MAXVALUE 3 CYCLE"
        )
        connection.execute("CREATE SEQUENCE steady; SELECT setval('up', 90), setval('down', -90), setval('steady', 90)")
    return PostgresqlRig(postgres, postgres_database, Workplace(tmp_path, pg_bin_dir=postgres.bin_dir))


@pytest.mark.parametrize(
    ("change", "going_back"),
    [
        ("SELECT setval('up', 3), setval('down', -3), nextval('steady')", {"up", "down", "round"}),
        ("ALTER SEQUENCE up RESTART", {"up", "round"}),
        ("DROP SEQUENCE down", {"round"}),
        ("SELECT nextval('up'), nextval('down'), nextval('round')", {"round"}),
    ],
)
def test_those_that_were_set_back_during_the_dump_or_begin_again_are_told_apart(
    rig: PostgresqlRig, postgres: PostgresServer, postgres_database: str, change: str, going_back: set[str]
) -> None:
    with rig.dumping() as dump:
        read_to_end(dump)
        postgres.execute(change, database=postgres_database)
        facts = dump.finish().facts
    assert isinstance(facts, PostgresqlFacts)
    assert {each.name: each.last_value for each in facts.sequences} == {"up": 90, "down": -90, "steady": 90, "round": 1}
    assert {each.name for each in facts.sequences if each.goes_back} == going_back
