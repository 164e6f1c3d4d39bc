"""Folders with an empty home, where the command is run as on a machine of its own."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyrage

from hhh.cli import app
from support.forking import run_hhh
from support.restoring import content
from support.sqlite_data import make_sqlite_database


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Machine:
    """Where `hhh` is run: in a process of its own, or in this one, which takes no time to start."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    in_process: bool = True

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True)
        self.home.mkdir()

    @property
    def home(self) -> Path:
        """The working directory, too."""
        return self.folder / "home"

    @property
    def scratch(self) -> Path:
        """A folder for HHH_SCRATCH_DIR."""
        return self.folder / "tmp"

    def run(self, *arguments: str, stdin: str = "", **more: str) -> Ended:
        """Runs `hhh` to its end; `more` is further environment."""
        basics = {"PATH": os.environ["PATH"], "HOME": str(self.home), "COLUMNS": "200"}
        environment = {**basics, **self.environment, **more}
        if self.in_process:
            return _run_here(arguments, self.home, environment, stdin)
        done = run_hhh(arguments, folder=self.home, environment=environment, stdin=stdin)
        return Ended(done.returncode, done.stdout, done.stderr)

    def must_run(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """Runs what has to succeed; answers what it printed."""
        done = self.run(*arguments, stdin=stdin, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def as_json(self, *arguments: str, **more: str) -> Any:
        """Runs what has to succeed; answers the JSON that it printed."""
        return json.loads(self.must_run(*arguments, "--json", **more))

    def refused(self, *arguments: str, code: int = 1, **more: str) -> str:
        """Runs what has to fail and to leave no scratch; answers what it said."""
        done = self.run(*arguments, **more)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert list(self.scratch.iterdir()) == []
        return done.stderr


@dataclass
class Installation(Machine):
    """A machine with an installation that has taken an encrypted backup of the SQLite database `shop`."""

    identity: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.environment |= {
            "HHH_DATA_DIR": str(self.data),
            "HHH_SCRATCH_DIR": str(self.scratch),
            "HHH_AGE_RECIPIENTS": str(self.identity.to_public()),
        }
        make_sqlite_database(self.database)
        #: What the database held when it was backed up.
        self.original = content(self.database)
        self.must_run("target", "add", "shop", f"sqlite:///{self.database}")
        #: As `hhh backup run --json` printed it.
        self.backup = self.as_json("backup", "run", "shop")

    @property
    def data(self) -> Path:
        """HHH_DATA_DIR."""
        return self.folder / "data"

    @property
    def database(self) -> Path:
        """The file of `shop`."""
        return self.folder / "shop.db"

    @property
    def store(self) -> str:
        """The URL of the default store."""
        return (self.data / "backups").as_uri()

    @property
    def key(self) -> str:
        """The public key that manifests are signed by."""
        return str(self.backup["manifest"]["signature"]["public_key"])

    @property
    def identity_file(self) -> str:
        """A file as age-keygen writes it."""
        path = self.folder / "identity.txt"
        path.write_text(f"# made for a test\n{self.identity}\n")
        return str(path)

    @property
    def opening(self) -> tuple[str, ...]:
        """All that a restore from the store needs, but where to."""
        return ("--from", self.store, "--trusted-key", self.key, "--identity", self.identity_file)


def _run_here(arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], stdin: str) -> Ended:
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        _process_like(arguments, folder, environment, stdin),
    ):
        try:
            code = app.run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Ended(code, stdout.getvalue(), stderr.getvalue())


@contextlib.contextmanager
def _process_like(
    arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], stdin: str
) -> Iterator[None]:
    with (
        contextlib.chdir(folder),
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", ["hhh", *arguments]),
        patch.object(sys, "stdin", io.StringIO(stdin)),
    ):
        yield
