"""How programs are started that run the code of dumps: away from secrets, other work, the network and root's rights.

A dump is code of whoever owned the database. It runs as a role without rights; this is for the day on which that is not
enough.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hhh.core.errors import Lacking, ToolFailed, ToolMissing
from hhh.core.process import output_of
from hhh.engines.base import Workplace

#: Searched in this order, where no account is named.
_ACCOUNTS = ("postgres", "nobody")
#: Namespaces of its own: what is mounted, the network, processes, and System V's shared memory, which a killed server
#: would leave. When the first process in them dies, the kernel ends all others: those of a server begin sessions of
#: their own, so that no group has them all.
_NAMESPACES = ("--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child=KILL")
#: The kernel ends it with whoever started it. Last of all, since a change of the account clears it.
_DIES_WITH_US = ("setpriv", "--no-new-privs", "--pdeathsig=KILL")
#: Covers what is to be hidden with empty folders and files, and puts back the one folder that the program works in, and
#: the one that it is installed in, where they were covered too. ``mount -c`` takes paths as they are: those of what was
#: opened before lead below what covers it. Then ``/proc`` shows the program's own processes, where the kernel allows
#: that. What covers can't be written to: initdb would take ``/dev/shm`` for the server's shared memory, and a megabyte
#: is too little. Arguments: both folders, what is to be hidden, ``--``, the program.
_HIDE = """
set -eu
umask 022
folder=$1 installed=$2
shift 2
cd "$folder"
exec 3<"$installed"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount -n -t tmpfs -o mode=0555,size=1m none "$1"
    elif [ -e "$1" ]; then mount -n --bind /dev/null "$1"; fi
    shift
