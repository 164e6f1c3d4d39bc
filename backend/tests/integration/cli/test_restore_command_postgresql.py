"""`hhh restore --from` to a PostgreSQL server: how its URL and its password come in, and what is made there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import Machine
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database

pytestmark = pytest.mark.postgres


@pytest.fixture
def shop(any_postgres: PostgresServer) -> Iterator[str]:
    """A database; it and those whose names begin like it are dropped afterwards."""
    name = any_postgres.create_database()
    with any_postgres.connect(name) as connection:
        make_realistic_database(connection, megabytes=0.2)
    yield name
    for each in databases(any_postgres, name):
        any_postgres.execute(f'ALTER DATABASE "{each}" ALLOW_CONNECTIONS true')
        any_postgres.drop_database(each)


@pytest.fixture
def machine(tmp_path: Path, any_postgres: PostgresServer, shop: str) -> Machine:
    """A machine whose store has one backup of the shop."""
    machine = Machine(tmp_path / "machine")
    machine.environment |= {
        "HHH_DATA_DIR": str(tmp_path / "data"),
        "HHH_SCRATCH_DIR": str(machine.scratch),
        "HHH_PG_BIN_DIR": str(any_postgres.bin_dir),
    }
    machine.must_run("target", "add", "shop", "-", stdin=any_postgres.url(shop))
    machine.must_run("backup", "run", "shop")
    machine.environment["STORE"] = (tmp_path / "data" / "backups").as_uri()
    return machine


def databases(server: PostgresServer, beginning: str) -> list[str]:
    with server.connect() as connection:
        query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1"
        return [name for (name,) in connection.execute(query, (beginning,)).fetchall()]


def rows(server: PostgresServer, database: str, table: str = "customers") -> list[object]:
    with server.connect(database) as connection:
        return list(connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall())


def without_password(server: PostgresServer, database: str) -> str:
    return f"postgresql://{server.superuser}@{server.host}:{server.port}/{database}"


def restore(machine: Machine, *words: str) -> tuple[str, ...]:
    return ("restore", "--from", machine.environment["STORE"], *words)


def test_a_new_database_is_named_by_a_url_on_standard_input(
    machine: Machine, any_postgres: PostgresServer, shop: str
) -> None:
    done = machine.run(*restore(machine, "--to", "-"), stdin=any_postgres.url(f"{shop}_new") + "\n")
    assert done.returncode == 0
    assert done.stderr == ""
    assert rows(any_postgres, f"{shop}_new") == rows(any_postgres, shop)
    assert databases(any_postgres, shop) == [shop, f"{shop}_new"]
    again = machine.refused(*restore(machine, "--to", without_password(any_postgres, f"{shop}_new")), PGPASSWORD="x")
    assert "password authentication failed" in again


def test_a_password_is_taken_from_where_libpq_looks_and_told_of_where_others_see_it(
    machine: Machine, any_postgres: PostgresServer, shop: str, tmp_path: Path
) -> None:
    bare = without_password(any_postgres, f"{shop}_new")
    passfile = tmp_path / "pgpass"
    escaped = any_postgres.password.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"{any_postgres.host}:*:*:{any_postgres.superuser}:{escaped}\n")
    passfile.chmod(0o600)
    plan = restore(machine, "--plan", "--to")
    assert machine.run(*plan, bare, PGPASSFILE=str(passfile)).stderr == ""
    machine.must_run(*plan, bare, PGPASSFILE=str(passfile))
    machine.must_run(*plan, bare, PGPASSWORD=any_postgres.password)
    typed = machine.run(*plan, any_postgres.url(f"{shop}_new"))
    assert typed.returncode == 0
    assert "the password stood in the arguments" in typed.stderr
    assert any_postgres.password not in typed.stdout + typed.stderr
    assert databases(any_postgres, shop) == [shop]


def test_a_live_database_is_replaced_where_its_name_is_typed(
    machine: Machine, any_postgres: PostgresServer, shop: str
) -> None:
    before = rows(any_postgres, shop)
    any_postgres.execute("UPDATE customers SET name = 'changed'", database=shop)
    words = restore(machine, "--to", without_password(any_postgres, shop), "--replace")
    assert f"--confirm {shop}" in machine.refused(*words, code=2, PGPASSWORD=any_postgres.password)
    told = machine.as_json(*words, "--confirm", shop, PGPASSWORD=any_postgres.password)
    assert rows(any_postgres, shop) == before
    assert told["receipt"]["kept"] in databases(any_postgres, shop)


def test_some_tables_come_back_into_a_database_of_their_own(
    machine: Machine, any_postgres: PostgresServer, shop: str
) -> None:
    words = restore(machine, "--to", without_password(any_postgres, f"{shop}_some"), "--tables", "public.customers")
    told = machine.as_json(*words, PGPASSWORD=any_postgres.password)
    assert rows(any_postgres, f"{shop}_some") == rows(any_postgres, shop)
    assert [table["name"] for table in told["receipt"]["tables"]] == ["customers"]
    assert told["receipt"]["source"] == told["receipt"]["restored"]


def test_a_path_is_no_place_for_it(machine: Machine) -> None:
    assert "of a PostgreSQL database" in machine.refused(*restore(machine, "--to", "new.db"), code=2)
