"""Programs from npm that tests use, pinned in `e2e/package-lock.json`."""

import fcntl
import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from support.documentation import ROOT

FOLDER = Path(__file__).parent.parent / "e2e"
_SECONDS = 90


def node() -> str:
    """The program that runs them; the test is skipped where it is not installed."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed on this machine: what comes from npm is not run")
    return found


@functools.cache
def node_modules() -> Path:
    """The folder that they are in, installed into a cache outside of the sources, once for each lock.

    The test is skipped where that is not possible.
    """
    node()
    folder = _cache_folder()
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder)
    return folder / "node_modules"


def _cache_folder() -> Path:
    """Of this very lock; in `.venv`, which git ignores and `make clean` removes."""
    digest = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".venv" / "npm" / digest
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / name, folder)
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--fetch-retries=1"]
    try:
        done = subprocess.run(
            ["npm", "ci", *options], cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install what is pinned within {_SECONDS} s: what comes from npm is not run")
    if any(code in done.stderr for code in ("EINTEGRITY", "EUSAGE")):
        pytest.fail(f"package.json and package-lock.json do not fit what npm found:\n{done.stderr}")
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if "error" in line][-1:] or [f"status {done.returncode}"]
        pytest.skip(f"npm could not install what is pinned, so that it is not run: {last[0]}")
    (folder / "complete").touch()
