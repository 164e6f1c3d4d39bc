import functools
import random
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
import zstandard

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import StoredObject, sign_manifest
from hhh.artifacts.retrieval import manifests, read_manifest
from hhh.core.errors import (
    ArtifactDamaged,
    Cancelled,
    IdentityMissing,
    ObjectMissing,
    ScratchError,
    StorageUnavailable,
)
from hhh.core.run import Progress, Run, Unattended
from hhh.storages.local import LocalStorage
from support.filesystems import SmallFilesystem
from support.stored_backups import FACTS, BackupMaker, zstd
from support.waiting import wait_until

#: A few pieces of the stream, half of it compressible.
_RANDOM = random.Random(1)
CONTENT = b"".join(_RANDOM.randbytes(50_000) + bytes(50_000) for _ in range(30))


class Watching:
    """A run that keeps what is reported, and does something with each report."""

    def __init__(self) -> None:
        self.reports: list[Progress] = []

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def raise_if_cancelled(self) -> None:
        pass


class CancelledSoon(Watching):
    """A run that is cancelled after its first report."""

    def raise_if_cancelled(self) -> None:
        if self.reports:
            raise Cancelled("by the operator")


class BreakingOff(LocalStorage):
    """A store that stops to answer in the middle of an object."""

    def read(self, key: str) -> Iterator[bytes]:
        yield next(super().read(key))[:1000]
        raise StorageUnavailable("no answer")


@pytest.fixture(params=[False, True], ids=["in clear", "encrypted"])
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> BackupMaker:
    return BackupMaker(LocalStorage(tmp_path / "store"), encrypted=request.param)


@pytest.fixture
def clear(tmp_path: Path) -> BackupMaker:
    return BackupMaker(LocalStorage(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not pipeline_threads(), what="the end of all threads of the stream")


def pipeline_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "hhh-pipeline"]


def fetch(maker: BackupMaker, path: Path, *, stored: StoredObject | None = None, run: Run | None = None) -> bytes:
    """Fetches the dump, or another object in its place; answers what was written."""
    manifest = maker.store(CONTENT)
    maker.opened(manifest).fetch(stored or manifest.object, path, run or Unattended())
    return path.read_bytes()


def without_checksum(content: bytes) -> bytes:
    """A frame that tells neither its checksum nor its size."""
    return zstandard.ZstdCompressor(write_checksum=False, write_content_size=False).compress(content)


def content_of(maker: BackupMaker, key: str) -> bytes:
    return b"".join(maker.storage.read(key))


def test_what_was_stored_comes_back_in_a_private_file(maker: BackupMaker, tmp_path: Path) -> None:
    path = tmp_path / "dump"

    assert fetch(maker, path) == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_comes_back_in_pieces_as_well(maker: BackupMaker) -> None:
    manifest = maker.store(CONTENT, {"schema.dump": b"a schema"})
    backup = maker.opened(manifest)

    assert b"".join(backup.plain(manifest.object)) == CONTENT
    assert b"".join(backup.plain(manifest.attachments[0])) == b"a schema"
    assert backup.facts() == FACTS


@pytest.mark.parametrize("content", [b"", b"x", bytes(1 << 20), bytes((1 << 20) + 1), bytes(3 << 20)])
def test_any_length_comes_back(maker: BackupMaker, tmp_path: Path, content: bytes) -> None:
    manifest = maker.store(content)
    maker.opened(manifest).fetch(manifest.object, tmp_path / "dump", Unattended())

    assert (tmp_path / "dump").read_bytes() == content


def test_the_progress_is_that_of_the_stored_object(maker: BackupMaker, tmp_path: Path) -> None:
    run = Watching()
    fetch(maker, tmp_path / "dump", run=run)

    size = maker.storage.head(maker.keys.object).size
    assert run.reports[-1] == Progress("download", size, expected_bytes=size)
    assert [each.raw_bytes for each in run.reports] == sorted(each.raw_bytes for each in run.reports)


