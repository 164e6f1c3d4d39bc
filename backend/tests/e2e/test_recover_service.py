"""The service's machine is lost: docs/recover-the-service.md brings it back on an empty one."""

import contextlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.documentation import DOCS, Operator, require_programs
from support.forking import run_hhh
from support.postgres import PostgresServer
from support.s3 import S3Bucket
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.sqlite_data import count_sqlite_rows, make_sqlite_database

PAGE = DOCS / "recover-the-service.md"
SECRET = "a secret of more than 32 characters"


class Machine:
    """A machine with a data folder and settings."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.data = folder / "var"
        folder.mkdir()
        self.environment = {
            "HHH_DATA_DIR": str(self.data),
            "HHH_SECRET_KEY": SECRET,
            "HHH_SCRATCH_DIR": str(folder),
            "HHH_ADMIN_EMAIL": ADMIN_EMAIL,
            "HHH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            **settings,
        }

    def ran(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What became of `hhh` there."""
        return run_hhh(arguments, folder=self.folder, environment=self.environment)

    def hhh(self, *arguments: str) -> str:
        """What `hhh` prints there, which has to work."""
        done = self.ran(*arguments)
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


def empty(folder: Path, old: Machine, settings: Mapping[str, str]) -> Machine:
    """Another machine, with nothing but the old one's keys."""
    new = Machine(folder / "new", {**old.environment, **settings, "HHH_DATA_DIR": str(folder / "new/var")})
    new.data.mkdir(mode=0o700)
    shutil.copy(old.data / "signing.key", new.data)
    return new


def check_signs_in(machine: Machine) -> None:
    service = Service(machine.folder, {}, environment={**machine.environment, "HHH_ADMIN_PASSWORD": "of no use to it"})
    with service, service.signed_in_client() as client:
        assert [each["name"] for each in client.get("/api/v1/targets").json()] == ["app", "shop"]


def test_one_command_brings_it_back_on_an_empty_machine(tmp_path: Path) -> None:
    require_programs("bash")
    old = lost(tmp_path, {"HHH_STORAGE_URL": (tmp_path / "store").as_uri()})
    known = {each["id"] for each in old.told("backup", "list")}
    new = empty(tmp_path, old, {})
    shutil.rmtree(old.folder)

    printed = new.operator().must_run("recover")

    assert "1 user, 2 targets" in printed
    assert {each["id"] for each in new.told("backup", "list")} == known
    assert {each["status"] for each in new.told("backup", "list")} == {"success"}
    assert [each["target"] for each in new.told("schedule", "list")] == ["shop"]
    assert new.data.joinpath("hhh.db").stat().st_mode & 0o777 == 0o600
    new.operator().must_run("look")
    check_signs_in(new)
    new.hhh("restore", "latest", "--target", "shop", "--to", str(tmp_path / "restored.db"))
    assert count_sqlite_rows(tmp_path / "restored.db") == count_sqlite_rows(tmp_path / "shop.db")


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

        printed = new.operator().must_run("recover")

        assert "1 user, 2 targets" in printed
        assert {each["id"] for each in new.told("backup", "list")} == known
        check_signs_in(new)
        new.hhh("restore", "latest", "--target", "shop", "--to", str(tmp_path / "restored.db"))


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
