"""What verifications find out about backups in one and several stores, level by level."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.filesize import decimal

from hhh.artifacts.manifest import parse_manifest, sign_manifest
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import Cancelled
from hhh.core.run import Progress, Unattended
from hhh.core.signing import SigningKey
from hhh.models import BackupCopy, BackupLog, CopyStatus, Policy, Store
from hhh.schemas.verification import LEVELS, Level, VerificationResult
from hhh.services.container import Services, assemble
from hhh.services.stores import StoreService
from hhh.storages.local import LocalStorage
from support.filesystems import SmallFilesystem
from support.local_services import services_with_a_target, settings_in
from support.proving import Watched, back_up, find_out, status

levels = pytest.mark.parametrize("level", LEVELS)


class Bench:
    """A backup of a SQLite file in two stores."""

    def __init__(self, folder: Path, database: Database, **settings: Any) -> None:
        self.services: Services = services_with_a_target(folder, database, **settings)
        self.services.stores.add("second", (folder / "second").as_uri())
        with database.transaction() as session:
            session.merge(
                Policy(target="source", stores=["default", "second"], minimum_copies=1, retries=0, updated_at=utcnow())
            )
        self.folders = {"default": self.services.settings.data_dir / "backups", "second": folder / "second"}
        self.backup_id = back_up(self.services)
        self.manifest = self.services.catalogue.get(self.backup_id).manifest or {}

    def file(self, member: str = "object", store: str = "default") -> Path:
        """An object of the backup in a store; `manifest` is the manifest itself."""
        key = str(self.manifest["object"]["key"])
        if member == "manifest":
            return self.folders[store] / Path(key).parent / f"{self.manifest['backup_file']}.json"
        return self.folders[store] / str(self.manifest[member]["key"])

    def find_out(self, level: Level = "stored", run: Unattended | None = None) -> VerificationResult:
        """What is found of it."""
        return find_out(self.services, self.backup_id, level, run)


@pytest.fixture
def bench(tmp_path: Path, sqlite_database: Database) -> Bench:
    return Bench(tmp_path, sqlite_database)


def flip(path: Path, place: float = 0.5) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[int((len(damaged) - 1) * place)] ^= 1
    path.write_bytes(damaged)


def copies(result: VerificationResult) -> dict[str, str]:
    return {copy.storage: copy.status for copy in result.copies}


@levels
def test_a_good_backup_reaches_each_level(bench: Bench, level: Level) -> None:
    result = bench.find_out(level)
    assert (result.reached, status(result, level)) == (level, "success"), result
    assert copies(result) == {"default": "good", "second": "good"}
    assert (result.errors, result.lacking, result.differences) == ([], [], [])
    assert result.restored_from == (None if level == "stored" else "default")
    stored = [bench.manifest["object"], bench.manifest["facts"]]
    assert {copy.size for copy in result.copies} == {sum(int(each["size"]) for each in stored)}


@levels
@pytest.mark.parametrize("member", ["object", "facts", "manifest"])
def test_a_flipped_byte_on_one_of_two_stores_is_told_and_the_other_copy_is_looked_into(
    bench: Bench, level: Level, member: str
) -> None:
    flip(bench.file(member))
    result = bench.find_out(level)
    assert copies(result) == {"default": "damaged", "second": "good"}
    assert (status(result, level), result.reached) == ("failed", None)
    assert result.copies[0].problem is not None
    assert bench.folders["default"].as_uri() in result.copies[0].problem
    if level != "stored":
        assert result.restored_from == "second"
        assert result.compared != []


@levels
@pytest.mark.parametrize("member", ["object", "facts", "manifest"])
def test_what_is_gone_from_a_store_is_told(bench: Bench, level: Level, member: str) -> None:
    bench.file(member, "second").unlink()
    result = bench.find_out(level)
    assert copies(result) == {"default": "good", "second": "missing"}
    assert status(result, level) == "failed"


def test_a_truncated_object_is_told(bench: Bench) -> None:
    file = bench.file()
    file.write_bytes(file.read_bytes()[:-1])
    assert copies(bench.find_out("proven")) == {"default": "damaged", "second": "good"}


def test_the_manifest_of_another_backup_in_its_place_is_told(bench: Bench) -> None:
    first = bench.file("manifest").read_bytes()
    other = bench.services.catalogue.get(back_up(bench.services))
    document = json.loads(json.dumps(other.manifest))
    bench.file("manifest").write_text(json.dumps(document))
    result = bench.find_out()
    assert copies(result) == {"default": "damaged", "second": "good"}
    assert "moved here" in (result.copies[0].problem or "")
    assert bench.file("manifest", "second").read_bytes() == first


def test_a_manifest_that_is_signed_by_a_stranger_is_told(bench: Bench) -> None:
    manifest = parse_manifest(bench.file("manifest").read_bytes(), None)
    bench.file("manifest").write_bytes(sign_manifest(manifest, SigningKey(Ed25519PrivateKey.generate())))
    result = bench.find_out()
    assert copies(result) == {"default": "damaged", "second": "good"}
    assert "not trusted here" in (result.copies[0].problem or "")


@levels
def test_a_store_that_can_not_be_reached_speaks_against_nothing(bench: Bench, level: Level) -> None:
    bench.folders["second"].rename(bench.folders["second"].with_name("away"))
    result = bench.find_out(level)
    assert copies(result) == {"default": "good", "second": "unreachable"}
    assert (status(result, level), result.reached, result.errors) == ("inconclusive", None, [])
    assert result.lacking[0].startswith("second: ")
    assert result.restored_from == (None if level == "stored" else "default")


def test_a_backup_whose_only_store_is_out_of_reach_is_inconclusive(bench: Bench) -> None:
    with bench.services.database.transaction() as session:
        session.delete(session.get_one(BackupCopy, (bench.backup_id, "default")))
    bench.folders["second"].rename(bench.folders["second"].with_name("away"))
    result = bench.find_out("proven")
    assert copies(result) == {"second": "unreachable"}
    assert (status(result), result.restored_from) == ("inconclusive", None)


def test_a_store_that_is_not_known_here_is_told(bench: Bench) -> None:
    with bench.services.database.transaction() as session:
        session.query(Store).filter_by(name="second").delete()
    result = bench.find_out()
    assert copies(result) == {"default": "good", "second": "unreachable"}
    assert "No store named second" in result.lacking[0]


def test_a_copy_that_the_catalogue_misses_is_looked_for_all_the_same(bench: Bench) -> None:
    with bench.services.database.transaction() as session:
        copy = session.get_one(BackupCopy, (bench.backup_id, "default"))
        copy.status = CopyStatus.MISSING
    result = bench.find_out("proven")
    assert [copy.storage for copy in result.copies] == ["second", "default"]
    assert (status(result), result.restored_from) == ("success", "second")
    bench.file().unlink()
    assert copies(bench.find_out()) == {"default": "missing", "second": "good"}


@levels
def test_a_backup_that_is_removed_meanwhile_is_no_failure(bench: Bench, level: Level) -> None:
    class Removing(Unattended):
        def report(self, progress: Progress) -> None:
            for store in bench.folders:
                bench.file("object", store).unlink(missing_ok=True)
            with bench.services.database.transaction() as session:
                session.get_one(BackupLog, bench.backup_id).deleted_at = utcnow()

    bench.file("object", "second").unlink()
    result = bench.find_out(level, Removing())
    assert (status(result, level), result.reached, result.copies) == ("inconclusive", None, [])
    assert result.lacking[0].startswith("No backup has that id")


def test_nothing_speaks_against_a_backup_that_is_not_there(bench: Bench) -> None:
    result = find_out(bench.services, "00000000-0000-4000-8000-000000000000", "stored")
    assert (status(result, "stored"), result.reached, result.errors) == ("inconclusive", None, [])
    assert result.lacking[0].startswith("No backup has that id")


def test_a_manifest_in_the_catalogue_that_nobody_signed_speaks_against_the_backup(bench: Bench) -> None:
    with bench.services.database.transaction() as session:
        session.get_one(BackupLog, bench.backup_id).manifest = {**bench.manifest, "attempt": 7}
    result = bench.find_out()
    assert (status(result, "stored"), result.reached, result.lacking) == ("failed", None, [])
    assert "signature does not hold" in result.errors[0]


@pytest.mark.parametrize(
    ("level", "stages"),
    [
        ("stored", ["checks"]),
        ("readable", ["checks", "read", "checks"]),
        ("proven", ["checks", "download", "restore", "compare", "checks"]),
    ],
)
def test_progress_tells_what_is_done_and_each_stage_can_be_cancelled(
    bench: Bench, level: Level, stages: list[str]
) -> None:
    run = Watched()
    bench.find_out(level, run)
    assert run.stages == stages
    for stage in set(stages):
        with pytest.raises(Cancelled):
            bench.find_out(level, Watched(stage, Cancelled))


@levels
def test_each_object_of_each_copy_is_read_once(bench: Bench, level: Level) -> None:
    reads: Counter[str] = Counter()

    class Counting(LocalStorage):
        def read(self, key: str) -> Iterator[bytes]:
            reads[key] += 1
            return super().read(key)

    settings, database = bench.services.settings, bench.services.database
    stores = StoreService(settings, database, Counting(bench.folders["default"]))
    find_out(bench.services, bench.backup_id, level, stores=stores)
    assert reads == {
        **{str(bench.manifest[member]["key"]): 1 for member in ("object", "facts")},
        bench.file("manifest").relative_to(bench.folders["default"]).as_posix(): 1,
    }


@pytest.mark.parametrize("level", ["readable", "proven"])
def test_scratch_that_is_too_small_is_told_with_both_figures_and_every_copy_was_read(
    bench: Bench, small_filesystem: SmallFilesystem, level: Level
) -> None:
    small = small_filesystem(8 << 10)
    result = find_out(bench.services, bench.backup_id, level, scratch_dir=small)
    assert (result.reached, status(result, level)) == ("stored", "inconclusive"), result
    assert copies(result) == {"default": "good", "second": "good"}
    assert f"are free, and {decimal(int(bench.manifest['object']['raw_size']))} are needed" in result.lacking[0]


# --------------------------------------------------------------------------------------------- encryption


@pytest.mark.parametrize("level", ["readable", "proven"])
def test_without_the_identity_every_copy_is_read_and_it_is_told_who_can_do_more(
    tmp_path: Path, sqlite_database: Database, level: Level
) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    bench = Bench(tmp_path, sqlite_database, age_recipients=recipient)
    result = bench.find_out(level)
    assert (result.reached, status(result, level)) == ("stored", "inconclusive")
    assert copies(result) == {"default": "good", "second": "good"}
    assert recipient in result.lacking[0]
    assert "hhh worker --queues verify" in result.lacking[0]
    flip(bench.file())
    damaged = bench.find_out(level)
    assert (copies(damaged)["default"], status(damaged, level)) == ("damaged", "failed")


@levels
def test_a_worker_with_the_identity_reaches_all(tmp_path: Path, sqlite_database: Database, level: Level) -> None:
    identity = pyrage.x25519.Identity.generate()
    bench = Bench(tmp_path, sqlite_database, age_recipients=str(identity.to_public()))
    (tmp_path / "identity").write_text(str(identity))
    settings = settings_in(tmp_path, age_recipients=str(identity.to_public()), age_identity_file=tmp_path / "identity")
    result = find_out(assemble(settings, sqlite_database), bench.backup_id, level)
    assert (result.reached, status(result, level)) == (level, "success"), result
