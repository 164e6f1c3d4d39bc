"""Sends random bytes to object stores at once, as a backup of 500 GB does, and prints the most memory that took.

Arguments: megabytes, expected bytes, and the endpoint of each store.
"""

import os
import sys
from pathlib import Path

from hhh.artifacts.destinations import Destination, Destinations
from hhh.artifacts.fanout import FanOut
from hhh.artifacts.stream import PIECE
from hhh.core.run import Unattended
from hhh.storages.registry import open_storage


def main() -> None:
    megabytes, expected, *endpoints = sys.argv[1:]
    credentials = {"access_key_id": "a", "secret_access_key": "b", "region": "us-east-1"}
    wanted = [
        Destination(endpoint, open_storage("s3://bucket", options={**credentials, "endpoint_url": endpoint}))
        for endpoint in endpoints
    ]
    run = Unattended()
    destinations = Destinations(wanted, {}, minimum=None, stall_seconds=60, run=run)
    with FanOut(destinations, "object", int(expected), run) as writer:
        for _ in range(int(megabytes)):
            writer.write(os.urandom(PIECE))
    status = Path("/proc/self/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    print(int(peak) * 1024)  # noqa: T201  it is what the parent reads


if __name__ == "__main__":
    main()
