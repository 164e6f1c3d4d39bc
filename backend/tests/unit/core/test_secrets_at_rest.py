"""Sealed secrets, signatures, private files and scratch folders."""

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hhh.core import scratch, signing
from hhh.core.errors import ConfigurationError, ScratchError
from hhh.core.files import write_private
from hhh.core.secretbox import SecretBox, derive_key
from support.logs import Log, log

__all__ = ["log"]

SECRET = b"key material"


def test_a_sealed_secret_is_opened_by_its_owner_only() -> None:
    box = SecretBox(SECRET)
    sealed = box.seal("pässword", owner="target a")
    assert box.open(sealed, owner="target a") == "pässword"
    assert "pässword" not in sealed
    with pytest.raises(ConfigurationError, match="target b"):
        box.open(sealed, owner="target b")
    with pytest.raises(ConfigurationError):
        SecretBox(b"another").open(sealed, owner="target a")


def test_the_same_secret_is_never_sealed_to_the_same_text() -> None:
    box = SecretBox(SECRET)
    assert len({box.seal("x", owner="o") for _ in range(100)}) == 100


@pytest.mark.parametrize("damaged", ["", "v1:", "v1:AAAA", "v1:***", "v2:AAAA", "x" * 100])
def test_damaged_secrets_are_told(damaged: str) -> None:
    with pytest.raises(ConfigurationError, match="HHH_SECRET_KEY"):
        SecretBox(SECRET).open(damaged, owner="o")


def test_every_flipped_bit_is_noticed() -> None:
    box = SecretBox(SECRET)
    sealed = box.seal("x", owner="o")
    for place in range(len("v1:"), len(sealed) - 2):
        other = "A" if sealed[place] != "A" else "B"
        with pytest.raises(ConfigurationError):
            box.open(sealed[:place] + other + sealed[place + 1 :], owner="o")


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {derive_key(SECRET, purpose) for purpose in ("one", "two")} | {derive_key(b"other", "one")}
    assert (len(keys), {len(key) for key in keys}) == (3, {32})


def test_a_signature_holds_for_its_message_and_its_key_only(tmp_path: Path) -> None:
    key, other = (signing.load_or_make(tmp_path / name) for name in ("one.key", "two.key"))
    signature = key.sign(b"message")
    assert signing.holds(key.public_key, b"message", signature)
    assert not signing.holds(key.public_key, b"message.", signature)
    assert not signing.holds(other.public_key, b"message", signature)
    for odd in ("", "x", "é", signature[:-4], "A" * len(signature)):
        assert not signing.holds(key.public_key, b"message", odd)
        assert not signing.holds(odd, b"message", signature)


def test_the_signing_key_is_made_once_private_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "below" / "signing.key"
    key = signing.load_or_make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signing.load_or_make(path).public_key == key.public_key
    assert repr(key) == f"SigningKey(public={key.public_key})"


def test_files_that_hold_no_such_key_are_refused_by_name(tmp_path: Path) -> None:
    x25519 = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"nonsense", x25519):
        path = tmp_path / "signing.key"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"signing\.key"):
            signing.load_or_make(path)
    with pytest.raises(ConfigurationError, match="can't be used"):
        signing.load_or_make(tmp_path / "signing.key" / "below")


def test_a_private_file_is_whole_private_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    write_private(path, b"three", exclusive=True)
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)


def test_a_private_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "content").write_text("")
    with pytest.raises(OSError, match="file"):
        write_private(tmp_path / "file", b"one")
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208  names, as strings


def test_a_scratch_folder_is_private_and_goes_however_it_is_left(tmp_path: Path) -> None:
    def interrupted() -> None:
        with scratch.scratch_folder(tmp_path / "new", "me") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_scratch_folder_that_stays_behind_is_logged(tmp_path: Path, log: Log) -> None:
    with scratch.scratch_folder(tmp_path, "me") as gone:
        pass
    assert log.lines("scratch_left_behind") == []
    with scratch.scratch_folder(tmp_path, "me") as kept:
        kept.rename(tmp_path / "elsewhere")
        kept.symlink_to(tmp_path / "elsewhere")  # what is no folder is not removed
    (line,) = log.lines("scratch_left_behind")
    assert not gone.exists()
    assert (line["level"], line["folder"]) == ("warning", str(kept))


def test_a_scratch_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ScratchError, match="HHH_SCRATCH_DIR"),
        scratch.scratch_folder(tmp_path / "file", "me"),
    ):
        pass


def test_only_what_nobody_holds_any_more_is_swept(tmp_path: Path) -> None:
    for name in ("hhh-scratch-dead-x", "hhh-scratch-peek-y", "other"):
        (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / "hhh-scratch-dead-link").symlink_to(tmp_path / "other")
    with scratch.scratch_folder(tmp_path, "alive") as held:
        assert scratch.sweep(tmp_path) == 2
        assert {path for path in tmp_path.iterdir() if not path.is_symlink()} == {held, tmp_path / "other"}
    assert (tmp_path / "other" / "sub").exists()
    assert scratch.sweep(tmp_path / "missing") == 0


def test_what_a_killed_process_held_is_swept_and_not_before(tmp_path: Path) -> None:
    holding = (
        "import sys, pathlib, hhh.core.scratch as scratch\n"
        "with scratch.scratch_folder(pathlib.Path(sys.argv[1]), 'import') as folder:\n"
        "    (folder / 'dump').write_bytes(b'secret')\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holding, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        assert scratch.sweep(tmp_path) == 0
        process.kill()
    assert (held / "dump").exists()
    assert scratch.sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_makers_and_sweepers_of_scratch_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    done = threading.Event()

    def sweep_again_and_again() -> None:
        while not done.is_set():
            scratch.sweep(tmp_path)

    with ThreadPoolExecutor() as pool:
        sweeper = pool.submit(sweep_again_and_again)
        try:
            for number in range(300):
                with scratch.scratch_folder(tmp_path, "me") as folder:
                    (folder / str(number)).touch()
        finally:
            done.set()
        sweeper.result()
    assert list(tmp_path.iterdir()) == []
