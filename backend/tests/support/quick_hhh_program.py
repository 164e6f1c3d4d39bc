"""A program of its own: `hhh` as shells find it in tests, whose work a process does that has all modules loaded.

It hands over its standard files, folder, mask, arguments and environment to `support.quick_hhh`, passes signals on, and
ends as that process does. Standard library only, no imports from the tests: it starts in some 15 ms.
"""

import os
import signal
import socket
import sys


def main() -> None:
    """Arguments: the socket, then those of `hhh`."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        mask = os.umask(0)
        folder = os.getcwdb()  # noqa: PTH109 - pathlib doubles the start-up time
        told = [folder, str(mask).encode(), str(len(sys.argv) - 2).encode()]
        told += [argument.encode("utf-8", "surrogateescape") for argument in sys.argv[2:]]
        told += [name + b"=" + value for name, value in os.environb.items()]
        message = b"\0".join(told)
        socket.send_fds(server, [len(message).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(message)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda caught, _: server.sendall(bytes([caught])))
        ended = int(server.recv(16) or b"-9")
    if ended < 0:
        signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    os._exit(ended)


if __name__ == "__main__":
    main()
