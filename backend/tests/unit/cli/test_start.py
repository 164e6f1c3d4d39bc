"""A command is started often, also by scripts in loops: it loads no more than it needs."""

import subprocess
import sys


def test_commands_load_no_web_framework() -> None:
    look = (
        "import sys, hhh.cli.app; print([name for name in ('fastapi', 'starlette', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
