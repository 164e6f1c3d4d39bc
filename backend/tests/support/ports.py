"""Free TCP ports on loopback."""

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which the kernel takes ports of outgoing connections: nobody gets ours by chance
# between the moment we look and the moment a server binds it.
_LOWEST, _HIGHEST = 20_000, 32_000


def free_port() -> int:
    """A port of 127.0.0.1 that nothing was listening on a moment ago."""
    while True:
        port = random.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port


def is_listening(port: int) -> bool:
    """Whether something accepts connections on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
