"""A pg_restore that waits at its start until the test lets it go on."""

from pathlib import Path

from support.postgres_server import PostgresServer
from support.waiting import wait_until

_SCRIPT = """#!/bin/bash
# Only what fills a database is held: looks at the version and at the archive pass.
case "$*" in *--version* | *--list*) exec {pg_restore} "$@" ;; esac
echo > {held}
until [ -e {free} ]; do sleep 0.02; done
exec {pg_restore} "$@"
"""


class HeldRestores:
    """A folder for HHH_PG_BIN_DIR, whose pg_restore is the server's own behind a gate."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.bin_dir = folder / "held-restores"
        self.bin_dir.mkdir()
        self._held, self._free = (self.bin_dir / name for name in ("held", "free"))
        for tool in ("pg_dump", "psql"):
            if (server.bin_dir / tool).exists():
                (self.bin_dir / tool).symlink_to(server.bin_dir / tool)
        program = self.bin_dir / "pg_restore"
        program.write_text(_SCRIPT.format(pg_restore=server.bin_dir / "pg_restore", held=self._held, free=self._free))
        program.chmod(0o755)

    def wait_until_held(self) -> None:
        """Wait until a restore has made its database and is about to fill it."""
        wait_until(self._held.exists, seconds=30, what="a restore that is held")

    def let_go(self) -> None:
        """Let it go on, and those that come later through."""
        self._free.touch()
