"""Tables that an extension made, and of whose rows a dump has some."""

from pathlib import Path

import pytest

from hhh.engines.base import Workplace
from support.engine_rigs import PostgresqlRig
from support.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def test_whose_they_are_is_told(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE codes AS SELECT 1 AS a; CREATE TABLE mine AS SELECT 1 AS a")
        connection.execute("ALTER EXTENSION plpgsql ADD TABLE codes")
        # As pg_extension_config_dump does it, which only the script of an extension may call.
        connection.execute(
            "UPDATE pg_extension SET extconfig = ARRAY['codes'::regclass], extcondition = ARRAY['']"
            " WHERE extname = 'plpgsql'"
        )
    rig = PostgresqlRig(postgres, postgres_database, Workplace(tmp_path, pg_bin_dir=postgres.bin_dir))
    _, result = rig.take_dump()
    told = {table.name: table.extension for table in result.facts.tables}
    assert told == {"codes": "plpgsql", "mine": None}
