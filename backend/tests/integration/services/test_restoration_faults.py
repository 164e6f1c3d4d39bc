"""Restores of real backups, and each fault on their way: what was there before stays, and nothing is left beside it."""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest
from psycopg import sql

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError, ManifestInvalid, RestoreUnsafe, ScratchError
from hhh.core.run import Progress, Unattended
from hhh.engines.restoring import RestoreMode
from hhh.jobs.worker import working
from hhh.schemas.restore import Receipt
from hhh.services.choosing import Choice, choose
from hhh.services.container import assemble
from hhh.services.standalone import Aim, standalone
from support.filesystems import SmallFilesystem
from support.local_services import settings_in
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.restoring import change, content
from support.sqlite_data import make_sqlite_database

SOURCE = "source"
#: Of which a download takes several pieces.
MEGABYTES = 3
Contents = object


class Live(ABC):
    """A database that was backed up, has changed since, and is to be replaced."""

    #: Of the source, and as `hhh restore --to` names it.
    url: str

    @abstractmethod
    def change(self) -> None:
        """Changes it in a way that a restore would take back."""

    @abstractmethod
    def contents(self) -> Contents:
        """What it holds, and what stands beside it."""

    @abstractmethod
    def holds_the_backup(self) -> bool:
        """Whether the change was taken back."""

    @property
    @abstractmethod
    def confirm(self) -> str:
        """What has to be typed to replace it."""


class LiveFile(Live):
    """SQLite."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._path = folder / "live.db"
        self.url = f"sqlite:///{self._path}"
        make_sqlite_database(self._path, megabytes=MEGABYTES, journal_mode="delete")
        self._original = content(self._path)

    def change(self) -> None:
        change(self._path, "DELETE FROM note WHERE id % 2 = 0")

    def contents(self) -> Contents:
        return {path.name: path.read_bytes() for path in self._path.parent.iterdir()}

    def holds_the_backup(self) -> bool:
        return content(self._path) == self._original

    @property
    def confirm(self) -> str:
        return "live.db"


class LiveDatabase(Live):
    """PostgreSQL."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server, self._name = server, name
        self.url = server.url(name)
        with server.connect(name) as connection:
            self._original = make_realistic_database(connection, megabytes=MEGABYTES)

    def change(self) -> None:
        self._server.execute("DELETE FROM events WHERE kind = 'bought'", database=self._name)

    def contents(self) -> Contents:
        with self._server.connect(self._name) as connection:
            names = connection.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
            rows = connection.execute("SELECT * FROM events ORDER BY id").fetchall()
        return names, rows

    def holds_the_backup(self) -> bool:
        with self._server.connect(self._name) as connection:
            return connection.execute("SELECT count(*) FROM events").fetchone() == (self._original["events"],)

    @property
    def confirm(self) -> str:
        return self._name

    def remove(self) -> None:
        """Drops it and what a restore has kept."""
        with self._server.connect() as connection:
            names = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (self._name,))
            left = [name for (name,) in names.fetchall()]
        for name in left:
            self._server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
            self._server.drop_database(name)


class Bench:
    """Two backups of a live database that has changed since, in a store of their own."""

    def __init__(self, folder: Path, live: Live, database: Database, **settings: Any) -> None:
        self.live = live
        self.identity = pyrage.x25519.Identity.generate()
        recipient = str(self.identity.to_public())
        self.settings: Settings = settings_in(folder, age_recipients=recipient, **settings)
        self.store = self.settings.data_dir / "backups"
        self.scratch = self.settings.scratch_dir
        self._folder = folder
        services = assemble(self.settings, database)
        services.targets.add(SOURCE, live.url)
        with working(services) as worker:
            for _ in range(2):
                worker.execute(worker.create(services.backups.request(SOURCE)))
        self.key = services.identity.signing_key.public_key
        self.manifests = sorted(self.store.rglob("backup_*.sql.json"), key=lambda path: (len(path.name), path.name))
        assert len(self.manifests) == 2
        live.change()
        self.before = live.contents()

    @property
    def manifest(self) -> Path:
        """Of the backup that is restored: the newer one."""
        return self.manifests[1]

    def object(self, manifest: Path | None = None) -> Path:
        """The dump of a backup."""
        return self.store / str(json.loads((manifest or self.manifest).read_text())["object"]["key"])

    def restore(
        self, run: Unattended | None = None, *, identity: pyrage.x25519.Identity | None = None, trusted: bool = True
    ) -> Receipt:
        """As `hhh restore --from STORE --to LIVE --replace` does."""
        identity_file = self._folder / "identity"
        identity_file.write_text(str(identity or self.identity))
        aim = Aim(self.live.url, RestoreMode.REPLACE, self.live.confirm)
        keys = {self.key} if trusted else None
        backup = choose(Choice(self.store.as_uri(), backup_file=self.manifest.name.removesuffix(".json")), keys)
        with standalone(backup, aim, self.settings, identity_file=identity_file) as restoration:
            return restoration.perform(run or Unattended())

    def assert_untouched(self) -> None:
        """The live database is as it was, alone, and no scratch is left."""
        assert self.live.contents() == self.before
        assert list(self.scratch.iterdir()) == []


