"""Servers that are made for one drill: what comes back on them, what they keep out, and what they leave: nothing."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from hhh.core.errors import Cancelled, Lacking
from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import url_of
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.postgresql.throw_away import throw_away
from hhh.engines.postgresql.url import parse_url
from hhh.engines.proving import Place
from hhh.engines.restoring import RestoreSource
from hhh.schemas.facts import PostgresqlFacts
from hhh.services.comparison import compare
from support.filesystems import SmallFilesystem
from support.postgres import PostgresServer
from support.postgres_rich import as_text, drop_rich_roles, make_rich_database
from support.session import current_session
from support.throwing_away import new_scratch, of_major, processes_in, restored_text, taken_for_drills

pytestmark = pytest.mark.postgres

#: None that a role could have by accident, all that a role may have.
ODD_ROLES = ['a"b', "'; DROP ROLE x; --", "hhh_drill", "hhh_drill_", "UPPER case", "é", "postgres", "x" * 63]


@pytest.fixture
def rich(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """A database of everything, with roles of its own."""
    with postgres.connect(postgres_database, autocommit=True) as connection:
        make_rich_database(connection)
    yield postgres_database
    postgres.drop_database(postgres_database)
    drop_rich_roles(postgres, postgres_database)


@pytest.fixture
def small(any_postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[RestoreSource, Workplace]]:
    """A backup of next to nothing, and where to drill it."""
    database = any_postgres.create_database()
    any_postgres.execute("CREATE TABLE t AS SELECT 1 AS a", database=database)
    yield taken_for_drills(any_postgres, database, new_scratch(tmp_path))
    any_postgres.drop_database(database)


def superuser(place: Place) -> "psycopg.Connection[tuple[str]]":
    return psycopg.connect(place.destination.url, autocommit=True)


def refusal(source: RestoreSource, workplace: Workplace) -> Lacking:
    """Why no place can be had."""
    with pytest.raises(Lacking) as lacking, throw_away(source, None, workplace, Unattended()):
        pytest.fail("a place was made")
    return lacking.value


def said_by(connection: "psycopg.Connection[tuple[str]]", program: str) -> str:
    """What a program says that the server starts, errors included."""
    connection.execute("CREATE TEMP TABLE said (line text)")
    connection.execute(f"COPY said FROM PROGRAM $$ ({program}) 2>&1 || true $$")
    lines = [line for (line,) in connection.execute("SELECT line FROM said").fetchall()]
    connection.execute("DROP TABLE said")
    return "\n".join(lines)


def test_everything_comes_back_on_a_server_of_its_own_that_is_gone_afterwards(
    postgres: PostgresServer, rich: str, tmp_path: Path
) -> None:
    scratch = new_scratch(tmp_path)
    source, workplace = taken_for_drills(postgres, rich, scratch)
    restorer = PostgresqlRestorer()
    with throw_away(source, None, workplace, Unattended()) as place:
        checks = restorer.checks(source, place.destination, workplace)
        assert {check.name: check.message for check in checks if check.status != "ok"} == {}
        built = restorer.build(source, place.destination, workplace, Unattended())
        assert built.errors == ()
        assert built.warnings == ()
        assert compare(source.facts, built.facts) == []
        expected = as_text(postgres, rich, "--create")
        assert "GRANT" in expected
        restorer.publish(place.destination, workplace, Unattended())
        published = url_of(place.destination.url, place.destination.name)
        assert restored_text(postgres, published, "--create").replace(rich, "DATABASE") == expected
        assert f"PostgreSQL {postgres.major}" in place.description
        assert processes_in(scratch)
    assert processes_in(scratch) == []
    assert not list(scratch.glob("pg-*"))


@pytest.fixture(scope="module")
def standing(any_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place for a backup with odd roles, for tests that change nothing there."""
    source, workplace = taken_for_drills(any_postgres, "postgres", new_scratch(tmp_path_factory.mktemp("standing")))
    facts = source.facts
    assert isinstance(facts, PostgresqlFacts)
    source = replace(source, facts=facts.model_copy(update={"roles": [*ODD_ROLES, "pg_monitor", "pg_not_here"]}))
    with throw_away(source, None, workplace, Unattended()) as place:
        yield place


