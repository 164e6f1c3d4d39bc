"""The service's machine is lost: docs/recover-the-service.md brings it back on an empty one."""

import contextlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyrage
import pytest

from hhh import migrations
from hhh.core import signing
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.jobs.presence import Presence
from hhh.repositories import workers
from support.documentation import DOCS, Operator, require_programs
from support.forking import run_hhh
from support.postgres import PostgresServer
from support.s3 import S3Bucket
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

PAGE = DOCS / "recover-the-service.md"
SECRET = "a secret of more than 32 characters"
PASSPHRASE = "six words that are not random"


class Machine:
    """A machine with a data folder and settings."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, secret: str = SECRET) -> None:
        self.folder = folder
        self.data = folder / "var"
        folder.mkdir()
        self.environment = {
            "HHH_DATA_DIR": str(self.data),
            "HHH_SECRET_KEY": secret,
            "HHH_SCRATCH_DIR": str(folder),
            "HHH_ADMIN_EMAIL": ADMIN_EMAIL,
            "HHH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            **settings,
        }

    def ran(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """What became of `hhh` there."""
        return run_hhh(arguments, folder=self.folder, environment=self.environment, stdin=stdin)

    def hhh(self, *arguments: str, stdin: str = "") -> str:
        """What `hhh` prints there, which has to work."""
        done = self.ran(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def told(self, *arguments: str) -> list[dict[str, object]]:
        """The JSON that `hhh` prints there."""
        found: list[dict[str, object]] = json.loads(self.hhh(*arguments, "--json"))
        return found

    def operator(self) -> Operator:
        """Somebody there with the page in their hands."""
        operator = Operator(self.folder, page=PAGE)
        operator.environment |= self.environment
        return operator


def lost(folder: Path, settings: Mapping[str, str]) -> Machine:
    """A machine with a target, whose backup is newer than that of the own database; it is lost but for its key."""
    machine = Machine(folder / "old", settings)
    make_sqlite_database(folder / "shop.db")
    machine.hhh("migrate")
    machine.hhh("target", "add", "shop", f"sqlite:///{folder}/shop.db")
    machine.hhh("schedule", "add", "shop", "0 3 * * *")
    machine.hhh("backup", "run", "app")
    machine.hhh("backup", "run", "shop")
    return machine


def age_key(folder: Path) -> tuple[Path, str]:
    """An identity file, and its public key."""
    identity = pyrage.x25519.Identity.generate()
    (folder / "identity.key").write_text(f"{identity}\n")
    return folder / "identity.key", str(identity.to_public())


def empty(folder: Path, old: Machine, settings: Mapping[str, str]) -> Machine:
    """Another machine, with nothing but the old one's keys."""
    place = folder / "new"
    more = {"HHH_DATA_DIR": str(place / "var"), "HHH_SCRATCH_DIR": str(place)}
    new = Machine(place, {**old.environment, **more, **settings})
    new.data.mkdir(mode=0o700)
    shutil.copy(old.data / "signing.key", new.data)
    return new


def check_signs_in(machine: Machine) -> None:
    service = Service(machine.folder, {}, environment={**machine.environment, "HHH_ADMIN_PASSWORD": "of no use to it"})
    with service, service.signed_in_client() as client:
        assert [each["name"] for each in client.get("/api/v1/targets").json()] == ["app", "shop"]


def test_one_command_brings_it_back_on_an_empty_machine_with_the_kit_and_its_passphrase(tmp_path: Path) -> None:
    require_programs("bash")
    identity, recipient = age_key(tmp_path)
    settings = {"HHH_STORAGE_URL": (tmp_path / "store").as_uri(), "HHH_AGE_RECIPIENTS": recipient}
    old = lost(tmp_path, {**settings, "HHH_AGE_IDENTITY_FILE": str(identity)})
    old.hhh("keys", "kit", "--with-secrets", "--to", str(tmp_path / "hhh-kit-secret.md"), stdin=f"{PASSPHRASE}\n")
    known = {each["id"] for each in old.told("backup", "list")}
    shutil.rmtree(old.folder)
    identity.unlink()
    new = Machine(tmp_path / "new", settings, secret="")
    mailed = (tmp_path / "hhh-kit-secret.md").read_text().replace("\n", "\r\n")
    (new.folder / "hhh-kit-secret.md").write_bytes(mailed.encode())

    printed = new.operator().must_run("recover-with-kit", stdin=f"{PASSPHRASE}\n")

    assert "1 user, 2 targets" in printed
    assert {each["id"] for each in new.told("backup", "list")} == known
    assert {each["status"] for each in new.told("backup", "list")} == {"success"}
    assert [each["target"] for each in new.told("schedule", "list")] == ["shop"]
    assert new.data.joinpath("hhh.db").stat().st_mode & 0o777 == 0o600
    new.operator().must_run("look")
    check_signs_in(new)
    assert [*new.folder.rglob("identity*")] == [], "it was there for this command alone"


