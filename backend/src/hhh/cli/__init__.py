"""The command ``hhh``: one file per command group.

Exit codes: 0 done, 1 failed, 2 wrong usage (also a setting that can't be used).
"""

from __future__ import annotations

import gc
import signal
import sys


def main() -> None:
    """Runs the command line; errors of ours end as one sentence and an exit code."""
    # What modules make stays: looking through it for rubbish again and again takes a fifth of the start.
    gc.disable()
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:  # while modules are loaded there is nothing to clear up, or to tell
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Imported here, so that the interpreter's start is not paid for by `import hhh.cli` alone.
    from hhh.cli.app import run

    signal.signal(signal.SIGINT, on_interrupt)
    gc.freeze()
    gc.enable()
    sys.exit(run())
