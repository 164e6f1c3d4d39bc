"""The address of the own database: who may see what of it."""

import pytest

from hhh.core.database import Database, normalise
from hhh.core.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    ["postgresql://ann:s3cr%2Ft@db/hhh?sslmode=require", "postgresql://ann@db/hhh?password=s3cr/t&sslmode=require"],
)
def test_a_password_is_used_and_not_shown_wherever_it_stands(url: str) -> None:
    database = Database(url)
    assert database.engine.dialect.create_connect_args(database.url)[1]["password"] == "s3cr/t"
    assert repr(database) == "Database(postgresql+psycopg://ann:***@db/hhh?sslmode=require)"


@pytest.mark.parametrize("url", ["", "hhh.db", "mysql://db/hhh", "sqlite://", "sqlite+pysqlite:////hhh.db"])
def test_what_is_no_own_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="HHH_DATABASE_URL"):
        normalise(url)
