"""Which backup of a store is meant: the newest of one database, and never a surprise."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from hhh.core.errors import InvalidInput, ManifestInvalid, NotFound
from hhh.services.choosing import Choice, ChosenBackup, choose
from hhh.storages.local import LocalStorage
from support.stored_backups import BackupMaker

FILES = ("backup_20250101_120000_2.sql", "backup_20250101_120000_10.sql", "backup_20241231_235959.sql")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def maker(root: Path) -> BackupMaker:
    """A store with three backups of one database."""
    maker = BackupMaker(LocalStorage(root))
    for file in FILES:
        dataclasses.replace(maker, backup_file=file).store(b"content")
    return maker


def states(chosen: ChosenBackup) -> dict[str, str]:
    return {check.name: check.status for check in chosen.checks}


def manifest_of(root: Path, file: str) -> Path:
    return root / "installation" / "app" / f"{file}.json"


def test_the_newest_is_chosen_also_among_those_of_one_second(maker: BackupMaker, root: Path) -> None:
    chosen = choose(Choice(root.as_uri()), {maker.signing_key.public_key})
    assert chosen.manifest.backup_file == "backup_20250101_120000_10.sql"
    assert states(chosen) == {"signature": "ok", "newest": "ok"}


@pytest.mark.parametrize("below", ["", "/", "/installation", "/installation/app", "/installation/app/"])
def test_a_folder_in_the_store_will_do(maker: BackupMaker, root: Path, below: str) -> None:
    chosen = choose(Choice(root.as_uri() + below), {maker.signing_key.public_key})
    assert chosen.manifest.backup_file == "backup_20250101_120000_10.sql"
    assert chosen.storage.head(chosen.manifest.object.key).size == chosen.manifest.object.size


def test_one_is_named_by_its_manifest_or_by_its_file(maker: BackupMaker, root: Path) -> None:
    by_url = choose(Choice(manifest_of(root, FILES[2]).as_uri()), None)
    by_name = choose(Choice(root.as_uri(), backup_file=FILES[2]), None)
    assert by_url.manifest == by_name.manifest
    assert by_url.manifest.backup_file == FILES[2]
    assert by_url.storage.head(by_url.manifest.object.key).size == by_url.manifest.object.size


def test_without_a_key_that_counts_the_operator_has_to_acknowledge_whose_it_is(maker: BackupMaker, root: Path) -> None:
    signature = choose(Choice(root.as_uri()), None).checks[0]
    assert (signature.status, signature.acknowledge) == ("unsafe", "signature")
    assert maker.signing_key.public_key in signature.message


def test_with_a_key_a_manifest_signed_by_another_is_refused(maker: BackupMaker, root: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"not trusted here: .*; nor can 2 older ones"):
        choose(Choice(root.as_uri()), {"another"})


def test_a_forged_manifest_is_refused(maker: BackupMaker, root: Path) -> None:
    forged = manifest_of(root, FILES[1])
    document = json.loads(forged.read_text())
    document["object"]["sha256"] = "0" * 64
    forged.write_text(json.dumps(document))
    for keys in (None, {maker.signing_key.public_key}):
        with pytest.raises(ManifestInvalid, match="does not hold"):
            choose(Choice(root.as_uri(), backup_file=FILES[1]), keys)


def test_an_older_backup_is_not_taken_in_silence_for_a_newer_one_that_can_not_be_used(
    maker: BackupMaker, root: Path
) -> None:
    manifest_of(root, FILES[1]).write_text("{}")
    chosen = choose(Choice(root.as_uri()), {maker.signing_key.public_key})
    assert chosen.manifest.backup_file == FILES[0]
    newest = chosen.checks[1]
    assert (newest.name, newest.status, newest.acknowledge) == ("newest", "unsafe", "newest")
    assert states(choose(Choice(root.as_uri(), backup_file=FILES[0]), None))["newest"] == "ok"


def test_a_manifest_in_the_place_of_another_is_refused(maker: BackupMaker, root: Path) -> None:
    manifest_of(root, FILES[1]).write_bytes(manifest_of(root, FILES[2]).read_bytes())
    with pytest.raises(ManifestInvalid, match="moved"):
        choose(Choice(root.as_uri(), backup_file=FILES[1]), None)


def test_of_several_databases_one_has_to_be_chosen(maker: BackupMaker, root: Path) -> None:
    dataclasses.replace(maker, target="shop").store(b"content")
    with pytest.raises(InvalidInput, match="several databases") as several:
        choose(Choice(root.as_uri()), None)
    assert several.value.hint is not None
    assert "--installation installation --target app (3)" in several.value.hint
    assert "--target shop (1)" in several.value.hint
    assert choose(Choice(root.as_uri(), target="shop"), None).manifest.target == "shop"


@pytest.mark.usefixtures("maker")
def test_who_has_named_the_target_is_not_told_to_name_it(root: Path) -> None:
    shutil.copytree(root / "installation", root / "another")
    with pytest.raises(InvalidInput) as several:
        choose(Choice(root.as_uri(), target="app"), None)
    assert several.value.hint == "choose one: --installation another (3); --installation installation (3)"


def test_what_somebody_planted_does_not_hide_the_newest(maker: BackupMaker, root: Path) -> None:
    for day in range(1, 31):
        manifest_of(root, f"backup_203012{day:02}_000000.sql").write_text("{}")
    chosen = choose(Choice(root.as_uri()), {maker.signing_key.public_key})
    assert chosen.manifest.backup_file == "backup_20250101_120000_10.sql"


def test_what_is_not_there_is_told_with_what_is(maker: BackupMaker, root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no backup like that") as nothing:
        choose(Choice(root.as_uri(), target="shop"), None)
    assert nothing.value.hint is not None
    assert "--target app" in nothing.value.hint
    with pytest.raises(NotFound, match="has no backups"):
        choose(Choice((tmp_path / "elsewhere").as_uri()), None)
    assert not (tmp_path / "elsewhere").exists()
