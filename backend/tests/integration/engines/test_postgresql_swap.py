"""A restored database takes its name, whoever is connected and whoever is killed meanwhile; and gives it back."""

import contextlib
import os
import random
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from psycopg import sql

from hhh.core.errors import Cancelled, EngineError, TargetBusy
from hhh.core.run import Progress, Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import administration, url_of
from hhh.engines.postgresql.names import before_name, restore_name
from hhh.engines.postgresql.properties import mark_acl_as_recorded, read_properties
from hhh.engines.postgresql.swap import PATIENT, Patience, discard, publish, published, remove_kept, undo
from hhh.engines.restoring import Destination, Published, RestoreMode
from support.postgres import PostgresServer, PrivatePostgres
from support.postgres_swap import content_of, databases_like, make_content, publishing
from support.waiting import wait_until

pytestmark = pytest.mark.postgres

#: Never connected, like those that a dump has.
SUBSCRIPTION = """
    CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = 'taken')
"""
IMPATIENT = Patience(tries=1, lock_timeout=0.2)


@dataclass
class Restored:
    """A live database that says ``old``, and beside it what was restored and says ``new``."""

    server: PostgresServer
    workplace: Workplace
    name: str = field(default_factory=lambda: f"live_{secrets.token_hex(4)}")
    destination: Destination = field(init=False)

    def __post_init__(self) -> None:
        self.destination = Destination(self.server.url(self.name), self.name, RestoreMode.REPLACE, "aaaaaaaa")
        make_content(self.server, self.name, "old")
        make_content(self.server, self.incoming, "new")

    @property
    def incoming(self) -> str:
        return restore_name(self.name, self.destination.token)

    def publish(self, *, patience: Patience = PATIENT) -> str:
        kept = publish(self.destination, self.workplace, Unattended(), patience=patience)
        assert kept is not None
        return kept

    def undo(self, kept: str, token: str) -> str:
        return undo(replace(self.destination, token=token), kept, self.workplace, Unattended())

    def as_role(self, role: str, password: str) -> None:
        self.destination = replace(self.destination, url=url_of(self.destination.url, self.name, role, password))

    def says(self, database: str | None = None) -> str:
        return content_of(self.server, database or self.name)

    def execute(self, statement: str) -> None:
        """A statement with the names of both databases: {live}, {incoming}."""
        names = {"live": sql.Identifier(self.name), "incoming": sql.Identifier(self.incoming)}
        self.server.execute(sql.SQL(statement).format(**names))

    def all_databases(self) -> list[str]:
        return databases_like(self.server, self.name[:40])

    def sessions_of_ours(self) -> list[Any]:
        with self.server.connect() as connection:
            return connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'hhh-backup'"
            ).fetchall()

    def remove(self) -> None:
        for name in self.all_databases():
            self.server.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name)))
            self.server.drop_database(name)


@pytest.fixture
def restored(any_postgres: PostgresServer, tmp_path: Path) -> Iterator[Restored]:
    restored = Restored(any_postgres, Workplace(tmp_path))
    yield restored
    restored.remove()


@pytest.fixture
def role(any_postgres: PostgresServer, restored: Restored) -> Iterator[str]:
    """A role that owns both databases and may create databases, as which the swap is done."""
    name = f"plain_{secrets.token_hex(4)}"
    any_postgres.execute(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD 'word'")
    restored.execute(f"ALTER DATABASE {{live}} OWNER TO {name}")
    restored.execute(f"ALTER DATABASE {{incoming}} OWNER TO {name}")
    restored.as_role(name, "word")
    yield name
    restored.remove()
    any_postgres.execute(f"DROP ROLE {name}")


@pytest.fixture
def other_role(any_postgres: PostgresServer, restored: Restored) -> Iterator[str]:
    """Somebody else, who may do nothing so far."""
    name = f"other_{secrets.token_hex(4)}"
    any_postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'word'")
    yield name
    restored.remove()
    any_postgres.execute(f"DROP ROLE {name}")


class Clients:
    """A pool that asks a database without pause, and connects again as soon as it loses a connection."""

    def __init__(self, url: str, *, number: int = 6) -> None:
        self._url = url
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[each % 2 == 0]) for each in range(number)]
        #: What each query said, in each thread's own order.
        self.heard: dict[int, list[str]] = {}
        self.unexpected: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def wait_until_all_hear(self, said: str) -> None:
        def all_do() -> bool:
            heard = list(self.heard.values())
            return len(heard) == len(self._threads) and all(each[-1] == said for each in heard)

        wait_until(all_do, seconds=30, what=f"all clients to hear {said}")

    def _ask(self, stays: bool) -> None:
        while not self._enough.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=20) as connection:
                    self._hear(connection)
                    while stays and not self._enough.is_set():
                        self._hear(connection)
            except psycopg.OperationalError:
                continue  # its session was ended, or the name was another database's while it signed in
            except psycopg.Error as error:
                self.unexpected.append(str(error))

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        [(said,)] = connection.execute("SELECT said FROM content")
        self.heard.setdefault(threading.get_ident(), []).append(said)


