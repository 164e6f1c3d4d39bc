"""Drills that are killed, with namespaces and without: no server of theirs stays, and none of its files."""

import contextlib
import os
import pwd
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from hhh.core import scratch
from hhh.core.errors import Lacking
from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.throw_away import throw_away
from hhh.engines.restoring import RestoreSource
from support import throwing_away_process
from support.postgres import PostgresServer
from support.session import current_session
from support.throwing_away import begun, drilling, new_scratch, processes_in, python_as, taken_for_drills
from support.waiting import wait_until

pytestmark = pytest.mark.postgres

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
_BUSY = "DO $$ BEGIN LOOP END LOOP; END $$"


@pytest.fixture
def small(any_postgres: PostgresServer) -> Iterator[tuple[RestoreSource, Workplace]]:
    """A backup of little, and where to drill it: below folders that other accounts may enter."""
    database = any_postgres.create_database()
    any_postgres.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n", database=database)
    yield taken_for_drills(any_postgres, database, new_scratch())
    any_postgres.drop_database(database)


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody may have them, such as a container without the right to."""
    folder = current_session().new_folder("refusing")
    folder.chmod(0o755)
    (folder / "unshare").write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    (folder / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@contextlib.contextmanager
def busy(url: str, scratch: Path) -> Iterator[None]:
    """A session whose process never looks up; nothing of its server is there after the block, however that ends."""
    connection = psycopg.connect(url, autocommit=True)

    def work() -> None:
        with contextlib.suppress(psycopg.Error):
            connection.execute(_BUSY)

    thread = threading.Thread(target=work)
    thread.start()
    with psycopg.connect(url) as observer:
        wait_until(
            lambda: observer.execute("SELECT FROM pg_stat_activity WHERE query = %s", [_BUSY]).fetchone() is not None,
            what="the session to be busy",
        )
    try:
        yield
    finally:
        for process in processes_in(scratch):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        thread.join()
        connection.close()


def test_a_killed_drill_takes_its_server_with_it_however_busy_that_is(
    small: tuple[RestoreSource, Workplace],
) -> None:
    source, workplace = small
    with drilling(source, workplace) as drill, busy(drill.url, workplace.scratch):
        assert drill.errors == []
        assert drill.warnings == []
        assert processes_in(workplace.scratch)
        drill.process.kill()
        wait_until(lambda: not processes_in(workplace.scratch), what="the server to be gone")
    assert scratch.sweep(workplace.scratch.parent) == 1
    assert not workplace.scratch.exists()


@pytest.mark.parametrize("when", ["password", "data/PG_VERSION", "data/postgresql.auto.conf", "data/postmaster.opts"])
def test_a_drill_that_is_killed_while_it_makes_its_server_leaves_no_process(
    small: tuple[RestoreSource, Workplace], when: str
) -> None:
    source, workplace = small
    with begun(source, workplace) as process:
        wait_until(lambda: list(workplace.scratch.glob(f"pg-*/{when}")), seconds=60, what="the server to come so far")
        process.kill()
        wait_until(lambda: not processes_in(workplace.scratch), what="its processes to be gone")
    assert scratch.sweep(workplace.scratch.parent) == 1
    assert not workplace.scratch.exists()


@pytest.mark.usefixtures("no_namespaces")
def test_without_namespaces_the_sweep_ends_what_is_left_of_it(small: tuple[RestoreSource, Workplace]) -> None:
    source, workplace = small
    with drilling(source, workplace) as drill, busy(drill.url, workplace.scratch):
        assert drill.errors == []
        assert "Operation not permitted" in drill.warnings[0]
        segment = shared_memory_of(workplace.scratch)
        servers = processes_in(workplace.scratch)
        postmaster = min(servers, key=lambda process: process.create_time())
        drill.process.kill()
        wait_until(lambda: not postmaster.is_running(), what="the postmaster to be gone")
        assert processes_in(workplace.scratch)  # who is busy has not noticed
        assert scratch.sweep(workplace.scratch.parent) == 1
        assert processes_in(workplace.scratch) == []
    assert not workplace.scratch.exists()
    subprocess.run(["ipcrm", "--shmem-id", segment], check=True)  # of which nobody takes care


@pytest.mark.usefixtures("no_namespaces")
def test_without_namespaces_a_drill_that_ends_leaves_nothing_of_the_system_s_shared_memory(
    small: tuple[RestoreSource, Workplace],
) -> None:
    source, workplace = small
    with drilling(source, workplace) as drill:
        segment = shared_memory_of(workplace.scratch)
        assert segment in shared_memory()
        drill.process.communicate()
    assert segment not in shared_memory()
    assert processes_in(workplace.scratch) == []
    assert not list(workplace.scratch.glob("pg-*"))


def shared_memory_of(folder: Path) -> str:
    """The number of the segment that the server in there has."""
    [data] = folder.glob("pg-*/data")
    return (data / "postmaster.pid").read_text().splitlines()[6].split()[1]


def shared_memory() -> set[str]:
    """The numbers of System V's segments."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


@AS_ROOT
@pytest.mark.usefixtures("no_namespaces")
def test_where_the_account_can_t_enter_scratch_that_is_told(any_postgres: PostgresServer, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    database = any_postgres.create_database()
    source, workplace = taken_for_drills(any_postgres, database, new_scratch(private))
    with pytest.raises(Lacking) as lacking, throw_away(source, None, workplace, Unattended()):
        pytest.fail("a place was made")
    assert "can't be run by the account postgres in" in lacking.value.message
    assert "HHH_SCRATCH_DIR" in (lacking.value.hint or "")
    any_postgres.drop_database(database)


@AS_ROOT
@pytest.mark.parametrize("namespaces", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_service_without_root_drills_as_itself_and_hides_its_secrets_where_it_can(
    small: tuple[RestoreSource, Workplace], request: pytest.FixtureRequest, *, namespaces: bool
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    trial = python_as(nobody, "-c", f"import hhh, psycopg; open({throwing_away_process.__file__!r})")
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("the programs are where no other account may read them")
    if not namespaces:
        request.getfixturevalue("no_namespaces")
    source, workplace = small
    secret = current_session().new_folder("secret")
    (secret / "key").write_text("telltale")
    for path in (workplace.scratch, *workplace.scratch.iterdir(), secret, secret / "key"):
        os.chown(path, nobody, nobody)
    with drilling(source, replace(workplace, hidden=(secret,)), account=nobody) as drill:
        assert drill.errors == []
        with psycopg.connect(drill.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE said (line text)")
            connection.execute(f"COPY said FROM PROGRAM $$ cat {secret}/key 2>&1 || true $$")
            said = " ".join(line for (line,) in connection.execute("SELECT line FROM said").fetchall())
        assert ("telltale" in said) is not namespaces
        assert bool(drill.warnings) is not namespaces
        drill.process.kill()
        wait_until(lambda: not processes_in(workplace.scratch), what="its processes to be gone")
