"""A program of its own that is in the middle of writing a large object, until it is killed."""

import sys

from hhh.storages.registry import open_storage

_MIB = 1 << 20


def main() -> None:
    """Write some parts of the object `argv[2]` in the store `argv[1]`, say so, and go on waiting."""
    url, key = sys.argv[1:]
    with open_storage(url).open_writer(key, expected_size=64 * _MIB) as writer:
        for _ in range(24):
            writer.write(bytes(_MIB))
        sys.stdout.write("under way\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