def test_all_roles_of_the_backup_are_made_without_rights(standing: Place) -> None:
    with superuser(standing) as connection:
        made = connection.execute(
            "SELECT rolname FROM pg_roles WHERE NOT rolcanlogin AND NOT rolsuper AND rolname !~ '^pg_'"
        ).fetchall()
        assert {name for (name,) in made} == set(ODD_ROLES)


def test_only_who_knows_the_password_may_sign_in(standing: Place) -> None:
    address = parse_url(standing.destination.url)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(replace(address, password="guessed").url)


def test_the_code_of_a_dump_finds_no_secret_no_network_and_nobody_else(
    small: tuple[RestoreSource, Workplace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HHH_SECRET_KEY", "telltale")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "telltale")
    source, workplace = small
    data, key, dump = tmp_path / "data", tmp_path / "key", tmp_path / "hhh-scratch-other" / "dump"
    for path in (data / "file", key, dump):
        path.parent.mkdir(exist_ok=True)
        path.write_text("telltale")
        path.chmod(0o644)
    workplace = replace(workplace, hidden=(data, key, tmp_path / "missing"))
    with throw_away(source, None, workplace, Unattended()) as place, superuser(place) as connection:
        said = said_by(connection, f"env; pwd; cat {data}/file {key} {dump} {source.dump}; ls -la {workplace.scratch}")
        assert "telltale" not in said
        assert "PGDMP" not in said
        assert "HHH_" not in said
        assert str(workplace.scratch) in said
        assert "uid=0" not in said_by(connection, "id")
        assert said_by(connection, "grep -c : /proc/net/dev") == "1"  # the loopback, which is down
        assert "No such file" in said_by(connection, f"cat /proc/{os.getpid()}/cmdline")
        assert said_by(connection, "ls /run /var /home | grep -v : ; true").strip() == ""
        assert "No such process" in said_by(connection, f"kill -0 {os.getpid()}")
        assert said_by(connection, "grep -c ^CapEff:.0000000000000000 /proc/self/status") == "1"
        assert place.warnings == ()
        assert "no network" in place.isolation


def test_a_scratch_folder_whose_path_is_too_long_for_a_socket_serves_as_well(
    any_postgres: PostgresServer, tmp_path: Path
) -> None:
    parent = tmp_path / ("long" * 30)
    parent.mkdir()
    database = any_postgres.create_database()
    source, workplace = taken_for_drills(any_postgres, database, new_scratch(parent))
    with throw_away(source, None, workplace, Unattended()) as place:
        checks = PostgresqlRestorer().checks(source, place.destination, workplace)
        assert {check.name for check in checks if check.status != "ok"} == set()
        assert PostgresqlRestorer().build(source, place.destination, workplace, Unattended()).errors == ()
    any_postgres.drop_database(database)


@pytest.mark.parametrize("major", [14, 17])
def test_a_machine_without_that_very_major_lacks_its_package(
    small: tuple[RestoreSource, Workplace], major: int
) -> None:
    source, workplace = small
    lacking = refusal(of_major(source, major), workplace)
    assert f"no initdb, postgres {major} here" in lacking.message
    assert f"postgresql-{major}" in (lacking.hint or "")


def programs(**scripts: str) -> Path:
    """A folder of programs that every account may run."""
    folder = current_session().new_folder("programs") / "bin"
    folder.mkdir()
    folder.chmod(0o755)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def test_initdb_without_postgres_is_not_enough(small: tuple[RestoreSource, Workplace]) -> None:
    source, workplace = small
    here = programs(initdb="echo 'initdb (PostgreSQL) 17.1'")
    lacking = refusal(of_major(source, 17), replace(workplace, pg_bin_dir=here))
    assert "there is no postgres 17 here" in lacking.message


def test_what_stops_initdb_is_told(small: tuple[RestoreSource, Workplace]) -> None:
    source, workplace = small
    said = "echo 'initdb: error: no luck' >&2; echo 'initdb: removing data directory' >&2"
    broken = f"[ $1 = --version ] && echo 'initdb (PostgreSQL) 17.1' && exit; {said}; exit 1"
    here = programs(initdb=broken, postgres="echo 'postgres (PostgreSQL) 17.1'")
    lacking = refusal(of_major(source, 17), replace(workplace, pg_bin_dir=here))
    assert "could not be made: initdb failed: initdb: error: no luck" in lacking.message
    assert not list(workplace.scratch.glob("pg-*"))


def test_what_stops_the_server_is_told(small: tuple[RestoreSource, Workplace]) -> None:
    source, workplace = small
    real = workplace.pg_bin_dir
    broken = "echo 'FATAL:  no memory' >&2; echo 'LOG:  database system is shut down' >&2; exit 1"
    here = programs(
        initdb=f'exec {real}/initdb "$@"', postgres=f'[ $1 = --version ] && exec {real}/postgres "$@"; {broken}'
    )
    lacking = refusal(source, replace(workplace, pg_bin_dir=here))
    assert lacking.message == "A throw-away server could not be started: postgres ended: FATAL:  no memory"
    assert not list(workplace.scratch.glob("pg-*"))


def test_too_little_scratch_is_told_with_both_figures(
    small: tuple[RestoreSource, Workplace], small_filesystem: SmallFilesystem
) -> None:
    source, workplace = small
    scratch = new_scratch(small_filesystem(1 << 30))
    lacking = refusal(replace(source, raw_size=10_000_000_000), replace(workplace, scratch=scratch))
    assert "1.1 GB are free, and about 20.2 GB are needed to restore the dump of 10.0 GB there" in lacking.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another account")
@pytest.mark.parametrize(("account", "told"), [("nobody-here", "no account nobody-here"), ("root", "who is root")])
def test_an_account_that_can_t_run_a_server_is_lacking(
    small: tuple[RestoreSource, Workplace], account: str, told: str
) -> None:
    source, workplace = small
    lacking = refusal(source, replace(workplace, drill_user=account))
    assert told in lacking.message
    assert "HHH_DRILL_USER" in (lacking.hint or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another account")
def test_a_server_runs_as_the_account_that_is_named(small: tuple[RestoreSource, Workplace]) -> None:
    source, workplace = small
    with throw_away(source, None, replace(workplace, drill_user="nobody"), Unattended()) as place:
        assert "the account nobody" in place.isolation
        servers = [process for process in processes_in(workplace.scratch) if process.name() == "postgres"]
        assert {process.username() for process in servers} == {"nobody"}


class CancelledOnceThereIs(Unattended):
    """A run that is cancelled when something of that name is in its folder."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self._folder = folder
        self._pattern = pattern

    def raise_if_cancelled(self) -> None:
        if list(self._folder.glob(self._pattern)):
            raise Cancelled("by the test")


@pytest.mark.parametrize("when", ["pg-*/data/PG_VERSION", "pg-*/data/postmaster.pid"])
def test_a_cancelled_run_leaves_no_server(small: tuple[RestoreSource, Workplace], when: str) -> None:
    source, workplace = small
    before = sorted(workplace.scratch.iterdir())
    run = CancelledOnceThereIs(workplace.scratch, when)
    with pytest.raises(Cancelled), throw_away(source, None, workplace, run):
        pytest.fail("a place was made")
    assert processes_in(workplace.scratch) == []
    assert sorted(workplace.scratch.iterdir()) == before


def test_an_error_in_the_drill_leaves_no_server(small: tuple[RestoreSource, Workplace]) -> None:
    source, workplace = small
    with pytest.raises(KeyboardInterrupt), throw_away(source, None, workplace, Unattended()):
        raise KeyboardInterrupt
    assert processes_in(workplace.scratch) == []
    assert not list(workplace.scratch.glob("pg-*"))
