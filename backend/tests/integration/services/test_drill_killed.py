"""Drills whose process is killed: whatever they were doing, no process and, after the next sweep, no file is left."""

import contextlib
import json
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hhh.artifacts.retrieval import StoredBackup
from hhh.core import scratch
from hhh.engines.base import EngineKind
from support import drilling_process
from support.drilling import Drilling
from support.engine_rigs import RIGS
from support.piped import Piped
from support.session import current_session
from support.waiting import wait_until

STAGES = ["download", "restore", "compare"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def drilling(request: pytest.FixtureRequest) -> Iterator[Drilling]:
    """Of a database with one table, on each engine in turn; below folders that other accounts may enter."""
    folder = current_session().new_folder("killed")
    folder.chmod(0o755)
    (folder / "scratch").mkdir(mode=0o700)
    with RIGS[EngineKind(request.param)](request, folder / "scratch") as rig:
        rig.fill(300)
        yield Drilling(folder, rig)


@contextlib.contextmanager
def process_of(drilling: Drilling, backup: StoredBackup, stage: str | None = None) -> Iterator[Piped]:
    """A drill that has begun, and dies in that stage."""
    order = {
        "store": backup.storage.address.removeprefix("file://"),
        "manifest": backup.manifest.model_dump(mode="json"),
        "scratch_dir": str(drilling.scratch_dir),
        "pg_bin_dir": str(drilling.workplace.pg_bin_dir or ""),
        "stage": stage,
    }
    with Piped(drilling_process.__file__) as process:
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.close()
        assert process.stdout.readline() == b"begun\n"
        try:
            yield process
        finally:
            process.kill()


def uses(process: psutil.Process, folder: Path) -> bool:
    """Whether it works in the folder, or has a file there open."""
    with contextlib.suppress(psutil.Error):
        paths = [process.cwd(), *(file.path for file in process.open_files())]
        return any(Path(path).is_relative_to(folder) for path in paths)
    return False


def assert_nothing_is_left(folder: Path) -> None:
    def is_alone() -> bool:
        return not any(uses(process, folder) for process in psutil.process_iter())

    wait_until(is_alone, seconds=30, what="the end of all that the drill had started")
    scratch.sweep(folder)
    assert list(folder.iterdir()) == []


def test_a_drill_that_is_killed_at_any_stage_leaves_nothing(drilling: Drilling) -> None:
    backup = drilling.store(drilling.take())
    for stage in STAGES:
        with process_of(drilling, backup, stage) as process:
            assert process.wait(timeout=60) == -signal.SIGKILL
        assert_nothing_is_left(drilling.scratch_dir)
    assert drilling.drill(backup).reached == "proven"


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_drill_that_is_killed_at_any_moment_leaves_nothing(drilling: Drilling) -> None:
    backup = drilling.store(drilling.take())
    killed = 0
    for _ in range(50):
        with process_of(drilling, backup) as process:
            timer = threading.Timer(random.uniform(0, 3), process.kill)
            timer.start()
            killed += process.wait(timeout=60) == -signal.SIGKILL
            timer.cancel()
        assert_nothing_is_left(drilling.scratch_dir)
    assert killed > 5
