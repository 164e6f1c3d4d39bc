"""Drills on a server that an operator names: in a database of its own, which is removed however the drill ends."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from hhh.core.errors import TargetUnreachable
from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.proving import PostgresqlProver
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.restoring import RestoreSource
from hhh.services.comparison import compare
from support.postgres import PostgresServer
from support.postgres_rich import drop_rich_roles, make_rich_database, rich_roles
from support.postgres_swap import databases_like
from support.throwing_away import drilling, new_scratch, taken_for_drills
from support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def rich(any_postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[RestoreSource, Workplace]]:
    """A backup of everything, whose roles are nowhere any more."""
    database = any_postgres.create_database()
    with any_postgres.connect(database, autocommit=True) as connection:
        make_rich_database(connection)
    taken = taken_for_drills(any_postgres, database, new_scratch(tmp_path))
    any_postgres.drop_database(database)
    drop_rich_roles(any_postgres, database)
    yield taken
    assert roles_like(any_postgres, *rich_roles(database).values()) == []
    assert databases_like(any_postgres, "hhh_drill_") == []


def roles_like(server: PostgresServer, *beginnings: str) -> list[str]:
    with server.connect() as connection:
        names = [name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()]
    return [name for name in names if name.startswith(beginnings)]


def test_a_drill_has_a_database_of_its_own_there_and_makes_no_roles(
    any_postgres: PostgresServer, rich: tuple[RestoreSource, Workplace]
) -> None:
    source, workplace = rich
    restorer = PostgresqlRestorer()
    with PostgresqlProver().throw_away(source, any_postgres.url(), workplace, Unattended()) as place:
        assert restorer.checks(source, place.destination, workplace)
        built = restorer.build(source, place.destination, workplace, Unattended())
        assert built.errors == ()
        assert compare(source.facts, built.facts) == []
        assert databases_like(any_postgres, place.destination.name)
        assert "the server that is named" in place.description
    assert databases_like(any_postgres, "hhh_drill_") == []
    assert roles_like(any_postgres, "hhh_restore_") == []


def test_an_error_in_the_drill_removes_what_it_made(
    any_postgres: PostgresServer, rich: tuple[RestoreSource, Workplace]
) -> None:
    source, workplace = rich
    entered = PostgresqlProver().throw_away(source, any_postgres.url(), workplace, Unattended())
    with contextlib.suppress(KeyboardInterrupt), entered as place:
        PostgresqlRestorer().build(source, place.destination, workplace, Unattended())
        assert databases_like(any_postgres, "hhh_drill_") != []
        raise KeyboardInterrupt
    assert databases_like(any_postgres, "hhh_drill_") == []


def test_a_killed_drill_is_swept_and_one_under_way_is_not(
    any_postgres: PostgresServer, rich: tuple[RestoreSource, Workplace]
) -> None:
    source, workplace = rich
    prover, url = PostgresqlProver(), any_postgres.url()
    with drilling(source, workplace, url) as dead, drilling(source, workplace, url) as alive:
        left_role = f"hhh_restore_{dead.name.removeprefix('hhh_drill_')}"
        any_postgres.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(left_role)))  # as of a restore under way
        assert prover.sweep(url, workplace) == 0
        dead.process.kill()
        wait_until(lambda: prover.sweep(url, workplace) == 1, what="the lock of the dead drill to be gone")
        assert databases_like(any_postgres, dead.name) == []
        assert roles_like(any_postgres, left_role) == []
        assert databases_like(any_postgres, alive.name)
        alive.process.communicate()
    assert databases_like(any_postgres, "hhh_drill_") == []
    assert prover.sweep(url, workplace) == 0


def test_a_role_that_may_create_databases_is_enough(
    any_postgres: PostgresServer, rich: tuple[RestoreSource, Workplace]
) -> None:
    source, workplace = rich
    role = f"plain_{secrets.token_hex(4)}"
    any_postgres.execute(
        sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(sql.Identifier(role), any_postgres.password)
    )
    url = any_postgres.url(user=role, password=any_postgres.password)
    with drilling(source, workplace, url) as drill:
        assert databases_like(any_postgres, drill.name)
        drill.process.kill()
        wait_until(lambda: PostgresqlProver().sweep(url, workplace) == 1, what="the drill to be swept")
    assert databases_like(any_postgres, "hhh_drill_") == []
    any_postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_server_that_does_not_answer_is_told(rich: tuple[RestoreSource, Workplace], tmp_path: Path) -> None:
    source, workplace = rich
    url = f"postgresql:///postgres?host={tmp_path}"
    with (
        pytest.raises(TargetUnreachable),
        PostgresqlProver().throw_away(source, url, workplace, Unattended()),
    ):
        pytest.fail("a place was made")