class Filling(Unattended):
    """A run in one of whose stages a disk becomes full."""

    def __init__(self, disk: Path, stage: str) -> None:
        self._file = disk / "filler"
        self._stage = stage

    def report(self, progress: Progress) -> None:
        begun = progress.stage == self._stage and (progress.raw_bytes > 0 or self._stage != "download")
        if begun and not self._file.exists():
            with contextlib.suppress(OSError), self._file.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def bench_with(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_database: Database, any_postgres: PostgresServer
) -> Iterator[Callable[..., Bench]]:
    """Makes a bench, with further settings, on each kind of database in turn."""
    if request.param == "sqlite":
        yield lambda **settings: Bench(tmp_path, LiveFile(tmp_path / "live"), sqlite_database, **settings)
        return
    live = LiveDatabase(any_postgres, any_postgres.create_database())
    tools = {"pg_bin_dir": any_postgres.bin_dir}
    yield lambda **settings: Bench(tmp_path, live, sqlite_database, **tools, **settings)
    live.remove()


@pytest.fixture
def bench(bench_with: Callable[..., Bench]) -> Bench:
    return bench_with()


def reasons(error: HHHError) -> list[str]:
    assert isinstance(error, RestoreUnsafe)
    return [str(reason["name"]) for reason in error.reasons]


def flip(path: Path, place: float) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[int((len(damaged) - 1) * place)] ^= 1
    path.write_bytes(damaged)


def test_a_backup_comes_back_and_what_it_replaced_is_kept(bench: Bench) -> None:
    assert not bench.live.holds_the_backup()
    receipt = bench.restore()
    assert bench.live.holds_the_backup()
    assert receipt.kept is not None
    assert (receipt.differences, receipt.errors) == ([], [])
    assert receipt.source == receipt.restored
    assert list(bench.scratch.iterdir()) == []


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_flipped_byte(bench: Bench, place: float) -> None:
    flip(bench.object(), place)
    with pytest.raises(HHHError, match="damaged") as damaged:
        bench.restore()
    assert damaged.value.code == "ERR_RESTORE_UNSAFE"
    bench.assert_untouched()


def test_a_truncated_object(bench: Bench) -> None:
    stored = bench.object()
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(RestoreUnsafe) as unsafe:
        bench.restore()
    assert reasons(unsafe.value) == ["object"]
    bench.assert_untouched()


def test_the_object_of_another_backup_in_its_place(bench: Bench) -> None:
    bench.object().write_bytes(bench.object(bench.manifests[0]).read_bytes())
    with pytest.raises(HHHError) as swapped:
        bench.restore()
    assert swapped.value.code == "ERR_RESTORE_UNSAFE"
    bench.assert_untouched()


def test_a_missing_object(bench: Bench) -> None:
    bench.object().unlink()
    with pytest.raises(RestoreUnsafe) as unsafe:
        bench.restore()
    assert reasons(unsafe.value) == ["object"]
    bench.assert_untouched()


def test_facts_that_were_changed(bench: Bench) -> None:
    flip(bench.store / json.loads(bench.manifest.read_text())["facts"]["key"], 0.9)
    with pytest.raises(RestoreUnsafe) as unsafe:
        bench.restore()
    assert reasons(unsafe.value) == ["facts"]
    bench.assert_untouched()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_forged_manifest(bench: Bench, trusted: bool) -> None:
    document = json.loads(bench.manifest.read_text())
    document["object"] = json.loads(bench.manifests[0].read_text())["object"]
    bench.manifest.write_text(json.dumps(document))
    with pytest.raises(ManifestInvalid, match="signature does not hold"):
        bench.restore(trusted=trusted)
    bench.assert_untouched()


def test_a_wrong_identity(bench: Bench) -> None:
    with pytest.raises(RestoreUnsafe) as unsafe:
        bench.restore(identity=pyrage.x25519.Identity.generate())
    assert reasons(unsafe.value) == ["identity"]
    bench.assert_untouched()


def test_a_key_that_nobody_vouches_for(bench: Bench) -> None:
    with pytest.raises(RestoreUnsafe) as unsafe:
        bench.restore(trusted=False)
    assert reasons(unsafe.value) == ["signature"]
    bench.assert_untouched()


def test_scratch_that_is_full_half_way(bench_with: Callable[..., Bench], small_filesystem: SmallFilesystem) -> None:
    disk = small_filesystem(16 << 20)
    (disk / "scratch").mkdir()
    bench = bench_with(scratch_dir=disk / "scratch")
    with pytest.raises(ScratchError, match="No space left"):
        bench.restore(Filling(disk, "download"))
    bench.assert_untouched()


def test_a_restore_that_is_interrupted_at_any_stage(bench: Bench) -> None:
    class Interrupted(Unattended):
        def __init__(self, stage: str) -> None:
            self.stage = stage

        def report(self, progress: Progress) -> None:
            if progress.stage == self.stage:
                raise KeyboardInterrupt

    for stage in ("checks", "download", "restore", "compare", "swap"):
        with pytest.raises(KeyboardInterrupt):
            bench.restore(Interrupted(stage))
        bench.assert_untouched()
    bench.restore()
    assert bench.live.holds_the_backup()
