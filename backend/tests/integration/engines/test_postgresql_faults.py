"""What others do to the database, the server and pg_dump while a dump is made, and what is then said."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
import pytest
from psycopg import sql

from hhh.core.errors import (
    Cancelled,
    EngineError,
    ScratchError,
    SourceUnreadable,
    TargetBusy,
    TargetUnreachable,
    ToolFailed,
)
from hhh.core.run import Progress, Unattended
from hhh.engines.base import DumpResult, Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.schemas.facts import PostgresqlFacts
from support.filesystems import SmallFilesystem
from support.ports import LOOPBACK
from support.postgres import PostgresServer, PrivatePostgres
from support.postgres_data import make_realistic_database
from support.postgres_dumps import dumping, listing, read_to_end, take_dump
from support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(any_postgres: PostgresServer) -> Iterator[str]:
    name = any_postgres.create_database()
    yield name
    any_postgres.drop_database(name)


@pytest.fixture
def other(any_postgres: PostgresServer, database: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else on the same database."""
    with any_postgres.connect(database) as connection:
        yield connection


@pytest.fixture
def watcher(any_postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with any_postgres.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


class CancellableRun:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def report(self, progress: Progress) -> None:
        pass

    def raise_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("The run was cancelled")


class HeldPgDump:
    """A folder with a pg_dump that waits, when it is to dump, until it is let go."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._go = folder / "go"
        self.started = folder / "started"
        self.bin_dir = folder / "bin"
        self.bin_dir.mkdir()
        program = self.bin_dir / "pg_dump"
        program.write_text(
            f'#!/bin/sh\nif [ "$1" != --version ]; then touch {self.started}; fi\n'
            f'while [ "$1" != --version ] && [ ! -e {self._go} ]; do sleep 0.01; done\n'
            f'exec {server.bin_dir}/pg_dump "$@"\n'
        )
        program.chmod(0o755)

    def wait_for_start(self) -> None:
        wait_until(self.started.exists, what="pg_dump")

    def let_go(self) -> None:
        self._go.touch()


@pytest.fixture
def held(tmp_path: Path, any_postgres: PostgresServer) -> HeldPgDump:
    folder = tmp_path / "held"
    folder.mkdir()
    return HeldPgDump(folder, any_postgres)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def whole_dump(engine: PostgresqlEngine, url: str, workplace: Workplace) -> DumpResult:
    with engine.dump(url, workplace, Unattended()) as dump:
        read_to_end(dump)
        return dump.finish()


def rows_of(result: DumpResult) -> dict[str, int]:
    assert isinstance(result.facts, PostgresqlFacts)
    return {table.name: table.rows for table in result.facts.tables}


def someone_waits_for_a_lock(watcher: psycopg.Connection[Any], database: str) -> bool:
    query = "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = %s AND NOT l.granted"
    return watcher.execute(query, [database]).fetchone() is not None


def our_sessions(watcher: psycopg.Connection[Any], database: str) -> list[int]:
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'hhh-backup' ORDER BY backend_start"
    )
    return [pid for (pid,) in watcher.execute(query, [database])]


def pg_dumps() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "pg_dump"]


def main_pg_dump() -> psutil.Process:
    alive = [child for child in pg_dumps() if child.status() != psutil.STATUS_ZOMBIE]
    [main] = [child for child in alive if "--no-privileges" in child.cmdline()]
    return main


def seconds_to_keepalive(port: int) -> float:
    """Until the kernel asks whether the other side of the connection from that port is alive; 0 where it won't.

    https://www.kernel.org/doc/Documentation/networking/proc_net_tcp.txt
    """
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, _, _, timer, *_ = line.split()
        kind, _, jiffies = timer.partition(":")
        if int(local.rpartition(":")[2], 16) == port and kind == "02":
            return int(jiffies, 16) / os.sysconf("SC_CLK_TCK")
    return 0


# ------------------------------------------------------------------------------------ consistency


def test_rows_put_in_after_a_truncate_are_in_facts_and_dump(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    thread: ThreadPoolExecutor,
    scratch: Path,
) -> None:
    other.execute("CREATE TABLE t AS SELECT 1 AS n")
    other.commit()
    other.execute("TRUNCATE t")
    other.execute("INSERT INTO t SELECT generate_series(1, 3)")
    taken = thread.submit(take_dump, any_postgres, any_postgres.url(database), scratch)
    wait_until(lambda: someone_waits_for_a_lock(watcher, database), what="the engine's lock")
    other.commit()
    archive, result = taken.result()
    assert rows_of(result) == {"t": 3}
    kept = scratch / "archive"
    kept.write_bytes(archive)
    assert "FROM stdin;\n1\n2\n3\n\\." in listing(any_postgres, kept)


def test_no_table_can_be_truncated_while_it_is_dumped(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], scratch: Path
) -> None:
    make_realistic_database(other, megabytes=8)
    with dumping(any_postgres, any_postgres.url(database), scratch) as dump:
        other.execute("SET lock_timeout = '20ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("TRUNCATE order_items")
        other.rollback()
        other.execute("DELETE FROM order_items")
        other.commit()
        read_to_end(dump)
        assert rows_of(dump.finish())["order_items"] > 0


@pytest.mark.parametrize("change", ["DROP TABLE t", "ALTER TABLE t RENAME TO renamed", "CREATE TABLE appeared (a int)"])
def test_tables_that_come_and_go_while_others_are_locked_are_looked_at_again(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    thread: ThreadPoolExecutor,
    scratch: Path,
    change: str,
) -> None:
    other.execute("CREATE TABLE a (n int); CREATE TABLE t (n int)")
    other.commit()
    other.execute("LOCK TABLE a")
    other.execute(change)
    taken = thread.submit(take_dump, any_postgres, any_postgres.url(database), scratch)
    wait_until(lambda: someone_waits_for_a_lock(watcher, database), what="the engine's lock")
    other.commit()
    names = other.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall()
    assert set(rows_of(taken.result()[1])) == {name for (name,) in names}


def test_work_that_begins_as_an_interrupt_comes_does_not_go_on(
    any_postgres: PostgresServer, database: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhh.engines.postgresql.connection import Session, open_connection, passfile
    from hhh.engines.postgresql.url import parse_url

    begun, done = threading.Event(), []
    submit = ThreadPoolExecutor.submit

    def interrupted(*arguments: Any) -> None:
        submit(*arguments)
        begun.wait()
        raise KeyboardInterrupt

    def work() -> None:
        begun.set()
        done.append(session.rows(sql.SQL("SELECT pg_sleep(10)")))

    address = parse_url(any_postgres.url(database))
    with (
        passfile(address, scratch) as file,
        contextlib.closing(Session(open_connection(address, file))) as session,
        monkeypatch.context() as patch,
    ):
        patch.setattr(ThreadPoolExecutor, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.submit(work)
    assert done == []


def test_a_sequence_that_became_a_view_is_not_read(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], scratch: Path
) -> None:
    from hhh.engines.postgresql import snapshot
    from hhh.engines.postgresql.connection import Session, open_connection, passfile
    from hhh.engines.postgresql.url import parse_url

    other.execute("CREATE SEQUENCE s")
    other.commit()
    address = parse_url(any_postgres.url(database))
    with passfile(address, scratch) as file, contextlib.closing(Session(open_connection(address, file))) as session:
        listed = snapshot._list(session)
        other.execute(
            """
            DROP SEQUENCE s;
            CREATE FUNCTION trap() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'trap'; END $$;
            CREATE VIEW s AS SELECT trap() AS last_value, true AS is_called
            """
        )
        other.commit()
        with pytest.raises(snapshot._Moved):
            snapshot._read_chunk(session, listed)


def test_a_sequence_that_is_made_anew_while_it_is_read_is_looked_at_again(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], scratch: Path
) -> None:
    from hhh.engines.postgresql.connection import Session, open_connection, passfile
    from hhh.engines.postgresql.snapshot import hold_snapshot
    from hhh.engines.postgresql.url import parse_url

    class SessionThatMeetsAChange(Session):
        changed = False

        def rows(self, query: sql.SQL | sql.Composed, parameters: Mapping[str, Any] | None = None) -> list[Any]:
            if "PREPARE" in query.as_string() and not self.changed:
                other.execute("DROP SEQUENCE s; CREATE SEQUENCE s START 7")
                other.commit()
                self.changed = True
            return super().rows(query, parameters)

    other.execute("CREATE SEQUENCE s")
    other.commit()
    address = parse_url(any_postgres.url(database))
    with (
        passfile(address, scratch) as file,
        contextlib.closing(SessionThatMeetsAChange(open_connection(address, file))) as session,
    ):
        snapshot = hold_snapshot(session, lock_timeout=5)
    assert session.changed
    assert [sequence.last_value for sequence in snapshot.sequences] == [7]


def test_sequences_that_were_read_are_not_kept_locked(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    scratch: Path,
) -> None:
    other.execute("CREATE TABLE t (n serial)")
    other.commit()
    with dumping(any_postgres, any_postgres.url(database), scratch):
        [holder] = our_sessions(watcher, database)[:1]
        locked = other.execute(
            "SELECT relname FROM pg_locks JOIN pg_class c ON c.oid = relation WHERE pid = %s AND c.oid >= 16384",
            [holder],
        )
        assert locked.fetchall() == [("t",)]


def test_a_server_whose_machine_is_gone_is_noticed_within_minutes(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], scratch: Path
) -> None:
    other.execute("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20_000)")
    other.commit()
    with dumping(any_postgres, any_postgres.url(database), scratch):
        [connection] = main_pg_dump().net_connections("tcp4")
        wait_until(lambda: 0 < seconds_to_keepalive(connection.laddr.port) <= 60, what="a timer of a minute")


# ------------------------------------------------------------------------------------------ locks


def test_a_lock_that_is_not_granted_in_time_is_said_so(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], scratch: Path
) -> None:
    other.execute("CREATE TABLE t (n int)")
    other.commit()
    other.execute("LOCK TABLE t")
    workplace = Workplace(scratch, any_postgres.bin_dir)
    with pytest.raises(TargetBusy, match="canceling statement due to lock timeout"):
        whole_dump(PostgresqlEngine(lock_timeout=0.05), any_postgres.url(database), workplace)


def test_a_change_that_queues_up_between_our_lock_and_pg_dumps_goes_first_and_the_dump_comes_after(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    held: HeldPgDump,
    scratch: Path,
) -> None:
    other.execute("CREATE TABLE t AS SELECT 1 AS n")
    other.commit()

    def alter() -> None:
        other.execute("ALTER TABLE t ADD COLUMN more int")
        other.commit()

    engine = PostgresqlEngine(dump_lock_timeout=0.05)
    workplace = Workplace(scratch, held.bin_dir)
    with ThreadPoolExecutor(max_workers=2) as threads:
        taken = threads.submit(whole_dump, engine, any_postgres.url(database), workplace)
        held.wait_for_start()
        change = threads.submit(alter)
        wait_until(lambda: someone_waits_for_a_lock(watcher, database), what="the change")
        held.let_go()
        change.result()
        result = taken.result()
    assert rows_of(result) == {"t": 1}
    assert "more integer" in listing(any_postgres, result.attachments[0].path)


def test_pg_dump_that_never_gets_its_locks_is_said_so(
    any_postgres: PostgresServer, database: str, tmp_path: Path, scratch: Path
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {any_postgres.bin_dir}/pg_dump --version\n'
        "echo 'pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout' >&2\n"
        "echo 'pg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(TargetBusy, match="waits for locks: try again later"):
        whole_dump(PostgresqlEngine(), any_postgres.url(database), Workplace(scratch, tmp_path))


# ---------------------------------------------------------------------------------- who may read


def test_a_wrong_password_is_said_in_the_servers_words(
    any_postgres: PostgresServer, database: str, scratch: Path
) -> None:
    url = any_postgres.url(database, user="postgres", password="wrong-secret")
    with pytest.raises(TargetUnreachable, match='password authentication failed for user "postgres"') as caught:
        whole_dump(PostgresqlEngine(), url, Workplace(scratch, any_postgres.bin_dir))
    assert "wrong-secret" not in str(caught.value)
    assert list(scratch.iterdir()) == []


def test_a_missing_database_and_a_closed_port_are_unreachable(any_postgres: PostgresServer, scratch: Path) -> None:
    workplace = Workplace(scratch, any_postgres.bin_dir)
    with pytest.raises(TargetUnreachable, match='database "nowhere" does not exist'):
        PostgresqlEngine().inspect(any_postgres.url("nowhere"), workplace)
    with pytest.raises(TargetUnreachable, match=r"^No connection: connection to .* Connection refused") as caught:
        PostgresqlEngine().inspect("postgresql://u@127.0.0.1:1/d", workplace)
    assert caught.value.hint == "no PostgreSQL answers there: start it, or correct the host and the port"


@pytest.fixture
def stranger(any_postgres: PostgresServer, database: str) -> Iterator[str]:
    """The URL of a role that owns nothing and may sign in."""
    role = f"stranger_{os.getpid()}"
    any_postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    yield any_postgres.url(database, user=role, password="p")
    any_postgres.execute(f"DROP OWNED BY {role}", database=database)
    any_postgres.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("made", ["CREATE TABLE public.closed (a int)", "CREATE SEQUENCE public.closed"])
def test_what_the_role_may_not_read_is_named_with_the_grant_that_helps(
    any_postgres: PostgresServer, other: psycopg.Connection[Any], stranger: str, scratch: Path, made: str
) -> None:
    other.execute("CREATE TABLE open (a int); GRANT SELECT ON open TO PUBLIC")
    other.execute(made)
    other.commit()
    workplace = Workplace(scratch, any_postgres.bin_dir)
    told = r"may not read public.closed .*GRANT pg_read_all_data"
    with pytest.raises(SourceUnreadable, match=told):
        whole_dump(PostgresqlEngine(), stranger, workplace)
    with pytest.raises(SourceUnreadable, match=told):
        PostgresqlEngine().inspect(stranger, workplace)


def test_pg_read_all_data_is_enough_and_the_system_identifier_comes_if_it_may_be_asked(
    any_postgres: PostgresServer, other: psycopg.Connection[Any], stranger: str, scratch: Path
) -> None:
    other.execute("CREATE TABLE closed AS SELECT 1 AS n")
    other.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(sql.Identifier(f"stranger_{os.getpid()}")))
    other.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC")
    other.commit()
    _, result = take_dump(any_postgres, stranger, scratch)
    assert rows_of(result) == {"closed": 1}
    assert isinstance(result.facts, PostgresqlFacts)
    assert result.facts.system_identifier is None


def test_rows_hidden_by_row_level_security_are_not_silently_left_out(
    any_postgres: PostgresServer, other: psycopg.Connection[Any], stranger: str, scratch: Path
) -> None:
    other.execute("CREATE TABLE guarded (a int); GRANT SELECT ON guarded TO PUBLIC")
    other.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON guarded USING (a = 1)")
    other.commit()
    with pytest.raises(SourceUnreadable, match=r"Row-level security hides rows of public.guarded.*BYPASSRLS"):
        whole_dump(PostgresqlEngine(), stranger, Workplace(scratch, any_postgres.bin_dir))


def test_a_large_object_that_may_not_be_read_fails_the_dump_in_pg_dumps_words(
    any_postgres: PostgresServer, other: psycopg.Connection[Any], stranger: str, scratch: Path
) -> None:
    other.execute("SELECT lo_from_bytea(0, 'closed')")
    other.commit()
    with pytest.raises(
        ToolFailed, match=r"pg_dump failed with status 1: pg_dump: error: .*permission denied for large object"
    ):
        whole_dump(PostgresqlEngine(), stranger, Workplace(scratch, any_postgres.bin_dir))


# ------------------------------------------------------------------------------ things that end


def test_a_server_killed_in_the_middle_of_a_dump_is_an_error_with_its_words(
    private_postgres: PrivatePostgres, scratch: Path
) -> None:
    server = private_postgres()
    with server.connect() as connection:
        make_realistic_database(connection, megabytes=10)
    with dumping(server, server.url(), scratch) as dump:
        assert dump.stdout.read(1)
        server.kill_postmaster()
        read_to_end(dump)
        with pytest.raises(EngineError, match=r"server closed the connection|terminating connection"):
            dump.finish()
    server.start()
    assert take_dump(server, server.url(), scratch)[0].startswith(b"PGDMP")


def test_a_pg_dump_killed_in_the_middle_is_an_error(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], scratch: Path
) -> None:
    make_realistic_database(other, megabytes=10)
    with dumping(any_postgres, any_postgres.url(database), scratch) as dump:
        main_pg_dump().kill()
        read_to_end(dump)
        with pytest.raises(ToolFailed, match="pg_dump was ended by SIGKILL"):
            dump.finish()


def test_facts_that_fail_end_the_dump_and_are_the_reason_given(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    held: HeldPgDump,
    thread: ThreadPoolExecutor,
    scratch: Path,
) -> None:
    make_realistic_database(other, megabytes=10)
    workplace = Workplace(scratch, held.bin_dir)
    taken = thread.submit(whole_dump, PostgresqlEngine(), any_postgres.url(database), workplace)
    held.wait_for_start()
    [holder] = our_sessions(watcher, database)
    os.kill(holder, signal.SIGSTOP)  # until pg_dump has imported the snapshot
    watcher.execute("SELECT pg_terminate_backend(%s)", [holder])
    held.let_go()
    wait_until(lambda: len(our_sessions(watcher, database)) > 1, what="pg_dump's session")
    wait_until(lambda: (scratch / "schema.dump").exists() and (scratch / "schema.dump").stat().st_size, what="a dump")
    os.kill(holder, signal.SIGCONT)
    with pytest.raises(TargetUnreachable, match="terminating connection due to administrator command"):
        taken.result()


def test_a_lost_snapshot_holder_fails_the_dump(
    any_postgres: PostgresServer, database: str, watcher: psycopg.Connection[Any], scratch: Path
) -> None:
    with dumping(any_postgres, any_postgres.url(database), scratch) as dump:
        read_to_end(dump)
        watcher.execute("SELECT pg_terminate_backend(%s)", [our_sessions(watcher, database)[0]])
        with pytest.raises(TargetUnreachable, match=r"terminating connection|server closed"):
            dump.finish()


def test_a_cancelled_run_does_not_wait_for_locks(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    thread: ThreadPoolExecutor,
    scratch: Path,
) -> None:
    other.execute("CREATE TABLE t (n int)")
    other.commit()
    other.execute("LOCK TABLE t")
    run = CancellableRun()

    def dump() -> None:
        with dumping(any_postgres, any_postgres.url(database), scratch, run=run):
            pytest.fail("the table is locked")

    taken = thread.submit(dump)
    wait_until(lambda: someone_waits_for_a_lock(watcher, database), what="the engine's lock")
    run.cancelled.set()
    with pytest.raises(Cancelled):
        taken.result()
    assert not someone_waits_for_a_lock(watcher, database)


def test_a_cancelled_run_does_not_wait_for_who_lets_it_sign_in_and_then_is_silent(
    any_postgres: PostgresServer, thread: ThreadPoolExecutor, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hhh.engines.postgresql.connection._CANCEL_SECONDS", 0.1)
    run = CancellableRun()

    def dump(url: str) -> None:
        with dumping(any_postgres, url, scratch, run=run):
            pytest.fail("nobody answers")

    with PausedPooler(any_postgres) as pooler:
        taken = thread.submit(dump, pooler.url)
        assert pooler.asked.wait(timeout=30)
        run.cancelled.set()
        with pytest.raises(Cancelled):
            taken.result(timeout=30)


class PausedPooler:
    """Hands on what signs a client in, and keeps its first query for itself; who comes after that is turned away."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._listener = socket.create_server((LOOPBACK, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.asked = threading.Event()
        port = self._listener.getsockname()[1]
        self.url = server.url().replace(f":{server.port}/", f":{port}/") + "?sslmode=disable&gssencmode=disable"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=30)
        self._listener.close()

    def _serve(self) -> None:
        with (
            self._listener.accept()[0] as client,
            socket.create_connection((self._server.host, self._server.port)) as server,
        ):
            self._listener.close()
            back = threading.Thread(target=hand_on, args=(server, client), daemon=True)
            back.start()
            # A start-up message begins with its length, below 16 MiB; a password's with its type.
            while (message := client.recv(1 << 16))[:1] in {b"\0", b"p"}:
                server.sendall(message)
            self.asked.set()
            client.recv(1)  # until the client goes
            server.shutdown(socket.SHUT_RDWR)
            back.join()


