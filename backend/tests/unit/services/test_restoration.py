"""A restore from checks to receipt: the order of checks, what stops it, and what it leaves, whatever ends it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest
from hhh.core.errors import (
    ArtifactDamaged,
    Cancelled,
    InvalidInput,
    RestoreFailed,
    RestoreUnsafe,
    StorageUnavailable,
    TargetUnreachable,
)
from hhh.core.run import Progress, Unattended
from hhh.engines import registry
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.restoring import Destination, RestoreMode
from hhh.schemas.facts import TableFacts
from hhh.schemas.restore import Check, Plan
from hhh.services.restoration import Restoration
from hhh.storages.base import ObjectInfo
from hhh.storages.local import LocalStorage
from support.file_restorer import FileRestorer
from support.stored_backups import FACTS, BackupMaker

CONTENT = b"all that is in the database" * 1000
LIVE = b"what was there before"
SIGNATURE = Check(name="signature", status="ok", message="It is ours")
ROLES = Check(name="roles", status="unsafe", message="The role clerk is missing", acknowledge="roles")
SLOTS = Check(name="slots", status="unsafe", message="A slot is active", acknowledge="slots")
LOCKED = Check(name="locked", status="unsafe", message="Somebody holds it")


class Watched(Unattended):
    """A run that remembers its stages, and is cancelled in one of them."""

    def __init__(self, cancelled_in: str | None = None) -> None:
        self.stages: list[str] = []
        self._cancelled_in = cancelled_in

    def report(self, progress: Progress) -> None:
        if self.stages[-1:] != [progress.stage]:
            self.stages.append(progress.stage)

    def raise_if_cancelled(self) -> None:
        if self._cancelled_in is not None and self._cancelled_in in self.stages:
            raise Cancelled("It was cancelled")


class Bench:
    """A stored backup, a place to bring it back to, and a restorer that does as it is told."""

    def __init__(self, folder: Path, restorer: FileRestorer) -> None:
        self.restorer = restorer
        self.maker = BackupMaker(LocalStorage(folder / "store"))
        self.manifest = self.maker.store(CONTENT)
        self.scratch = folder / "scratch"
        self.scratch.mkdir(mode=0o700)
        self.live = folder / "live"
        self.live.mkdir()
        self.path = self.live / "app.db"

    def restoration(
        self, *, manifest: Manifest | None = None, identities: Identities | None = None, **more: Any
    ) -> Restoration:
        mode = RestoreMode.REPLACE if self.path.exists() else RestoreMode.NEW
        acknowledged = frozenset(more.pop("acknowledged", ()))
        destination = Destination("", str(self.path), mode, "abcd1234", acknowledged=acknowledged)
        backup = self.maker.opened(manifest or self.manifest, identities)
        return Restoration(backup, destination, Workplace(self.scratch), **more)

    def encrypt(self) -> None:
        """From now on the backup is an encrypted one."""
        self.maker = dataclasses.replace(self.maker, encrypted=True, backup_file="backup_20250101_120001.sql")
        self.manifest = self.maker.store(CONTENT)

    def damage(self, key: str) -> None:
        content = b"".join(self.maker.storage.read(key))
        self.maker.replace(key, content[:-1] + bytes([content[-1] ^ 1]))

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.live.iterdir()}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path, FileRestorer(FACTS))
    monkeypatch.setitem(registry.RESTORERS, EngineKind.SQLITE, bench.restorer)
    return bench


def named(checks: Sequence[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def test_checks_stand_in_one_order_and_the_engines_own_come_last(bench: Bench) -> None:
    bench.restorer.found = [ROLES, Check(name="version", status="ok", message="The same")]
    plan = bench.restoration(earlier_checks=(SIGNATURE,), measured_rate=1000.0).plan(Unattended())
    assert list(named(plan.checks).items()) == [
        ("signature", "ok"),
        ("object", "ok"),
        ("identity", "ok"),
        ("scratch_space", "ok"),
        ("roles", "unsafe"),
        ("version", "ok"),
    ]
    assert plan.reasons == [ROLES]
    assert plan.steps == [f"write {len(CONTENT)} bytes to {bench.path}"]
    assert plan.expected_seconds == len(CONTENT) / 1000
    assert bench.restoration().plan(Unattended()).expected_seconds is None
    assert bench.files() == {}


def test_a_named_check_is_acknowledged_and_one_that_is_not_known_is_told(bench: Bench) -> None:
    bench.restorer.found = [ROLES, SLOTS, LOCKED]
    accepted = bench.restoration(acknowledged=("roles", "locked", "object")).plan(Unattended())
    assert named(accepted.reasons) == {"slots": "unsafe", "locked": "unsafe"}
    assert named(accepted.checks)["roles"] == "acknowledged"
    with pytest.raises(InvalidInput, match="'rolls'") as refused:
        bench.restoration(acknowledged=("rolls", "slots")).plan(Unattended())
    assert refused.value.hint == "known are roles, slots"


@pytest.mark.parametrize("part", ["object", "facts"])
def test_a_damaged_object_is_found_by_a_thorough_plan_only_and_nothing_helps(bench: Bench, part: str) -> None:
    bench.damage(getattr(bench.manifest, part).key)
    thorough = bench.restoration(acknowledged=()).plan(Unattended())
    (reason, *more) = thorough.reasons
    assert (reason.name, reason.acknowledge) == ("object", None)
    assert "damaged" in reason.message
    assert [check.name for check in more] == (["facts"] if part == "facts" else [])


def test_missing_and_truncated_objects_are_found_by_every_plan(bench: Bench) -> None:
    key = bench.manifest.object.key
    content = b"".join(bench.maker.storage.read(key))
    for changed in (content[:-1], content + b"\0", b""):
        bench.maker.replace(key, changed)
        assert named(bench.restoration().plan(Unattended(), thorough=False).reasons) == {"object": "unsafe"}
    bench.maker.storage.delete(bench.manifest.object.key)
    for thorough in (True, False):
        assert named(bench.restoration().plan(Unattended(), thorough=thorough).reasons) == {"object": "unsafe"}


def test_without_its_identity_an_encrypted_backup_says_so_and_the_destination_is_not_looked_at(bench: Bench) -> None:
    bench.encrypt()
    bench.restorer.blind = AssertionError("it was looked at")
    for identities in (Identities(), BackupMaker(bench.maker.storage).identities):
        plan = bench.restoration(identities=identities, acknowledged=("roles",)).plan(Unattended())
        assert list(named(plan.checks)) == ["object", "identity", "scratch_space"]
        assert named(plan.reasons) == {"identity": "unsafe"}
        assert plan.steps == []
    bench.restorer.blind = None
    assert bench.restoration().plan(Unattended()).reasons == []


def test_facts_that_can_not_be_read_are_one_more_finding(bench: Bench) -> None:
    bench.maker.storage.delete(bench.manifest.facts.key)
    bench.restorer.blind = AssertionError("it was looked at")
    plan = bench.restoration().plan(Unattended())
    assert named(plan.reasons) == {"object": "unsafe", "facts": "unsafe"}


def test_a_destination_that_can_not_be_looked_at_is_a_finding(bench: Bench) -> None:
    bench.restorer.blind = TargetUnreachable("No connection: refused", hint="start it")
    (reason,) = bench.restoration().plan(Unattended()).reasons
    assert (reason.name, reason.acknowledge) == ("destination", None)
    assert "No connection: refused (start it)" in reason.message


def test_scratch_that_is_too_small_is_told_with_both_numbers(bench: Bench) -> None:
    huge = bench.manifest.object.model_copy(update={"raw_size": 1 << 52})
    manifest = bench.manifest.model_copy(update={"object": huge})
    (reason,) = bench.restoration(manifest=manifest).plan(Unattended()).reasons
    assert reason.name == "scratch_space"
    assert reason.message.startswith(f"{1 << 52} bytes ")
    assert "HHH_SCRATCH_DIR" in reason.message


def test_a_store_that_does_not_answer_is_no_finding(bench: Bench) -> None:
    class Silent(LocalStorage):
        def head(self, key: str) -> ObjectInfo:
            raise StorageUnavailable("No answer")

    bench.maker = dataclasses.replace(bench.maker, storage=Silent(bench.live.parent / "store"))
    with pytest.raises(StorageUnavailable):
        bench.restoration().plan(Unattended(), thorough=False)


def test_a_restore_ends_with_a_receipt_and_keeps_what_it_replaced(bench: Bench) -> None:
    bench.path.write_bytes(LIVE)
    bench.restorer.warnings = ("The owner is another one",)
    run, plans = Watched(), list[Plan]()

    receipt = bench.restoration(earlier_checks=(SIGNATURE,)).perform(run, planned=plans.append)

    assert run.stages == ["checks", "download", "restore", "compare", "swap"]
    assert named(plans[0].checks)["signature"] == "ok"
    assert bench.files() == {"app.db": CONTENT, "app.db.before": LIVE}
    assert (receipt.source, receipt.restored) == ({"tables": 0, "rows": 0, "objects": 0},) * 2
    assert (receipt.differences, receipt.errors, receipt.warnings) == ([], [], ["The owner is another one"])
    assert (receipt.raw_bytes, receipt.kept) == (len(CONTENT), f"{bench.path}.before")
    assert receipt.duration_seconds > 0
    assert receipt.bytes_per_second == pytest.approx(len(CONTENT) / receipt.duration_seconds)


def test_nothing_is_touched_while_anything_is_unsafe_and_every_reason_is_told(bench: Bench) -> None:
    bench.path.write_bytes(LIVE)
    bench.restorer.found = [ROLES, LOCKED]
    run, plans = Watched(), list[Plan]()
    with pytest.raises(RestoreUnsafe, match="The role clerk is missing; Somebody holds it") as unsafe:
        bench.restoration().perform(run, planned=plans.append)
    assert [reason["name"] for reason in unsafe.value.reasons] == ["roles", "locked"]
    assert [check.name for check in plans[0].reasons] == ["roles", "locked"]
    assert run.stages == ["checks"]
    assert bench.files() == {"app.db": LIVE}

    bench.restorer.found = [ROLES]
    with pytest.raises(RestoreUnsafe) as unsafe:
        bench.restoration().perform(run)
    assert unsafe.value.hint is not None
    assert "roles" in unsafe.value.hint
    bench.restoration(acknowledged=("roles",)).perform(run)
    assert bench.files()["app.db"] == CONTENT


def test_a_damaged_object_stops_the_restore_before_anything_is_built(bench: Bench) -> None:
    bench.path.write_bytes(LIVE)
    bench.damage(bench.manifest.object.key)
    run = Watched()
    with pytest.raises(ArtifactDamaged) as damaged:
        bench.restoration().perform(run)
    assert damaged.value.code == "ERR_RESTORE_UNSAFE"
    assert run.stages[-1] == "download"
    assert bench.files() == {"app.db": LIVE}
    assert list(bench.scratch.iterdir()) == []


def test_an_error_of_the_tool_is_a_failure_with_a_receipt_and_discards(bench: Bench) -> None:
    bench.path.write_bytes(LIVE)
    bench.restorer.errors = ("ERROR: one", "ERROR: two", "ERROR: three", "ERROR: four")
    with pytest.raises(RestoreFailed, match=r"4 errors \(ERROR: one, ERROR: two, ERROR: three, …\)") as failed:
        bench.restoration().perform(Unattended())
    assert failed.value.receipt is not None
    assert failed.value.receipt["errors"] == list(bench.restorer.errors)
    assert bench.files() == {"app.db": LIVE}


def test_a_difference_is_a_failure_that_names_it(bench: Bench) -> None:
    bench.path.write_bytes(LIVE)
    table = TableFacts(schema_name="", name="orders", rows=1)
    bench.restorer.facts = FACTS.model_copy(update={"tables": [table]})
    with pytest.raises(RestoreFailed, match=r"difference.*orders") as failed:
        bench.restoration().perform(Unattended())
    assert failed.value.receipt is not None
    assert failed.value.receipt["restored"] == {"tables": 1, "rows": 1, "objects": 0}
    assert failed.value.receipt["differences"]
    assert bench.files() == {"app.db": LIVE}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), Cancelled("no more")])
def test_whatever_is_raised_before_the_swap_nothing_is_left(bench: Bench, error: BaseException) -> None:
    bench.path.write_bytes(LIVE)

    def prepare(_built: object) -> None:
        assert len(bench.files()) == 2
        raise error

    with pytest.raises(type(error)):
        bench.restoration().perform(Unattended(), prepare=prepare)
    assert bench.files() == {"app.db": LIVE}


@pytest.mark.parametrize("stage", ["checks", "download", "restore", "compare"])
def test_a_run_that_is_cancelled_at_any_stage_leaves_nothing(bench: Bench, stage: str) -> None:
    bench.path.write_bytes(LIVE)
    run = Watched(cancelled_in=stage)
    with pytest.raises(Cancelled):
        bench.restoration().perform(run)
    assert "swap" not in run.stages
    assert bench.files() == {"app.db": LIVE}


def test_a_clean_up_that_fails_does_not_hide_why(bench: Bench) -> None:
    bench.restorer.errors = ("ERROR: one",)
    bench.restorer.stuck = TargetUnreachable("No connection")
    with pytest.raises(RestoreFailed, match="ERROR: one") as failed:
        bench.restoration().perform(Unattended())
    (note,) = failed.value.__notes__
    assert "No connection" in note
