import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from support.postgres import PostgresServer, PostgresServers, PrivatePostgres
from support.postgres_installs import PACKAGED_MAJORS, copy_package, find_installs


def test_the_packaged_majors_are_always_there() -> None:
    assert set(PACKAGED_MAJORS) <= set(find_installs())


def test_a_server_is_of_the_major_it_says(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        assert connection.info.server_version // 10_000 == postgres.major
        assert connection.info.encoding == "utf-8"


def test_its_programs_are_of_the_same_major(postgres: PostgresServer) -> None:
    answer = subprocess.run([postgres.bin_dir / "pg_dump", "--version"], check=True, capture_output=True, text=True)
    assert f" {postgres.major}." in answer.stdout


def test_a_server_does_not_run_as_root(any_postgres: PostgresServer) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: the server runs as ourselves")
    assert any_postgres.data_dir.stat().st_uid != 0


def test_the_password_is_asked_for_on_tcp_and_socket(any_postgres: PostgresServer) -> None:
    for host in (any_postgres.host, str(any_postgres.socket_dir)):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(host=host, port=any_postgres.port, user="postgres", password="wrong", dbname="postgres")
        psycopg.connect(
            host=host, port=any_postgres.port, user="postgres", password=any_postgres.password, dbname="postgres"
        ).close()


def test_the_password_is_not_in_the_repr(any_postgres: PostgresServer) -> None:
    assert any_postgres.password not in repr(any_postgres)


def test_the_servers_own_tools_run_with_its_environment(any_postgres: PostgresServer) -> None:
    answer = subprocess.run(
        [any_postgres.bin_dir / "psql", "-XAtc", "select current_user"],
        check=True,
        capture_output=True,
        text=True,
        env=any_postgres.environment(),
    )
    assert answer.stdout == "postgres\n"


@pytest.mark.parametrize("name", [None, 'od"d; drop --', "spaß /@?", "line\nbreak"])
def test_databases_of_any_name_are_made_reached_and_dropped(any_postgres: PostgresServer, name: str | None) -> None:
    made = any_postgres.create_database(name)
    with any_postgres.connect(made) as connection:
        assert connection.execute("select current_database()").fetchone() == (made,)
    any_postgres.drop_database(made)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        any_postgres.connect(made)


def test_a_fresh_database_is_empty(postgres: PostgresServer, postgres_database: str) -> None:
    with postgres.connect(postgres_database) as connection:
        count = connection.execute("select count(*) from pg_class where relnamespace = 'public'::regnamespace")
        assert count.fetchone() == (0,)


def test_a_shared_server_is_started_once(postgres_servers: PostgresServers) -> None:
    assert postgres_servers.shared(16) is postgres_servers.shared(16)


def test_a_major_that_is_not_here_is_skipped_with_a_reason(postgres_servers: PostgresServers) -> None:
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL 9 is not installed"):
        postgres_servers.shared(9)


def test_a_private_server_survives_the_death_of_its_postmaster(private_postgres: PrivatePostgres) -> None:
    server = private_postgres()
    server.execute("create table kept as select 1 as one")
    connection = server.connect()
    server.kill_postmaster()
    assert not server.is_running()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    server.start()
    with server.connect() as again:
        assert again.execute("select one from kept").fetchone() == (1,)


def test_a_shared_server_can_not_be_killed(any_postgres: PostgresServer) -> None:
    with pytest.raises(RuntimeError, match="private_postgres"):
        any_postgres.kill_postmaster()
    assert any_postgres.is_running()


def test_a_private_server_has_the_settings_and_the_identity_asked_for(
    any_postgres: PostgresServer, private_postgres: PrivatePostgres
) -> None:
    server = private_postgres(settings={"max_connections": "17"}, own_identity=True)
    identifier = "select system_identifier from pg_control_system()"
    with server.connect() as ours, any_postgres.connect() as shared:
        assert ours.execute("show max_connections").fetchone() == ("17",)
        assert ours.execute(identifier).fetchone() != shared.execute(identifier).fetchone()


def test_a_server_that_can_not_start_says_why(private_postgres: PrivatePostgres) -> None:
    with pytest.raises(RuntimeError, match="unrecognized configuration parameter"):
        private_postgres(settings={"no_such_setting": "1"})


def test_a_copy_of_the_binaries_that_was_swept_in_part_is_made_whole(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_package(copy)
    swept = next(copy.rglob("initdb"))
    swept.unlink()
    copy_package(copy)
    assert subprocess.run([swept, "--version"], check=True, capture_output=True).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