def hand_on(one: socket.socket, other: socket.socket) -> None:
    """Until the end of the one, or of the other."""
    with contextlib.suppress(OSError):
        while piece := one.recv(1 << 16):
            other.sendall(piece)


def test_leaving_the_block_early_leaves_nothing_behind(
    any_postgres: PostgresServer,
    database: str,
    other: psycopg.Connection[Any],
    watcher: psycopg.Connection[Any],
    scratch: Path,
) -> None:
    make_realistic_database(other, megabytes=10)
    threads = threading.active_count()

    def begin_and_be_interrupted() -> None:
        with dumping(any_postgres, any_postgres.url(database), scratch) as dump:
            assert dump.stdout.read(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_and_be_interrupted()
    assert pg_dumps() == []
    assert threading.active_count() == threads
    assert not (scratch / "pgpass").exists()
    wait_until(lambda: our_sessions(watcher, database) == [], what="the server's end of our sessions")


def test_leaving_the_block_does_not_wait_for_a_server_that_hangs(
    any_postgres: PostgresServer,
    database: str,
    watcher: psycopg.Connection[Any],
    held: HeldPgDump,
    thread: ThreadPoolExecutor,
    scratch: Path,
) -> None:
    def begin_and_leave() -> None:
        workplace = Workplace(scratch, held.bin_dir)
        with PostgresqlEngine().dump(any_postgres.url(database), workplace, Unattended()) as dump:
            read_to_end(dump)

    left = thread.submit(begin_and_leave)
    held.wait_for_start()
    [holder] = our_sessions(watcher, database)
    os.kill(holder, signal.SIGSTOP)
    try:
        held.let_go()
        left.result(timeout=30)
    finally:
        os.kill(holder, signal.SIGCONT)


def test_a_scratch_folder_that_can_not_be_written_is_said_so(any_postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    workplace = Workplace(tmp_path / "file" / "scratch", any_postgres.bin_dir)
    with pytest.raises(ScratchError, match="can't be written"):
        PostgresqlEngine().inspect(any_postgres.url(), workplace)


def test_a_full_scratch_is_said_so_and_not_blamed_on_the_database(
    any_postgres: PostgresServer, database: str, other: psycopg.Connection[Any], small_filesystem: SmallFilesystem
) -> None:
    for number in range(200):
        other.execute(sql.SQL("CREATE TABLE {} (a int)").format(sql.Identifier(f"table {number}")))
    other.commit()
    workplace = Workplace(small_filesystem(16_384), any_postgres.bin_dir)
    with pytest.raises(ScratchError, match=r"No space left on device.*HHH_SCRATCH_DIR"):
        whole_dump(PostgresqlEngine(), any_postgres.url(database), workplace)