@pytest.mark.parametrize("place", [0, 30, 200, 100_000, 1_000_000, -60, -1])
def test_a_flipped_bit_is_told_by_the_hash_wherever_it_is(maker: BackupMaker, tmp_path: Path, place: int) -> None:
    manifest = maker.store(CONTENT)
    damaged = bytearray(content_of(maker, manifest.object.key))
    damaged[place] ^= 1
    maker.replace(manifest.object.key, bytes(damaged))

    with pytest.raises(ArtifactDamaged, match=manifest.object.sha256) as raised:
        maker.opened(manifest).fetch(manifest.object, tmp_path / "dump", Unattended())
    assert manifest.object.key in str(raised.value)
    assert not (tmp_path / "dump").exists()
    with pytest.raises(ArtifactDamaged, match=manifest.object.sha256):
        list(maker.opened(manifest).plain(manifest.object))
    with pytest.raises(ArtifactDamaged, match=manifest.object.sha256):
        maker.opened(manifest).verify(Unattended())


@pytest.mark.parametrize("size", [0, 1, 100, 500_000, -100, -1])
def test_a_truncated_object_is_told_by_its_size(maker: BackupMaker, tmp_path: Path, size: int) -> None:
    manifest = maker.store(CONTENT)
    maker.replace(manifest.object.key, content_of(maker, manifest.object.key)[:size])

    with pytest.raises(ArtifactDamaged, match=f"{manifest.object.size} were stored"):
        maker.opened(manifest).fetch(manifest.object, tmp_path / "dump", Unattended())
    assert not (tmp_path / "dump").exists()


def test_an_object_in_the_place_of_another_is_told_by_its_hash(maker: BackupMaker, tmp_path: Path) -> None:
    manifest = maker.store(CONTENT)
    maker.put(manifest.object.key, zstd(CONTENT[:-1] + b"!"), len(CONTENT))

    with pytest.raises(ArtifactDamaged, match=r"SHA-256|were stored"):
        maker.opened(manifest).fetch(manifest.object, tmp_path / "dump", Unattended())
    assert not (tmp_path / "dump").exists()


def test_an_object_that_is_gone_is_missing(maker: BackupMaker, tmp_path: Path) -> None:
    manifest = maker.store(CONTENT)
    maker.storage.delete(manifest.object.key)

    with pytest.raises(ObjectMissing, match=manifest.object.key):
        maker.opened(manifest).fetch(manifest.object, tmp_path / "dump", Unattended())
    with pytest.raises(ObjectMissing, match=manifest.object.key):
        maker.opened(manifest).verify(Unattended())
    assert not (tmp_path / "dump").exists()


@pytest.mark.parametrize("names", [[], [str(pyrage.x25519.Identity.generate())]])
def test_without_an_identity_that_fits_nothing_is_read(tmp_path: Path, names: list[str]) -> None:
    maker = BackupMaker(BreakingOff(tmp_path / "store"), encrypted=True)
    manifest = maker.store(CONTENT)
    backup = maker.opened(manifest, Identities(names))

    for reading in (
        lambda: backup.fetch(manifest.object, tmp_path / "dump", Unattended()),
        lambda: list(backup.plain(manifest.object)),
        backup.facts,
    ):
        with pytest.raises(IdentityMissing, match=manifest.recipients[0]):
            reading()
    assert not (tmp_path / "dump").exists()


@pytest.mark.parametrize(
    ("packed", "raw_size", "said"),
    [
        pytest.param(b"no zstd at all", 14, "does not unpack", id="no zstd"),
        pytest.param(zstd(CONTENT)[:-1], len(CONTENT), "checksum", id="no end of the checksum"),
        pytest.param(zstd(CONTENT)[:-4], len(CONTENT), "checksum", id="no checksum"),
        pytest.param(zstd(CONTENT)[:-9], len(CONTENT), "does not unpack", id="no last block"),
        pytest.param(zstd(CONTENT) + b"more", len(CONTENT), "does not unpack", id="garbage behind it"),
        pytest.param(zstd(CONTENT)[:-1] + b"x", len(CONTENT), "checksum", id="another checksum"),
        pytest.param(zstd(CONTENT), len(CONTENT) + 1, f"{len(CONTENT)} bytes", id="less than was backed up"),
        pytest.param(zstd(CONTENT), len(CONTENT) - 1, "longer", id="more than was backed up"),
        pytest.param(
            without_checksum(CONTENT)[:-3], len(CONTENT), "does not unpack", id="no last block and no checksum at all"
        ),
        pytest.param(b"", 10, "0 bytes", id="nothing"),
    ],
)
def test_what_was_stored_wrongly_is_told_though_its_hash_holds(
    maker: BackupMaker, tmp_path: Path, packed: bytes, raw_size: int, said: str
) -> None:
    check_is_told(maker, tmp_path / "dump", packed, raw_size, said)