def changes(heard: list[str]) -> list[str]:
    """What was heard, without repetitions."""
    return [said for number, said in enumerate(heard) if number == 0 or heard[number - 1] != said]


def test_clients_that_connect_again_and_again_see_the_old_or_the_new_database_and_nothing_else(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    restored = Restored(postgres, Workplace(tmp_path))
    with Clients(postgres.url(restored.name)) as clients:
        clients.wait_until_all_hear("old")
        kept = restored.publish()
        clients.wait_until_all_hear("new")
        kept_again = restored.undo(kept, "bbbbbbbb")
        clients.wait_until_all_hear("old")
    assert clients.unexpected == []
    assert [changes(heard) for heard in clients.heard.values()] == [["old", "new", "old"]] * 6
    assert kept_again == before_name(restored.name, "bbbbbbbb")
    restored.remove()


def test_what_was_replaced_is_kept_closed_with_its_rows(restored: Restored) -> None:
    kept = restored.publish()
    assert kept == before_name(restored.name, "aaaaaaaa")
    assert restored.all_databases() == [restored.name, kept]
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        restored.says(kept)
    restored.server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(kept)))
    assert (restored.says(), restored.says(kept)) == ("new", "old")


def test_an_undo_can_be_undone(restored: Restored) -> None:
    kept = restored.publish()
    kept_by_undo = restored.undo(kept, "bbbbbbbb")
    assert restored.says() == "old"
    restored.undo(kept_by_undo, "cccccccc")
    assert restored.says() == "new"
    assert restored.all_databases() == [restored.name, before_name(restored.name, "cccccccc")]


@pytest.mark.parametrize("name", ["x" * 63, "ö\"%s;--'{}\\ \n" * 3, "🦊" * 15 + "abc", "UPPER lower"])
def test_databases_of_any_name_are_swapped_back_and_forth(
    any_postgres: PostgresServer, tmp_path: Path, name: str
) -> None:
    restored = Restored(any_postgres, Workplace(tmp_path), name)
    kept = restored.undo(restored.publish(), "bbbbbbbb")
    assert restored.says() == "old"
    remove_kept(restored.destination, kept, restored.workplace)
    assert restored.all_databases() == [name]
    restored.remove()


@contextlib.contextmanager
def holding(server: PostgresServer, database: str) -> Iterator[None]:
    """Somebody changes something of a database, and is not done yet: who renames it waits."""
    with server.connect() as connection:
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS 'busy'").format(sql.Identifier(database)))
        yield
        connection.rollback()


def someone_waits_for_a_database(server: PostgresServer) -> bool:
    with server.connect() as connection:
        return bool(
            connection.execute("""SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
                                     AND classid = 'pg_database'::regclass""").fetchall()
        )


@pytest.mark.parametrize("waits_for", ["live", "incoming"])
def test_the_live_database_is_open_and_whole_when_the_process_is_killed_while_a_rename_waits(
    restored: Restored, waits_for: str
) -> None:
    before = restored.all_databases()
    database = {"live": restored.name, "incoming": restored.incoming}[waits_for]
    with (
        holding(restored.server, database),
        publishing(restored.destination, restored.workplace.scratch) as process,
    ):
        wait_until(lambda: someone_waits_for_a_database(restored.server), what="the rename")
        process.kill()
    assert restored.says() == "old"
    assert restored.all_databases() == before


def test_at_whatever_moment_the_process_is_killed_the_name_leads_to_the_old_or_to_the_new_one(
    restored: Restored,
) -> None:
    moments = random.Random(5)
    kept = before_name(restored.name, "aaaaaaaa")
    for _ in range(6):
        with publishing(restored.destination, restored.workplace.scratch) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moments.uniform(0, 0.25))
            process.kill()
        wait_until(lambda: not restored.sessions_of_ours(), what="the server to see that the process is gone")
        if restored.says() == "old":
            assert restored.all_databases() == [restored.name, restored.incoming]
        else:
            assert restored.all_databases() == [restored.name, kept]
            restored.execute("ALTER DATABASE {live} RENAME TO {incoming}")  # and all again
            restored.server.execute(
                sql.SQL("ALTER DATABASE {kept} ALLOW_CONNECTIONS true; ALTER DATABASE {kept} RENAME TO {live}").format(
                    kept=sql.Identifier(kept), live=sql.Identifier(restored.name)
                )
            )


