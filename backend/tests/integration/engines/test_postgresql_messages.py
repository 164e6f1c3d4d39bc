"""What is told of the messages of a server, which may be those of anybody's code."""

import psycopg
import pytest

from hhh.engines.postgresql.connection import last_line
from support.postgres import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(("letters", "longest"), [(10, 100), (10_000_000, 1001)])
def test_no_message_is_repeated_whatever_its_length(any_postgres: PostgresServer, letters: int, longest: int) -> None:
    with any_postgres.connect() as connection, pytest.raises(psycopg.Error) as raised:
        connection.execute("SELECT repeat('x', %s)::integer", [letters])
    told = last_line(raised.value)
    assert told.startswith('invalid input syntax for type integer: "xxxxxxxxxx')
    assert len(told) <= longest