@pytest.mark.postgres
def test_it_fills_an_empty_postgresql_database_from_s3_as_a_role_without_special_rights(
    tmp_path: Path, s3: S3Bucket, postgres16: PostgresServer
) -> None:
    require_programs("bash")
    with owned_databases(postgres16, 2) as (before, after):
        settings = {"HHH_STORAGE_URL": s3.url("prod"), "HHH_PG_BIN_DIR": str(postgres16.bin_dir), **s3.environment()}
        old = lost(tmp_path, {**settings, "HHH_DATABASE_URL": before})
        known = {each["id"] for each in old.told("backup", "list")}
        new = empty(tmp_path, old, {"HHH_DATABASE_URL": after})
        shutil.rmtree(old.folder)
        killed_at_it(after)
        assert "is not restored to its end" in new.ran("serve").stderr, "its jobs would begin"

        printed = new.operator().must_run("recover")

        assert "1 user, 2 targets" in printed
        assert {each["id"] for each in new.told("backup", "list")} == known
        check_signs_in(new)
        new.hhh("restore", "latest", "--target", "shop", "--to", str(tmp_path / "restored.db"))


def killed_at_it(url: str) -> None:
    """What a recovery leaves in a database that was empty, when it is killed."""
    with contextlib.closing(Database(url)) as database:
        migrations.begin_filling(database)
        migrations.upgrade(database)


