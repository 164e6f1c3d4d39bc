"""What a killed process left running is found by where it works, and nothing else is ended."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hhh.core import scratch
from hhh.core.orphans import end_processes_in
from support.waiting import wait_until

_SLEEP = ("sleep", "60")


@pytest.fixture
def sleeping() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Those that a test starts; gone after it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def begin(sleeping: list["subprocess.Popen[bytes]"], folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    sleeping.append(subprocess.Popen(_SLEEP, cwd=folder, start_new_session=True))
    return sleeping[-1]


def test_what_works_in_the_folder_or_below_it_is_ended(
    tmp_path: Path, sleeping: list["subprocess.Popen[bytes]"]
) -> None:
    folder = tmp_path / "folder"
    inside = [begin(sleeping, folder), begin(sleeping, folder / "deeper" / "still")]
    outside = [begin(sleeping, tmp_path), begin(sleeping, tmp_path / "folder2")]
    assert end_processes_in(folder) == 2
    assert [process.poll() for process in inside] == [-9, -9]
    assert [process.poll() for process in outside] == [None, None]
    assert end_processes_in(folder) == 0


def test_a_folder_that_is_reached_by_a_link_is_the_same(
    tmp_path: Path, sleeping: list["subprocess.Popen[bytes]"]
) -> None:
    begin(sleeping, tmp_path / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert end_processes_in(tmp_path / "link") == 1


def test_who_looks_around_there_in_a_terminal_stays(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvp("sleep", _SLEEP)
    try:
        wait_until(lambda: psutil.Process(pid).cwd() == str(tmp_path), what="it to be in the folder")
        assert end_processes_in(tmp_path) == 0
        assert psutil.pid_exists(pid)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_this_process_is_never_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert end_processes_in(tmp_path) == 0


def test_a_sweep_ends_what_runs_in_abandoned_folders_alone(
    tmp_path: Path, sleeping: list["subprocess.Popen[bytes]"]
) -> None:
    abandoned = tmp_path / f"{scratch.SCRATCH_PREFIX}dead-1"
    left = begin(sleeping, abandoned / "pg")
    other = begin(sleeping, tmp_path / "other")
    # As the file of a server whose number is somebody else's by now.
    (abandoned / "pg" / "postmaster.pid").write_text(f"{other.pid}\n{abandoned / 'pg'}\n")
    with scratch.scratch_folder(tmp_path, "alive") as held:
        busy = begin(sleeping, held / "pg")
        assert scratch.sweep(tmp_path) == 1
        assert busy.poll() is None
    assert left.poll() == -9
    assert other.poll() is None
    assert not abandoned.exists()


def test_a_sweep_ends_what_is_left_of_a_folder_that_somebody_has_removed(
    tmp_path: Path, sleeping: list["subprocess.Popen[bytes]"]
) -> None:
    removed = tmp_path / f"{scratch.SCRATCH_PREFIX}dead-1"
    left = begin(sleeping, removed / "pg" / "data")
    other = begin(sleeping, tmp_path / "other" / "data")
    for folder in (removed, tmp_path / "other"):
        shutil.rmtree(folder)
    with scratch.scratch_folder(tmp_path, "alive") as held:
        busy = begin(sleeping, held / "pg")
        shutil.rmtree(held / "pg")
        assert scratch.sweep(tmp_path) == 0
        assert busy.poll() is None
    assert left.poll() == -9
    assert other.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_root_of_a_container_finds_those_of_another_account_as_well(
    tmp_path: Path, sleeping: list["subprocess.Popen[bytes]"]
) -> None:
    another_account = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *_SLEEP]
    sleeping.append(subprocess.Popen(another_account, cwd=tmp_path))
    wait_until(lambda: psutil.Process(sleeping[0].pid).uids().real == 65534, what="it to be another's")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    # Afterwards it is root again.
    program = f"""from pathlib import Path; from hhh.core.orphans import end_processes_in
print(end_processes_in(Path({str(tmp_path)!r})), list(Path({str(home)!r}).iterdir()))"""
    without_the_right = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", sys.executable, "-c"]
    ended = subprocess.run([*without_the_right, program], cwd="/", capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("1 []\n", "")
    assert sleeping[0].wait() == -9