def test_a_gigabyte_out_of_nothing_is_told(maker: BackupMaker, tmp_path: Path) -> None:
    check_is_told(maker, tmp_path / "dump", bomb(), 1000, "longer")


def check_is_told(maker: BackupMaker, dump: Path, packed: bytes, raw_size: int, said: str) -> None:
    stored = maker.put("installation/app/other.zst", packed, raw_size)

    with pytest.raises(ArtifactDamaged, match=said):
        fetch(maker, dump, stored=stored)
    assert not dump.exists()


@functools.cache
def bomb() -> bytes:
    """A gigabyte, as a few kilobytes."""
    return zstd(bytes(1 << 30))


def test_a_bomb_is_not_written_beyond_the_size_that_was_backed_up(clear: BackupMaker) -> None:
    manifest = clear.store(CONTENT)
    stored = clear.put("installation/app/other.zst", bomb(), 3 << 20)
    written = 0

    with pytest.raises(ArtifactDamaged, match="longer"):  # noqa: PT012  what came before it is the point
        for piece in clear.opened(manifest).plain(stored):
            written += len(piece)
    assert written <= 3 << 20


def test_several_frames_and_long_windows_are_taken(maker: BackupMaker, tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27, write_checksum=True)
    skipped = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"notes"
    packed = zstd(CONTENT) + skipped + zstandard.ZstdCompressor(compression_params=parameters).compress(CONTENT)
    stored = maker.put("installation/app/other.zst", packed, 2 * len(CONTENT))

    assert fetch(maker, tmp_path / "dump", stored=stored) == CONTENT + CONTENT


def test_a_file_that_is_there_is_kept(maker: BackupMaker, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"kept")

    with pytest.raises(ScratchError, match="File exists") as refused:
        fetch(maker, tmp_path / "dump")
    assert refused.value.hint == "choose another name, or move it away"
    assert (tmp_path / "dump").read_bytes() == b"kept"