@contextlib.contextmanager
def owned_databases(server: PostgresServer, count: int) -> Iterator[list[str]]:
    """The URLs of empty databases of a role that may make none."""
    role = f"hhh_{uuid.uuid4().hex[:8]}"
    server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    names = [server.create_database() for _ in range(count)]
    for name in names:
        server.execute(f"ALTER DATABASE {name} OWNER TO {role}")
    yield [server.url(name, user=role, password="secret") for name in names]
    for name in names:
        server.drop_database(name)
    server.execute(f"DROP ROLE {role}")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A lost machine with two backups of its own database; who changes its store takes a copy of it."""
    folder = tmp_path_factory.mktemp("kept")
    machine = lost(folder, {"HHH_STORAGE_URL": (folder / "store").as_uri()})
    with own_database_of(machine) as database, database.transaction() as session:
        Presence("worker", label="old", slots=1, queues=()).write(session, utcnow())
    before = utcnow().replace(microsecond=0)
    wait_until(lambda: utcnow().replace(microsecond=0) > before, what="another second: manifests tell no less")
    machine.hhh("backup", "run", "app")
    return machine


@contextlib.contextmanager
def own_database_of(machine: Machine) -> Iterator[Database]:
    """The own database of a machine where nothing runs."""
    with contextlib.closing(Database(f"sqlite:///{machine.data}/hhh.db")) as database:
        yield database


def refused(machine: Machine, *arguments: str, stdin: str = "") -> str:
    """What it says where it does not recover, and leaves nothing."""
    done = machine.ran("recover-service", *arguments, stdin=stdin)
    assert done.returncode != 0, done.stdout
    assert [each.name for each in machine.data.iterdir() if each.name.startswith("hhh.db")] == []
    return done.stderr


def test_where_something_is_already_it_touches_nothing(kept: Machine, tmp_path: Path) -> None:
    new = empty(tmp_path, kept, {})
    (new.data / "hhh.db").write_bytes(b"somebody's")
    (new.data / "hhh.db-wal").touch()

    done = new.ran("recover-service")

    assert done.returncode == 1
    assert f"there is {new.data}/hhh.db already" in done.stderr
    assert f"mv {new.data}/hhh.db-wal {new.data}/hhh.db.before-wal" in done.stderr
    assert f"mv {new.data}/hhh.db {new.data}/hhh.db.before" in done.stderr
    assert (new.data / "hhh.db").read_bytes() == b"somebody's"


def test_without_the_right_keys_it_says_which_and_what_is_lost_with_them(kept: Machine, tmp_path: Path) -> None:
    new = empty(tmp_path, kept, {"HHH_SECRET_KEY": "another secret of more than 32 characters"})

    told = refused(new)

    assert "secret-key HHH_SECRET_KEY is not the one that this installation had" in told
    assert "--acknowledge secret-key" in told
    done = new.ran("recover-service", "--acknowledge", "secret-key")
    assert done.returncode == 0, done.stderr
    assert "To do: target shop: " in done.stderr
    assert new.told("storage", "list")


def test_without_the_signing_key_the_public_one_must_be_named(kept: Machine, tmp_path: Path) -> None:
    new = empty(tmp_path, kept, {})
    (new.data / "signing.key").unlink()
    assert "signature The manifest is undamaged, but whose it is was not proven" in refused(new)
    key = str(json.loads(kept.hhh("keys", "show", "--json"))["signing_key"])

    assert "signing-key There is no signing key" in refused(new, "--trusted-key", key)

    done = new.ran("recover-service", "--trusted-key", key, "--acknowledge", "signing-key")
    assert done.returncode == 0, done.stderr


def test_the_keys_of_a_wrong_kit_are_not_in_the_way_of_the_right_one(kept: Machine, tmp_path: Path) -> None:
    new = Machine(tmp_path / "new", {"HHH_STORAGE_URL": kept.environment["HHH_STORAGE_URL"]}, secret="")
    signing.load_or_make(tmp_path / "signing.key")
    pem = (tmp_path / "signing.key").read_text()
    wrong = pyrage.passphrase.encrypt(f"HHH_SECRET_KEY=another\n{pem}".encode(), PASSPHRASE, armored=True)
    (tmp_path / "wrong.md").write_bytes(wrong)

    assert "key that is not trusted here" in refused(new, "--kit", str(tmp_path / "wrong.md"), stdin=f"{PASSPHRASE}\n")

    assert [*new.data.iterdir()] == []


def test_what_is_no_kit_is_told(kept: Machine, tmp_path: Path) -> None:
    new = empty(tmp_path, kept, {})
    (tmp_path / "kit.md").write_bytes(b"\xff\xfe\x00")
    done = new.ran("recover-service", "--kit", str(tmp_path / "kit.md"), stdin=f"{PASSPHRASE}\n")
    assert (done.returncode, "The kit holds no secrets" in done.stderr) == (2, True)


def test_what_a_killed_one_has_left_goes_with_the_next(kept: Machine, tmp_path: Path) -> None:
    new = empty(tmp_path, kept, {})
    (new.data / "hhh.db.restore_recovery").write_bytes(b"half of it")
    (new.data / "hhh.db.restore_recovery-wal").touch()

    done = new.ran("recover-service")

    assert (done.returncode, "To do" in done.stderr) == (0, False), "nothing is newer than what came back"
    assert {each.name for each in new.data.iterdir()} == {"hhh.db", "signing.key"}


def test_workers_of_the_lost_machine_are_not_told_as_lost(kept: Machine, tmp_path: Path) -> None:
    new = empty(tmp_path, kept, {})

    new.hhh("recover-service")

    with own_database_of(new) as database, database.snapshot() as session:
        assert [*workers.all_rows(session)] == []


def test_what_fails_after_it_is_in_place_is_told_as_that(kept: Machine, tmp_path: Path) -> None:
    key = str(json.loads(kept.hhh("keys", "show", "--json"))["signing_key"])
    new = empty(tmp_path, kept, {"HHH_SIGNING_KEY_FILE": str(tmp_path / "a file" / "signing.key")})
    (tmp_path / "a file").touch()

    done = new.ran("recover-service", "--trusted-key", key, "--acknowledge", "signing-key")

    assert done.returncode == 1
    assert "Not finished: " in done.stderr
    assert "the database is in place" in done.stderr
    assert (new.data / "hhh.db").exists()


def test_backups_that_are_newer_are_told_since_the_old_service_may_live_or_another_store_have_more(
    kept: Machine, tmp_path: Path
) -> None:
    shutil.copytree(kept.folder.parent / "store", tmp_path / "store")
    for each in (tmp_path / "store").glob(f"*/app/{max((tmp_path / 'store').glob('*/app/*.json')).name[:-5]}*"):
        each.unlink()
    new = empty(tmp_path, kept, {})

    done = new.ran("recover-service", "--from", (tmp_path / "store").as_uri())

    assert done.returncode == 0, done.stderr
    assert "To do: store default has a newer backup of it" in done.stderr
    assert "To do: the newest backup of all is one of app" in done.stderr


def test_where_all_are_damaged_it_says_of_each_what_it_has(kept: Machine, tmp_path: Path) -> None:
    shutil.copytree(kept.folder.parent / "store", tmp_path / "store")
    for each in (tmp_path / "store").glob("*/app/*.zst"):
        each.write_bytes(b"")
    told = refused(empty(tmp_path, kept, {"HHH_STORAGE_URL": (tmp_path / "store").as_uri()}))
    assert "No backup of the service's own database can be used: " in told
    assert told.count("has 0 bytes") >= 2


def test_a_damaged_backup_is_passed_over_and_told(kept: Machine, tmp_path: Path) -> None:
    shutil.copytree(kept.folder.parent / "store", tmp_path / "store")
    newest = max((tmp_path / "store").glob("*/app/*.zst"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    new = empty(tmp_path, kept, {"HHH_STORAGE_URL": (tmp_path / "store").as_uri()})

    done = new.ran("recover-service")

    assert done.returncode == 0, done.stderr
    assert f"Note: Passed over: {newest.name.removesuffix('.1.zst')}" in done.stderr
    assert "1 user, 2 targets" in done.stdout


def test_a_store_without_a_backup_of_it_is_told(kept: Machine, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()

    assert "has no backups" in refused(empty(tmp_path, kept, {"HHH_STORAGE_URL": (tmp_path / "nothing").as_uri()}))
