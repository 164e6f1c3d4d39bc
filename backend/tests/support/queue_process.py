"""A queue with its worker in a process of its own, as `support.queues` orders it."""

import json
import os
import sys
from pathlib import Path

from hhh.core.config import load_settings
from hhh.core.database import Database
from support.queues import BRISK, QUEUES, Gate, gated

if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    settings = load_settings(order["environment"], dotenv=Path(os.devnull))
    services = gated(settings, Database(settings.own_database_url), Gate(Path(order["gate"])))
    with QUEUES[order["kind"]](services, BRISK):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
