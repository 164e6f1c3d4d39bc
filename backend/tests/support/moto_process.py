"""A program of its own: moto's server on a free port of loopback, until its standard input ends.

Apart from the tests' process, so that neither shares the other's interpreter lock or counts the other's memory.
"""

import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    """Say the port on standard output, then serve."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    sys.stdout.write(f"{server.get_host_and_port()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
