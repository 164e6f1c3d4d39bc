"""A command is started often, also by scripts in loops: it loads no more than it needs."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.own_databases import migrated_file

#: What only servers, workers and migrations need.
HEAVY = ("alembic", "fastapi", "jinja2", "procrastinate", "starlette", "uvicorn", "hhh.main")
LOOK = f"""
import gc, sys
from hhh.cli import main
try:
    main()
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules], gc.isenabled(), file=sys.stderr)
"""
#: The interrupt comes in the middle of what is loaded.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hhh.cli import main
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "hhh.core.actor":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
main()
"""


def started(folder: Path, *arguments: str) -> tuple[str, str]:
    """What a command printed, and the last line of what was found when it had ended."""
    environment = {**os.environ, "HHH_DATA_DIR": str(folder / "data"), "HHH_SCRATCH_DIR": str(folder)}
    command = [sys.executable, "-c", LOOK, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return done.stdout, done.stderr.splitlines()[-1]


def test_a_command_loads_nothing_that_only_servers_and_migrations_need(tmp_path: Path) -> None:
    assert started(tmp_path, "--version")[1] == "[] True"
    (tmp_path / "data").mkdir(mode=0o700)
    shutil.copy(migrated_file(), tmp_path / "data/hhh.db")
    printed, found = started(tmp_path, "backup", "list")
    assert "No backups yet" in printed
    assert found == "[] True"


def test_a_command_that_is_interrupted_while_it_is_loaded_says_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, "--version"], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")
