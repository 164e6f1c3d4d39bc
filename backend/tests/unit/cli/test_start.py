"""A command is started often, also by scripts in loops: it loads no more than it needs."""

import os
import subprocess
import sys
from pathlib import Path

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


def started(folder: Path, *arguments: str) -> tuple[str, str]:
    """What a command printed, and the last line of what was found when it had ended."""
    environment = {**os.environ, "HHH_DATA_DIR": str(folder / "data"), "HHH_SCRATCH_DIR": str(folder)}
    command = [sys.executable, "-c", LOOK, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return done.stdout, done.stderr.splitlines()[-1]


def test_a_command_loads_nothing_that_only_servers_and_migrations_need(tmp_path: Path) -> None:
    assert started(tmp_path, "--version")[1] == "[] True"
    started(tmp_path, "migrate")
    printed, found = started(tmp_path, "backup", "list")
    assert "No backups yet" in printed
    assert found == "[] True"
