"""`hhh` that sends itself a signal at a given stage of its first backup."""

import signal
import sys

#: By stage: module, class and method, and whether it halts after the call instead of before.
STAGES = {
    "snapshot": ("hhh.services.backup", "BackupService", "perform", False),
    "stream": ("hhh.artifacts.publication", "Publication", "store_dump", False),
    "finalise": ("hhh.artifacts.publication", "Publication", "store_dump", True),
    "manifest": ("hhh.artifacts.publication", "Publication", "_create", False),
    "one manifest of two": ("hhh.artifacts.publication", "Publication", "_create", True),
    "row": ("hhh.services.backup", "BackupService", "_record", False),
    "end": ("hhh.services.backup", "BackupService", "_write_success", True),
}

_HALTING = """
import importlib, os
from datetime import timedelta
from functools import partial
from hhh.cli import main
from hhh.jobs import procrastinate
procrastinate.Timing = partial(procrastinate.Timing, lease=timedelta(seconds=2), beat=0.2, watch=0.5, tidy=0.3)
module, name, method, after = {stage!r}
owner = getattr(importlib.import_module(module), name)
original = getattr(owner, method)
first = iter([True])
def halt():
    if next(first, False):
        os.kill(os.getpid(), {number})
def halting(*arguments, **more):
    if not after:
        halt()
    done = original(*arguments, **more)
    if after:
        halt()
    return done
setattr(owner, method, halting)
main()
"""


def halting(stage: str, how: signal.Signals) -> list[str]:
    """The command, to be followed by its arguments."""
    return [sys.executable, "-c", _HALTING.format(stage=STAGES[stage], number=int(how))]
