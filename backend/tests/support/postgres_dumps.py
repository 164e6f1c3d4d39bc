"""Taking dumps with the PostgreSQL engine and putting them back, for tests of either."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hhh.core.run import Run, Unattended
from hhh.engines.base import Dump, DumpResult, Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.schemas.policy import Fingerprint
from support.postgres_server import PostgresServer


@contextlib.contextmanager
def dumping(
    server: PostgresServer,
    url: str,
    scratch: Path,
    *,
    engine: PostgresqlEngine | None = None,
    run: Run | None = None,
    fingerprint: Fingerprint = "off",
) -> Iterator[Dump]:
    """A dump by the engine, with the server's own programs."""
    workplace = Workplace(scratch, pg_bin_dir=server.bin_dir)
    with (engine or PostgresqlEngine()).dump(url, workplace, run or Unattended(), fingerprint=fingerprint) as dump:
        yield dump


def read_to_end(dump: Dump) -> bytes:
    """All bytes of a dump (unbuffered streams may answer less than is asked for)."""
    return b"".join(iter(lambda: dump.stdout.read(1 << 20) or b"", b""))


def take_dump(
    server: PostgresServer, url: str, scratch: Path, *, fingerprint: Fingerprint = "off"
) -> tuple[bytes, DumpResult]:
    """A whole dump and what is known of it."""
    with dumping(server, url, scratch, fingerprint=fingerprint) as dump:
        return read_to_end(dump), dump.finish()


def dump_by_hand(server: PostgresServer, database: str, path: Path, *options: str) -> None:
    """A dump in the custom format as an operator makes it, with owners and privileges, unless `options` say else."""
    subprocess.run(
        [server.bin_dir / "pg_dump", "--format=custom", *options, f"--file={path}", f"--dbname={_quoted(database)}"],
        check=True,
        capture_output=True,
        env=server.environment(),
    )


def restore(server: PostgresServer, archive: bytes, database: str, *options: str) -> None:
    """Put a custom-format archive into an empty database, as the superuser; an error of pg_restore is an error here."""
    subprocess.run(
        [server.bin_dir / "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={_quoted(database)}", *options],
        input=archive,
        check=True,
        capture_output=True,
        env=server.environment(),
    )


def listing(server: PostgresServer, archive: Path, *options: str) -> str:
    """What pg_restore says is in an archive, as SQL unless `options` say else."""
    command = [server.bin_dir / "pg_restore", *(options or ["--file=-"]), archive]
    answer = subprocess.run(command, check=True, capture_output=True)
    return answer.stdout.decode()


def _quoted(database: str) -> str:
    return "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"
