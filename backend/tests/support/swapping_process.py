"""A process that puts a restored database in the place of the live one, to be killed while it does."""

import json
import sys
from pathlib import Path

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.swap import publish
from hhh.engines.restoring import Destination, RestoreMode

if __name__ == "__main__":
    order = json.load(sys.stdin)
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    destination = Destination(order["url"], order["name"], RestoreMode.REPLACE, order["token"])
    publish(destination, Workplace(Path(order["scratch"])), Unattended())
