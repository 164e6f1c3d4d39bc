"""Programs that fail, flood, hang and leave children behind."""

import os
import resource
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from hhh.core.errors import ToolFailed, ToolMissing
from hhh.core.process import Child, child_environment, output_of, running
from support.waiting import wait_until

FLOOD = 100 << 20


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


def finish(program: str) -> Child:
    with running(python(program), environment={}, name="tool") as child:
        child.finish()
    return child


def test_what_a_program_prints_is_answered() -> None:
    assert output_of(python("print('some 1.2.3')")) == "some 1.2.3\n"


def test_an_error_has_the_name_the_status_and_the_tools_own_last_line() -> None:
    program = "import sys; print('first\\n\\n  the reason \\n\\n', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ToolFailed) as failed:
        finish(program)
    assert str(failed.value) == "tool failed with status 3: the reason"


def test_a_program_that_says_nothing_still_makes_a_sentence() -> None:
    with pytest.raises(ToolFailed, match="tool failed with status 1: it said nothing"):
        finish("import sys; sys.exit(1)")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_an_end_by_a_signal_is_named(number: signal.Signals) -> None:
    with pytest.raises(ToolFailed, match=f"tool was ended by {number.name}"):
        finish(f"import os; os.kill(os.getpid(), {int(number)})")


def test_bytes_that_are_no_text_are_replaced() -> None:
    with pytest.raises(ToolFailed, match="caf\N{REPLACEMENT CHARACTER}"):
        finish(r"import os; os.write(2, b'caf\xe9'); os._exit(1)")


@pytest.mark.parametrize("line", [b"x" * 999 + b"\n", b"x" * 1000], ids=["lines", "no line break"])
def test_a_flood_of_messages_neither_blocks_nor_grows(line: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program = (
        "import os\n"
        f"block = {line!r} * 1000\n"
        f"for _ in range({FLOOD} // len(block)):\n"
        "    written = 0\n"
        "    while written < len(block): written += os.write(2, block[written:])\n"
        "os.write(2, b'\\nthe reason\\n'); os._exit(1)"
    )
    with pytest.raises(ToolFailed, match="status 1: the reason"):
        finish(program)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 20 * 1024


def test_only_the_last_lines_are_kept_and_none_is_long() -> None:
    child = finish("import sys; [print(f'{n} ' + 'x' * 5000, file=sys.stderr) for n in range(100)]")
    assert len(child.last_lines) == 40
    assert child.last_lines[-1].startswith("99 xxx")
    assert max(map(len, child.last_lines)) == 500


def test_a_program_and_all_it_started_have_ended_when_the_block_is_left() -> None:
    program = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with running(python(program), environment={}) as child:
        grandchild = int(child.stdout.read(100) or b"")
    for pid in (child.pid, grandchild):
        wait_until(lambda pid=pid: _has_ended(pid), what=f"the end of process {pid}")  # type: ignore[misc]


def test_a_grandchild_that_outlives_its_parent_keeps_nobody_waiting() -> None:
    # It holds standard error open: whoever waits for the end of that stream would wait for ten minutes.
    program = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(600)'], stdout=subprocess.DEVNULL)\n"
        "os.write(2, b'the reason\\n'); os._exit(4)"
    )
    with pytest.raises(ToolFailed, match="status 4: the reason"):
        finish(program)


def test_a_kill_from_another_thread_ends_whoever_waits() -> None:
    with running(python("import time; time.sleep(600)"), environment={}, name="tool") as child:
        threading.Thread(target=child.kill).start()
        with pytest.raises(ToolFailed, match="SIGKILL"):
            child.finish()


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable", "not a program"])
def test_what_can_not_be_started_is_named(tmp_path: Path, kind: str) -> None:
    tool = tmp_path / "pg_dump"
    if kind == "folder":
        tool.mkdir()
    elif kind != "missing":
        tool.write_bytes(b"\x00\x01\x02")
        tool.chmod(0o755 if kind == "not a program" else 0o644)
    with pytest.raises(ToolMissing, match="pg_dump can't be started"), running([tool], environment={}):
        pass


def test_settings_and_secrets_do_not_reach_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HHH_SECRET_KEY": "s1", "AWS_SECRET_ACCESS_KEY": "s2", "PGPASSWORD": "s3", "OTHER": "s4"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    printed = output_of(python("import os; print(dict(os.environ))"), environment={"PGUSER": "me"})
    assert "me" in printed
    assert not any(name in printed for name in secrets)
    assert child_environment({"PATH": "/other"})["PATH"] == "/other"


def test_a_program_has_nothing_to_read_unless_it_is_given_something() -> None:
    assert output_of(python("import sys; print(len(sys.stdin.read()))")) == "0\n"
    with running(python("import sys; print(sys.stdin.read())"), environment={}, stdin=True) as child:
        child.stdin.write(b"hello")
        child.stdin.close()
        assert (child.stdout.readall() or b"").strip() == b"hello"
        child.finish()


def test_no_descriptor_of_ours_is_left_open_here_or_there() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  the descriptor that lists is in both
    with open(os.devnull) as ours:  # noqa: PTH123  any open file will do
        there = output_of(python("import os; print(os.listdir('/proc/self/fd'))"))
        assert str(ours.fileno()) not in eval(there)[3:]
        assert len(eval(there)) <= 4
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
