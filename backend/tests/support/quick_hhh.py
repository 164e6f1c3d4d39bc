"""A folder for PATH with an `hhh` that begins at once: see `support.forking` and `support.quick_hhh_program`."""

import contextlib
import functools
import os
import select
import shlex
import signal
import socket
import sys
from pathlib import Path

from support import quick_hhh_program
from support.forking import Forked, become, hhh
from support.session import current_session
from support.waiting import wait_until

_LENGTH_BYTES = 8


@functools.cache
def quick_hhh_folder() -> Path:
    """The folder; what answers in it ends with the session."""
    folder = current_session().new_folder("bin")
    address = folder / "socket"
    command = [sys.executable, "-I", "-S", quick_hhh_program.__file__, str(address)]
    program = folder / "hhh"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    log = folder / "log"
    work = functools.partial(_serve, address)
    current_session().watch(Forked.begin(work, folder=folder, environment=os.environ, stdout=log, stderr=log))
    wait_until(address.exists, seconds=60, what="a process that does the work of hhh")
    return folder


def _serve(address: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        aside = address.with_name("made")
        listening.bind(str(aside))
        listening.listen(100)
        aside.rename(address)
        answering: set[int] = set()
        while True:
            caller, _ = listening.accept()
            with caller:
                answering = {each for each in answering if os.waitpid(each, os.WNOHANG) == (0, 0)}
                answering.add(os.fork())
                if 0 in answering:
                    listening.close()
                    _answer(caller)
                    os._exit(0)


def _answer(caller: socket.socket) -> None:
    """Does one command in another process and tells how it ended; if the caller is killed, so is that."""
    head, descriptors, _, _ = socket.recv_fds(caller, _LENGTH_BYTES, 3)
    message = b""
    while len(message) < int.from_bytes(head, "big"):
        message += caller.recv(1 << 16)
    worker = os.fork()
    if worker == 0:
        caller.close()
        _work(message, descriptors)
    for descriptor in descriptors:  # a pipe ends when the worker closes it
        os.close(descriptor)
    ended, asking = os.pidfd_open(worker), caller.fileno()
    while ended not in (ready := select.select([ended, asking], [], [])[0]) and asking in ready:
        asked = caller.recv(1)
        os.kill(worker, asked[0] if asked else signal.SIGKILL)
        if not asked:
            return
    _, status = os.waitpid(worker, 0)
    with contextlib.suppress(OSError):
        caller.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _work(message: bytes, descriptors: list[int]) -> None:
    folder, mask, count, *rest = message.split(b"\0")
    arguments = [os.fsdecode(each) for each in rest[: int(count)]]
    environment = dict(os.fsdecode(each).split("=", 1) for each in rest[int(count) :])
    os.umask(int(mask))
    become(Path(os.fsdecode(folder)), environment, descriptors)
    hhh(arguments)
