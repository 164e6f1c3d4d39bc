"""`hhh restore --from` on a machine that has nothing but the program."""

from pathlib import Path

import pytest

from support.backing_up import files_below
from support.machines import Installation, Machine
from support.restoring import content
from support.s3 import S3Bucket


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "installation")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "elsewhere", in_process=False)


def test_a_bare_machine_restores_from_a_store_and_makes_nothing_else(
    installation: Installation, machine: Machine
) -> None:
    machine.environment.clear()  # no setting at all
    told = machine.must_run("restore", *installation.opening, "--to", "new.db")
    assert "9 of 9 checks held" in told
    assert f"Restored {installation.backup['backup_file']} of shop to {machine.home}/new.db" in told
    assert files_below(machine.home) == ["new.db"]
    assert content(machine.home / "new.db") == installation.original


@pytest.mark.soak
@pytest.mark.s3
def test_a_store_may_be_a_bucket(tmp_path: Path, machine: Machine, s3: S3Bucket) -> None:
    environment = {**s3.environment(), "HHH_STORAGE_URL": s3.url("some/prefix")}
    installation = Installation(tmp_path / "installation", environment)
    machine.environment |= s3.environment()
    opened = ("--trusted-key", installation.key, "--identity", installation.identity_file)
    machine.must_run("restore", "--from", s3.url("some/prefix"), "--to", "new.db", *opened)
    assert content(machine.home / "new.db") == installation.original
    (manifest,) = (key for key in s3.keys("some") if key.endswith(".sql.json"))
    machine.must_run("restore", "--from", s3.url(manifest), "--to", "other.db", *opened)
    assert content(machine.home / "other.db") == installation.original
    assert "has no backups" in machine.refused("restore", "--from", s3.url("elsewhere"), "--to", "third.db", *opened)
