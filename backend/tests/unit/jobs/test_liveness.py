"""How processes of one machine know which workers live."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hhh.core.errors import ConfigurationError
from hhh.jobs.liveness import Liveness


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "workers").iterdir()]


def test_a_worker_is_alive_as_long_as_its_block_runs(tmp_path: Path) -> None:
    liveness = Liveness(tmp_path)
    assert liveness.dead() == []
    with liveness.alive() as one, liveness.alive() as other:
        assert one != other
        assert liveness.dead() == Liveness(tmp_path).dead() == []
        assert sorted(files(tmp_path)) == sorted([f"{one}.lock", f"{other}.lock"])
    assert files(tmp_path) == []


def test_a_worker_may_leave_what_it_has_to_others(tmp_path: Path) -> None:
    liveness = Liveness(tmp_path)
    with liveness.alive() as worker:
        liveness.leave_for_others(worker)
        assert liveness.dead() == []
    assert liveness.dead() == [worker]
    liveness.bury(worker)
    liveness.bury(worker)
    assert files(tmp_path) == []


def test_a_killed_process_is_dead_at_once_though_a_program_it_started_lives(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path; from hhh.jobs.liveness import Liveness\n"
        f"with Liveness(Path({str(tmp_path)!r})).alive() as name:\n"
        f"    child = subprocess.Popen([{sys.executable!r}, '-c', 'import sys; sys.stdin.read()'])\n"
        "    print(name, flush=True); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=-1, stdout=-1, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert Liveness(tmp_path).dead() == []
        process.kill()
        process.wait()
        assert Liveness(tmp_path).dead() == [name]
        os.killpg(process.pid, signal.SIGKILL)


def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "workers").write_text("")
    with pytest.raises(ConfigurationError, match="workers"), Liveness(tmp_path).alive():
        pass