done
shift
mkdir -p "$folder"
mount -n -c --bind . "$folder"
[ -e "$installed/bin" ] || { mkdir -p "$installed"; mount -n -c --bind /proc/self/fd/3 "$installed"; }
mount -n -t proc none /proc || true
cd "$folder"
exec 3<&- "$@"
"""
#: Where programs of an installed system are not, but people's files, data of other services, and their sockets.
_OF_OTHERS = tuple(map(Path, ("/home", "/root", "/srv", "/mnt", "/media", "/run", "/var", "/dev/shm")))  # noqa: S108
#: Where the socket of a PostgreSQL is unless somebody has said otherwise; programs may be installed there, too.
_SOCKETS = Path("/tmp"), ".s.PGSQL.*"  # noqa: S108
#: Of the kernel's loader, whatever the language: programs in a home folder may have libraries beside their own folder.
_NO_LIBRARY = "error while loading shared libraries"
_ENTER_AND_ASK = 'cd "$0" && exec "$1" --version'


@dataclass(frozen=True, slots=True)
class Isolation:
    """What programs are started with."""

    #: Before the program and its arguments.
    prefix: tuple[str | Path, ...]
    #: Whether nothing of them can outlive the first.
    ends_together: bool
    #: In words.
    told: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def command(self, program: Path, *arguments: str | Path) -> list[str | Path]:
        """The command that starts the program so."""
        return [*self.prefix, program, *arguments]


def isolate(folder: Path, program: Path, workplace: Workplace) -> Isolation:
    """Finds out how far programs can be isolated here, and gives them their folder.

    Args:
        folder: in scratch, made by us, where they work; it and all in it becomes theirs.
        program: one of them, that says its version when it is asked.
        workplace: what to hide, and as whom to run where we are root.

    Raises:
        Lacking: the program can't be run without root's rights, or not in that folder.
    """
    account = _account(workplace.drill_user) if os.geteuid() == 0 else None
    if account is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    complete = _in_namespaces(folder, program, workplace, account)
    try:
        _try(complete, folder, program)
    except (ToolFailed, ToolMissing) as error:
        return _without_namespaces(folder, program, workplace, account, error)
    return complete


def _account(name: str | None) -> pwd.struct_passwd:
    for each in _ACCOUNTS if name is None else (name,):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(each)
            if account.pw_uid == 0:
                raise Lacking(f"PostgreSQL does not run as {each}, who is root", hint="set HHH_DRILL_USER to another")
            return account
    raise Lacking(
        f"There is no account {name or ' or '.join(_ACCOUNTS)}, and PostgreSQL does not run as root",
        hint="set HHH_DRILL_USER to an account without rights",
    )


def _in_namespaces(folder: Path, program: Path, workplace: Workplace, account: pwd.struct_passwd | None) -> Isolation:
    hidden = [_scratch_to_cover(workplace, account), *_secrets(workplace)]
    # Only root may mount, and an account without rights is root in a user namespace of its own.
    mighty = () if account is not None else ("--user", "--map-root-user")
    command: list[str | Path] = [*_DIES_WITH_US, "unshare", *mighty, *_NAMESPACES, "--"]
    command += ["sh", "-c", _HIDE, "hhh", folder, _kept(program.parent.parent, hidden) or folder, *hidden, "--"]
    if account is None:
        # PostgreSQL does not run as root: it becomes itself again, in one without a right over the mounts of the first.
        command += ["unshare", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}", "--"]
    return Isolation(
        prefix=(*command, *_DIES_WITH_US, *_becoming(account)),
        ends_together=True,
        told=(
            *_told_of(account),
            "no network",
            "no other process of this machine",
            # No paths of ours: it is told to whoever is handed a report. What all may read elsewhere, it may, too.
            "no keys, data or other work of this service",
            "no other file in home folders, /srv, /mnt, /media, /run or /var",
        ),
    )


def _without_namespaces(
    folder: Path, program: Path, workplace: Workplace, account: pwd.struct_passwd | None, why: Exception
) -> Isolation:
    if account is not None:
        # Its own folder is in there; what else is, is not for others to read.
        workplace.scratch.chmod(0o711)
    isolation = Isolation(
        prefix=(*_DIES_WITH_US, *_becoming(account)),
        ends_together=False,
        told=_told_of(account),
        warnings=(f"The throw-away server has the network, and sees what its account may read: {_reason(why)}",),
    )
    try:
        _try(isolation, folder, program)
    except (ToolFailed, ToolMissing) as error:
        whose = f"the account {account.pw_name}" if account is not None else "this account"
        raise Lacking(
            f"A throw-away server can't be run by {whose} in {folder.parent}: {error}",
            hint="set HHH_SCRATCH_DIR to a folder that it may enter; setpriv and unshare are in the package util-linux",
        ) from error
    return isolation


def _reason(why: Exception) -> str:
    if _NO_LIBRARY in str(why):
        advice = "install PostgreSQL below /usr or /opt, or its libraries in the folder of its programs' folder"
        return f"its programs need a library that lies where all is hidden from it, {why}; {advice}"
    return f"no namespaces, {why}"


def _becoming(account: pwd.struct_passwd | None) -> Iterator[str]:
    """Options of ``setpriv``; no further groups, which may open what the account alone does not."""
    if account is not None:
        yield from (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")


def _told_of(account: pwd.struct_passwd | None) -> tuple[str, ...]:
    return (f"the account {account.pw_name}",) if account is not None else ()


def _scratch_to_cover(workplace: Workplace, account: pwd.struct_passwd | None) -> Path:
    """The scratch of all runs, with their dumps and passwords; or what is above it, where the account may not enter."""
    for folder in reversed(workplace.scratch.parents):
        if account is not None and not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return workplace.scratch.parent


def _kept(installed: Path, hidden: Sequence[Path]) -> Path | None:
    """Where the programs are, unless what is to be hidden is in there as well."""
    return None if any(path.is_relative_to(installed) for path in hidden) else installed


def _secrets(workplace: Workplace) -> Iterator[Path]:
    yield from workplace.hidden
    yield from _OF_OTHERS
    folder, sockets = _SOCKETS
    yield from folder.glob(sockets)
    with contextlib.suppress(KeyError):  # the home folder often has keys
        if (home := Path(pwd.getpwuid(os.geteuid()).pw_dir)) != Path("/"):
            yield home


def _try(isolation: Isolation, folder: Path, program: Path) -> None:
    output_of([*isolation.prefix, "sh", "-c", _ENTER_AND_ASK, folder, program])