def test_a_database_that_somebody_holds_is_left_as_it_is(restored: Restored) -> None:
    with holding(restored.server, restored.name), pytest.raises(TargetBusy, match="lock timeout"):
        restored.publish(patience=IMPATIENT)
    assert restored.says() == "old"
    assert restored.publish()


def test_a_session_that_does_not_end_stops_the_swap_and_the_database_stays_open(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    restored = Restored(private_postgres(), Workplace(tmp_path))
    with restored.server.connect(restored.name) as stubborn:
        os.kill(stubborn.info.backend_pid, signal.SIGSTOP)
        try:
            with pytest.raises(TargetBusy, match="being accessed by other users"):
                restored.publish(patience=IMPATIENT)
        finally:
            os.kill(stubborn.info.backend_pid, signal.SIGCONT)
    assert restored.says() == "old"


def test_a_cancelled_run_swaps_nothing(restored: Restored) -> None:
    class CancelledRun:
        def report(self, progress: Progress) -> None:
            pass

        def raise_if_cancelled(self) -> None:
            raise Cancelled("The run was cancelled")

    with pytest.raises(Cancelled):
        publish(restored.destination, restored.workplace, CancelledRun())
    assert restored.says() == "old"


def test_prepared_transactions_are_named_and_nobody_is_disturbed(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    restored = Restored(private_postgres(settings={"max_prepared_transactions": "2"}), Workplace(tmp_path))
    with restored.server.connect(restored.name) as session:
        with restored.server.connect(restored.name) as preparing:
            preparing.execute("INSERT INTO content VALUES ('more'); PREPARE TRANSACTION 'half done'")
        with pytest.raises(TargetBusy, match=r"'half done'.*ROLLBACK PREPARED"):
            restored.publish()
        assert session.execute("SELECT 1").fetchall() == [(1,)]


def test_without_another_database_to_work_from_it_says_so(private_postgres: PrivatePostgres, tmp_path: Path) -> None:
    restored = Restored(private_postgres(), Workplace(tmp_path))
    for statement in (
        "CREATE ROLE plain LOGIN CREATEDB PASSWORD 'word'",
        "ALTER DATABASE {live} OWNER TO plain",
        "ALTER DATABASE {incoming} OWNER TO plain",
        "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    ):
        restored.execute(statement)
    restored.as_role("plain", "word")
    with pytest.raises(EngineError, match="GRANT CONNECT ON DATABASE postgres"):
        restored.publish()
    assert restored.says() == "old"


def properties(restored: Restored, database: str) -> dict[str, Any]:
    """What hangs on a database, in plain words, without its name."""
    with restored.server.connect() as connection:
        [(oid,)] = connection.execute("SELECT oid::int8 FROM pg_database WHERE datname = %s", [database])
        found = read_properties(connection, oid)
    return {
        "owner": found.owner,
        "limit": found.connection_limit,
        "template": found.is_template,
        "open": found.allows_connections,
        "comment": found.comment,
        "grants": found.grants,
        "settings": found.settings,
    }


def test_what_hangs_on_the_live_database_moves_along_and_back(restored: Restored, other_role: str) -> None:
    for statement in (
        f"ALTER DATABASE {{live}} OWNER TO {other_role}",
        "ALTER DATABASE {live} CONNECTION LIMIT 50 IS_TEMPLATE true",
        "COMMENT ON DATABASE {live} IS 'it''s the shop'",
        "REVOKE ALL ON DATABASE {live} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {live} TO pg_monitor WITH GRANT OPTION",
        """ALTER DATABASE {live} SET search_path TO "$user", 'a "b", c', public""",
        "ALTER DATABASE {live} SET work_mem TO '5MB'",
        "ALTER DATABASE {live} SET \"TimeZone\" TO 'Europe/Zurich'",
        "ALTER DATABASE {live} SET shop.colour TO 'blue; \"'",
        f"ALTER ROLE {other_role} IN DATABASE {{live}} SET search_path TO ''",
        "GRANT TEMPORARY ON DATABASE {incoming} TO pg_read_all_data",
        "ALTER DATABASE {incoming} SET work_mem TO '7MB'",
        "ALTER DATABASE {incoming} SET maintenance_work_mem TO '70MB'",
    ):
        restored.execute(statement)
    was = properties(restored, restored.name)
    assert len(was["settings"]) == 5
    kept = restored.publish()
    expected = was | {"settings": was["settings"] | {(None, "maintenance_work_mem"): "70MB"}}
    assert properties(restored, restored.name) == expected
    assert properties(restored, kept) == was | {"open": False, "template": False}
    restored.execute("COMMENT ON DATABASE {live} IS 'changed since'")
    restored.undo(kept, "bbbbbbbb")
    assert properties(restored, restored.name) == expected | {"comment": "changed since"}


def test_a_live_database_without_privileges_of_its_own_opens_the_new_one_to_all(
    restored: Restored, other_role: str
) -> None:
    restored.execute("REVOKE CONNECT, TEMPORARY ON DATABASE {incoming} FROM PUBLIC")
    restored.publish()
    with psycopg.connect(restored.server.url(restored.name, user=other_role, password="word")) as connection:
        connection.execute("CREATE TEMPORARY TABLE t ()")


class TestANewDatabase:
    @pytest.fixture
    def restored(self, any_postgres: PostgresServer, tmp_path: Path) -> Iterator[Restored]:
        restored = Restored(any_postgres, Workplace(tmp_path))
        restored.server.drop_database(restored.name)
        restored.destination = replace(restored.destination, mode=RestoreMode.NEW, url=restored.server.url("postgres"))
        restored.execute("REVOKE CONNECT, TEMPORARY ON DATABASE {incoming} FROM PUBLIC")
        yield restored
        restored.remove()

    def test_takes_its_name_and_lets_everybody_in_as_any_new_database_does(
        self, restored: Restored, other_role: str
    ) -> None:
        assert publish(restored.destination, restored.workplace, Unattended()) is None
        assert (restored.says(), restored.all_databases()) == ("new", [restored.name])
        with psycopg.connect(restored.server.url(restored.name, user=other_role, password="word")) as connection:
            connection.execute("CREATE TEMPORARY TABLE t ()")

    def test_lets_in_whom_the_backup_recorded(self, restored: Restored, other_role: str) -> None:
        restored.execute(f"GRANT CONNECT ON DATABASE {{incoming}} TO {other_role}")
        with restored.server.connect(autocommit=True) as connection:
            mark_acl_as_recorded(connection, restored.incoming)
        publish(restored.destination, restored.workplace, Unattended())
        grants = properties(restored, restored.name)["grants"]
        assert {grant.grantee for grant in grants} == {"postgres", other_role}

    def test_stays_closed_if_the_backup_recorded_that_it_was(self, restored: Restored) -> None:
        with restored.server.connect(autocommit=True) as connection:
            mark_acl_as_recorded(connection, restored.incoming)
        publish(restored.destination, restored.workplace, Unattended())
        found = properties(restored, restored.name)
        assert {grant.grantee for grant in found["grants"]} == {"postgres"}
        assert found["settings"] == {}

    def test_does_not_take_a_name_that_somebody_was_given_meanwhile(self, restored: Restored) -> None:
        make_content(restored.server, restored.name, "other")
        with pytest.raises(EngineError, match=f"There is a database {restored.name} by now"):
            publish(restored.destination, restored.workplace, Unattended())
        assert restored.says() == "other"

    def test_of_which_nothing_was_built_is_an_error(self, restored: Restored) -> None:
        restored.server.drop_database(restored.incoming)
        with pytest.raises(EngineError, match="Nothing was restored"):
            publish(restored.destination, restored.workplace, Unattended())


def test_tables_in_a_database_that_existed_need_no_publishing(restored: Restored) -> None:
    restored.server.drop_database(restored.incoming)
    destination = replace(restored.destination, mode=RestoreMode.TABLES)
    assert publish(destination, restored.workplace, Unattended()) is None
    assert restored.says() == "old"


class TestAPlainRole:
    def test_that_owns_both_and_may_create_databases_swaps(self, restored: Restored, role: str) -> None:
        with psycopg.connect(restored.destination.url):
            kept = restored.publish()
        assert restored.says() == "new"
        remove_kept(restored.destination, kept, restored.workplace)

    def test_that_may_not_end_the_sessions_of_others_says_so_and_disturbs_nobody(
        self, restored: Restored, role: str, other_role: str
    ) -> None:
        url = restored.server.url(restored.name, user=other_role, password="word")
        with psycopg.connect(url, autocommit=True) as session:
            with pytest.raises(EngineError, match=f"{other_role}.*pg_signal_backend"):
                restored.publish()
            assert session.execute("SELECT 1").fetchall() == [(1,)]
            restored.server.execute(f"GRANT pg_signal_backend TO {role}")
            assert restored.publish()

    def test_that_does_not_own_the_live_database_says_so(self, restored: Restored, role: str) -> None:
        restored.execute("ALTER DATABASE {live} OWNER TO postgres")
        with pytest.raises(EngineError, match=f"does not own the database {restored.name}"):
            restored.publish()
        assert restored.says() == "old"

    def test_without_the_right_to_create_databases_says_so(self, restored: Restored, role: str) -> None:
        restored.server.execute(f"ALTER ROLE {role} NOCREATEDB")
        with pytest.raises(EngineError, match="CREATEDB"):
            restored.publish()
        assert restored.says() == "old"

    def test_that_may_not_set_what_was_set_for_others_swaps_only_if_that_is_accepted(
        self, restored: Restored, role: str, other_role: str
    ) -> None:
        restored.execute(f"ALTER ROLE {other_role} IN DATABASE {{live}} SET work_mem TO '5MB'")
        restored.execute("ALTER DATABASE {live} SET maintenance_work_mem TO '5MB'")
        with pytest.raises(EngineError, match="permission denied"):
            restored.publish()
        assert restored.says() == "old"
        restored.destination = replace(restored.destination, acknowledged=frozenset({"settings"}))
        restored.publish()
        assert properties(restored, restored.name)["settings"] == {(None, "maintenance_work_mem"): "5MB"}


class TestWhetherItHappened:
    def test_is_known_of_a_swap_and_its_undo(self, restored: Restored) -> None:
        undoing = replace(restored.destination, token="bbbbbbbb")
        assert published(restored.destination, restored.workplace) is None
        kept = restored.publish()
        assert published(restored.destination, restored.workplace) == Published(kept)
        assert published(undoing, restored.workplace) is None
        kept = restored.undo(kept, undoing.token)
        assert published(undoing, restored.workplace) == Published(kept)

    def test_is_known_of_a_new_database(self, restored: Restored) -> None:
        restored.server.drop_database(restored.name)
        destination = replace(restored.destination, mode=RestoreMode.NEW)
        assert published(destination, restored.workplace) is None
        publish(destination, restored.workplace, Unattended())
        assert published(destination, restored.workplace) == Published(None)


class TestDiscarding:
    def test_removes_what_was_built_and_nothing_else(self, restored: Restored) -> None:
        with restored.server.connect(restored.incoming):
            discard(restored.destination, restored.workplace)
        assert restored.all_databases() == [restored.name]
        assert restored.says() == "old"
        discard(restored.destination, restored.workplace)

    def test_removes_what_subscribes_to_another_server(self, restored: Restored) -> None:
        restored.server.execute(SUBSCRIPTION, database=restored.incoming)
        discard(restored.destination, restored.workplace)
        assert restored.all_databases() == [restored.name]

    def test_leaves_what_was_published_and_what_is_kept(self, restored: Restored) -> None:
        kept = restored.publish()
        discard(restored.destination, restored.workplace)
        assert restored.all_databases() == [restored.name, kept]
        assert restored.says() == "new"


class TestRemovingWhatWasKept:
    def test_removes_it_for_good_and_again_is_nothing(self, restored: Restored) -> None:
        kept = restored.publish()
        remove_kept(restored.destination, kept, restored.workplace)
        remove_kept(restored.destination, kept, restored.workplace)
        assert restored.all_databases() == [restored.name]
        with pytest.raises(EngineError, match="is gone"):
            restored.undo(kept, "bbbbbbbb")

    def test_says_what_holds_it(self, restored: Restored) -> None:
        restored.server.execute(SUBSCRIPTION, database=restored.name)
        kept = restored.publish()
        with pytest.raises(TargetBusy, match=r"subscription.*ALLOW_CONNECTIONS"):
            remove_kept(restored.destination, kept, restored.workplace)
        restored.undo(kept, "bbbbbbbb")
        restored.server.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)", database=restored.name)
        restored.server.execute("DROP SUBSCRIPTION s", database=restored.name)

    def test_refuses_any_other_name(self, restored: Restored) -> None:
        for name in (restored.name, restored.incoming, "postgres", "other_before_aaaaaaaa"):
            with pytest.raises(EngineError, match="none that was kept"):
                remove_kept(restored.destination, name, restored.workplace)
            with pytest.raises(EngineError, match="none that was kept"):
                restored.undo(name, "bbbbbbbb")
        assert restored.says() == "old"


def test_the_scratch_is_left_empty(restored: Restored) -> None:
    with administration(restored.destination.url, restored.workplace):
        assert any(restored.workplace.scratch.iterdir())
    assert list(restored.workplace.scratch.iterdir()) == []