def test_a_disk_without_room_is_refused_at_once(maker: BackupMaker, small_filesystem: SmallFilesystem) -> None:
    folder = small_filesystem(1 << 20)

    with pytest.raises(ScratchError, match=f"needs {len(CONTENT)} bytes, 1048576 are free"):
        fetch(maker, folder / "dump")
    assert list(folder.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(clear: BackupMaker, small_filesystem: SmallFilesystem) -> None:
    folder = small_filesystem(4 << 20)

    class Filling(Watching):
        def report(self, progress: Progress) -> None:
            (folder / "somebody else's").write_bytes(bytes(2 << 20))

    with pytest.raises(ScratchError, match=f"No space left on device; it needs {len(CONTENT)} bytes"):
        fetch(clear, folder / "dump", run=Filling())
    assert [each.name for each in folder.iterdir()] == ["somebody else's"]


def test_a_cancelled_download_leaves_nothing(maker: BackupMaker, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        fetch(maker, tmp_path / "dump", run=CancelledSoon())
    assert not (tmp_path / "dump").exists()


def test_a_store_that_hangs_does_not_hold_up_a_cancel(tmp_path: Path) -> None:
    release = threading.Event()

    class Hanging(LocalStorage):
        def read(self, key: str) -> Iterator[bytes]:
            yield b"\x28"
            release.wait(60)

    class CancelledAtOnce(Watching):
        def raise_if_cancelled(self) -> None:
            release.set()
            raise Cancelled("by the operator")

    maker = BackupMaker(Hanging(tmp_path / "store"))
    with pytest.raises(Cancelled):
        fetch(maker, tmp_path / "dump", run=CancelledAtOnce())
    assert not (tmp_path / "dump").exists()


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_store_that_breaks_off_is_not_taken_for_damage(tmp_path: Path, encrypted: bool) -> None:
    maker = BackupMaker(BreakingOff(tmp_path / "store"), encrypted=encrypted)

    with pytest.raises(StorageUnavailable):
        fetch(maker, tmp_path / "dump")
    assert not (tmp_path / "dump").exists()


def test_a_reader_may_go_away(maker: BackupMaker) -> None:
    manifest = maker.store(random.randbytes(16 << 20))  # more than what the threads are ahead
    pieces = maker.opened(manifest).plain(manifest.object)
    assert next(pieces)
    assert pipeline_threads()

    pieces.close()  # and the fixture sees that its threads end


@pytest.mark.parametrize("which", ["object", "facts", "attachment"])
def test_a_check_reads_all_objects(maker: BackupMaker, which: str) -> None:
    manifest = maker.store(CONTENT, {"schema.dump": b"a schema"})
    run = Watching()
    maker.opened(manifest).verify(run)
    total = manifest.object.size + manifest.facts.size + manifest.attachments[0].size
    assert run.reports[-1] == Progress("checks", total, expected_bytes=total)

    damaged = {"object": manifest.object, "facts": manifest.facts, "attachment": manifest.attachments[0]}[which]
    maker.replace(damaged.key, bytes(damaged.size))
    with pytest.raises(ArtifactDamaged, match=damaged.key):
        maker.opened(manifest).verify(Unattended())


def test_facts_of_another_form_are_damaged(maker: BackupMaker) -> None:
    manifest = maker.store(CONTENT)
    for content in (b"{}", b'{"engine": "oracle"}', b"\xff"):
        stored = maker.put(manifest.facts.key, content, len(content), compressed=False)
        with pytest.raises(ArtifactDamaged, match="facts"):
            maker.opened(manifest.model_copy(update={"facts": stored})).facts()


def test_manifests_are_found_among_other_objects(clear: BackupMaker) -> None:
    manifest = clear.store(CONTENT, {"schema.dump": b"a schema"})
    clear.target = "other"
    other = clear.store(CONTENT)
    clear.storage.create("installation/notes.json", b"{}")

    found = {each.key: each.manifest for each in manifests(clear.storage, {clear.signing_key.public_key})}
    assert found == {f"installation/{each.target}/backup_20250101_120000.sql.json": each for each in (manifest, other)}
    assert [each.manifest for each in manifests(clear.storage, None, "installation/other")] == [other]


def test_a_manifest_that_does_not_count_says_why(clear: BackupMaker) -> None:
    clear.store(CONTENT)
    good, trusted = content_of(clear, clear.keys.manifest), {clear.signing_key.public_key}
    others = {
        "backup_20250101_120001.sql": (b"{", "JSON"),
        "backup_20250101_120002.sql": (good.replace(b'"app"', b'"apq"'), "does not hold"),
        "backup_20250101_120003.sql": (good, "It was moved here"),
    }
    for name, (content, _) in others.items():
        clear.storage.create(f"installation/app/{name}.json", content)
    stranger = BackupMaker(clear.storage, backup_file="backup_20250101_120004.sql")
    stranger.store(CONTENT)

    found = {each.key.removeprefix("installation/app/"): each for each in manifests(clear.storage, trusted)}
    assert found.pop("backup_20250101_120000.sql.json").problem is None
    strange = found.pop("backup_20250101_120004.sql.json")
    assert (strange.manifest, "not trusted" in (strange.problem or "")) == (None, True)
    assert found.keys() == {f"{name}.json" for name in others}
    for name, (content, said) in others.items():
        each = found[f"{name}.json"]
        assert (each.manifest, each.content) == (None, content)
        assert said in (each.problem or "")


def test_a_manifest_that_names_the_objects_of_another_backup_does_not_count(clear: BackupMaker) -> None:
    victim = clear.store(CONTENT, {"schema.dump": b"a schema"})
    clear.backup_file = "backup_20250101_120001.sql"
    own = clear.store(CONTENT, {"schema.dump": b"a schema"})
    for stolen in ({"object": victim.object}, {"facts": victim.facts}, {"attachments": victim.attachments}):
        clear.storage.delete(clear.keys.manifest)
        clear.storage.create(clear.keys.manifest, sign_manifest(own.model_copy(update=stolen), clear.signing_key))
        found = read_manifest(clear.storage, clear.keys.manifest, {clear.signing_key.public_key})
        assert (found.manifest, "no object of this backup" in (found.problem or "")) == (None, True)
