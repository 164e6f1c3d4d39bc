"""A pg_dump that waits in the middle of its output until the test lets it go on."""

from pathlib import Path

from support.backing_up import children_of
from support.postgres_server import PostgresServer
from support.waiting import wait_until

#: What comes through before it waits; more than pg_dump needs to have its locks and its snapshot.
_FIRST_BYTES = 100_000

_SCRIPT = """#!/bin/bash
# Only the main dump is held: --version and the schema-only dump pass.
case "$*" in *--version* | *--schema-only*) exec {pg_dump} "$@" ;; esac
set -o pipefail
# Of a process that was killed it goes on by itself, and fails as nobody reads it.
let_go() {{ [ -e {free} ] || ! kill -0 $PPID; }}
{pg_dump} "$@" | {{ head -c {first}; echo > {held}; until let_go; do sleep 0.02; done; exec cat; }}
"""


class HeldDumps:
    """A folder for HHH_PG_BIN_DIR, whose pg_dump is the server's own behind a gate."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.bin_dir = folder / "held-bin"
        self.bin_dir.mkdir()
        self._held, self._free = (self.bin_dir / name for name in ("held", "free"))
        program = self.bin_dir / "pg_dump"
        program.write_text(
            _SCRIPT.format(
                pg_dump=server.bin_dir / "pg_dump",
                first=_FIRST_BYTES,
                held=self._held,
                free=self._free,
            )
        )
        program.chmod(0o755)

    def wait_until_held(self) -> None:
        """Wait until a dump is in the middle of its output."""
        wait_until(self._held.exists, seconds=30, what="a dump that is held")

    def let_go(self) -> None:
        """Let it go on, if it is there still, and those that come later through."""
        self._free.touch()

    def hold_again(self) -> None:
        """Hold those that begin from now on."""
        self._held.unlink(missing_ok=True)
        self._free.unlink(missing_ok=True)

    def the_held_one(self, pid: int) -> int:
        """The process that is held, once the schema-only dump beside it has ended."""
        wait_until(lambda: len(self.pg_dumps(pid)) == 1, seconds=30, what="one pg_dump alone")
        [held] = self.pg_dumps(pid)
        return held

    def pg_dumps(self, pid: int) -> list[int]:
        """The processes of the real pg_dump below that of the service."""
        return [child for child in children_of(pid) if _name(child) == "pg_dump"]


def _name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:  # it has ended meanwhile
        return None
