"""Choosing PostgreSQL's programs: exactly the server's major, else a newer one with a warning."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hhh.core.errors import ToolFailed, ToolMissing
from hhh.core.process import output_of

#: Where Debian's packages put each major.
SYSTEM_INSTALLS = Path("/usr/lib/postgresql")
#: Debian's ``/usr/bin/pg_dump``: it chooses a version by the cluster it finds, so its answer now may not hold later.
_DEBIAN_WRAPPER = "pg_wrapper"
#: What backups need, restores, and last drills.
PROGRAMS = ("pg_dump", "pg_restore", "initdb", "postgres")
_VERSION = re.compile(r"\) ((\d+)\S*)")


@dataclass(frozen=True, slots=True)
class Tool:
    """One program of one version."""

    path: Path
    #: ``16.4``, ``18beta1``.
    version: str
    major: int


@dataclass(frozen=True, slots=True)
class Installation:
    """Programs of one version in one folder."""

    folder: Path
    version: str
    major: int
    #: Those of `PROGRAMS` that are there.
    programs: tuple[str, ...]


def find_tool(
    name: str, major: int, *, pg_bin_dir: Path | None = None, installs: Path = SYSTEM_INSTALLS
) -> tuple[Tool, str | None]:
    """The program for a server of that major, and a warning where it is a newer one.

    Searched in ``pg_bin_dir``, on PATH, and in ``installs/*/bin``, in this order; the first of the right major is
    taken, else the oldest newer one: an archive of a newer pg_dump may not restore into an older server.

    Raises:
        ToolMissing: none, or only older ones; the message says what was found.
    """
    found: list[Tool] = []
    for path in _candidates(name, _folders(pg_bin_dir, installs)):
        tool = _ask(path)
        if tool is not None and tool.major == major:
            return tool, None
        if tool is not None:
            found.append(tool)
    newer = [tool for tool in found if tool.major > major]
    if not newer:
        raise _missing(name, major, found)
    tool = min(newer, key=lambda each: each.major)
    return tool, (
        f"{name} {tool.version} ({tool.path}) is newer than the server, PostgreSQL {major}: its archive may not "
        f"restore into a server of the same version. Install postgresql-client-{major} or set HHH_PG_BIN_DIR"
    )


def installations(*, pg_bin_dir: Path | None = None, installs: Path = SYSTEM_INSTALLS) -> Sequence[Installation]:
    """The folders that have any of `PROGRAMS`, in the order in which `find_tool` looks at them."""
    found: dict[Path, Installation] = {}
    for folder in _folders(pg_bin_dir, installs):
        tools = [tool for name in PROGRAMS if (tool := _tool_in(folder, name)) is not None]
        if tools:
            names = tuple(tool.path.name for tool in tools)
            found.setdefault(folder.resolve(), Installation(folder, tools[0].version, tools[0].major, names))
    return [*found.values()]


def _tool_in(folder: Path, name: str) -> Tool | None:
    for path in _candidates(name, [folder]):
        with contextlib.suppress(OSError):  # removed meanwhile
            return _known(path, path.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=64)
def _known(path: Path, _changed_at: int) -> Tool | None:
    return _ask(path)


def _folders(pg_bin_dir: Path | None, installs: Path) -> Iterator[Path]:
    if pg_bin_dir is not None:
        yield pg_bin_dir
    yield from (Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder)
    yield from sorted(installs.glob("*/bin"))


def _candidates(name: str, folders: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in folders:
        path = folder / name
        real = path.resolve()
        if real not in seen and real.name != _DEBIAN_WRAPPER and os.access(real, os.X_OK) and real.is_file():
            seen.add(real)
            yield path


def _ask(path: Path) -> Tool | None:
    try:
        answer = output_of([path, "--version"])
    except (ToolMissing, ToolFailed, OSError):
        return None  # of another machine, or broken: as good as absent
    version = _VERSION.search(answer)
    return Tool(path=path, version=version[1], major=int(version[2])) if version else None


def _missing(name: str, major: int, found: list[Tool]) -> ToolMissing:
    seen = ", ".join(f"{tool.version} in {tool.path.parent}" for tool in found)
    what = f"only {seen}" if seen else "none at all"
    return ToolMissing(
        f"The server is PostgreSQL {major}, and no {name} {major} was found ({what})",
        hint=f"install postgresql-client-{major}, or set HHH_PG_BIN_DIR to the folder of its {name}",
    )
