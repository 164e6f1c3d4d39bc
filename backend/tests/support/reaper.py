"""A program of its own: waits for the end of its standard input, then clears up what the test session left.

Lines `+PID` and `-PID` say which process groups are alive. On the end of input each group gets SIGQUIT (an immediate
shutdown for PostgreSQL, which so releases its shared memory), then SIGKILL; then the folders given as arguments go.
Standard library only, no imports from the tests: it starts in some 15 ms.
"""

import os
import shutil
import signal
import subprocess
import sys
import time


def alive(group: int) -> bool:
    """Whether the process group still has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def signal_all(groups: set[int], number: int) -> None:
    """Send a signal to every group that is still there."""
    for group in groups:
        if alive(group):
            os.killpg(group, number)


def end_groups(groups: set[int], *, seconds: float) -> None:
    """SIGQUIT, time to obey, SIGKILL."""
    signal_all(groups, signal.SIGQUIT)
    deadline = time.monotonic() + seconds
    while any(alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.01)
    signal_all(groups, signal.SIGKILL)


def remove(folder: str) -> None:
    """Unmount what is mounted in the folder, then remove it."""
    for parent, children, _ in os.walk(folder):
        for child in children:
            path = os.path.join(parent, child)  # noqa: PTH118 - pathlib doubles the start-up time
            if os.path.ismount(path):
                subprocess.run(["umount", "--lazy", path], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Keep the list of groups until the pipe ends, then clear up."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end_groups(groups, seconds=5)
    for folder in sys.argv[1:]:
        remove(folder)


if __name__ == "__main__":
    main()
