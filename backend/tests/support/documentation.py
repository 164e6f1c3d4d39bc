"""The documentation's own commands, so that what readers run is what is tested; only that `hhh` begins at once.

A block is a fenced piece of code with `<!-- block: name -->` on the line before it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.quick_hhh import quick_hhh_folder
from support.service import Service

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
RUNBOOK = DOCS / "BACKUP_RESTORE.md"
RECOVERY = DOCS / "recover-without-hhh.md"
KEYS = DOCS / "keys.md"
RESTORE = DOCS / "restore.md"
PROOF = DOCS / "proof.md"
README = ROOT / "README.md"

_BLOCK = re.compile(r"^<!-- block: ([\w-]+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def blocks(page: Path) -> dict[str, str]:
    """All named blocks of a page."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), f"{page.name} has two blocks of one name"
    return dict(found)


def inline_code(page: Path) -> list[str]:
    """What a page has between single backticks."""
    return _INLINE_CODE.findall(page.read_text(encoding="utf-8"))


def is_documented(message: str, page: Path = RUNBOOK) -> bool:
    """Whether the page has the message, `…` standing for what differs each time."""
    patterns = (".+".join(re.escape(part) for part in code.split("…")) for code in inline_code(page) if len(code) > 12)
    return any(re.fullmatch(pattern, message, re.DOTALL) for pattern in patterns)


@dataclass(frozen=True)
class Answer:
    """What `curl -i` printed."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.body["error"]["code"])

    @property
    def detail(self) -> str:
        """The sentence of an error."""
        return str(self.body["detail"])


class Operator:
    """Somebody who copies commands from the documentation into a shell, in a folder of their own."""

    def __init__(self, folder: Path, service: Service | None = None, *, page: Path = RUNBOOK) -> None:
        self.folder = folder
        #: What they have set in their shell.
        self.environment: dict[str, str] = {"HOME": str(folder), **(service.environment if service else {})}
        path = self.environment.get("PATH", os.environ.get("PATH", os.defpath))
        self.environment["PATH"] = os.pathsep.join([str(quick_hhh_folder()), str(Path(sys.executable).parent), path])
        self._base_url = service.base_url if service else ""
        self._blocks = blocks(page)

    def run(self, *names: str, stdin: str = "", cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run blocks, one after the other in one bash; a failure of the last command shows in `returncode`."""
        return self.run_script("\n".join(self._blocks[name] for name in names), stdin=stdin, cwd=cwd)

    def run_script(
        self, script: str, *, stdin: str = "", cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script in bash."""
        return subprocess.run(
            ["bash", "-c", script.replace("{{base_url}}", self._base_url)],
            cwd=cwd or self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def block(self, name: str) -> str:
        """The commands of a block."""
        return self._blocks[name]

    def must_run(self, *names: str, stdin: str = "", cwd: Path | None = None) -> str:
        """Run blocks, answer their standard output; AssertionError with their standard error if they fail."""
        script = "set -e\n" + "\n".join(self._blocks[name] for name in names)
        done = self.run_script(script, stdin=stdin, cwd=cwd)
        assert done.returncode == 0, f"{names} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def curl(self, name: str) -> Answer:
        """Run a block that is a `curl -i`."""
        return parse_answer(self.must_run(name))

    def curl_script(self, script: str) -> Answer:
        """Run a script that is a `curl -i`."""
        return parse_answer(self.run_script(script).stdout)

    def sign_in(self, email: str, password: str) -> Answer:
        """The runbook's first steps: health, then login."""
        self.curl("health")
        self.environment |= {"EMAIL": email, "PASSWORD": password}
        return self.curl("login")


def parse_answer(text: str) -> Answer:
    """The answer of `curl -i`, whose line ends `text=True` has turned into newlines."""
    head, _, body = text.partition("\n\n")
    status, *lines = head.split("\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status.split(" ")[1]), headers, json.loads(body) if body else None)


def require_programs(*names: str) -> None:
    """Skip the test where a program that a reader would need is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed on this machine: {', '.join(missing)}")
