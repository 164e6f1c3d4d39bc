"""A process that migrates a database when it is told to, while others do."""

import sys

from hhh import migrations
from hhh.core.database import Database

if __name__ == "__main__":
    database = Database(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    migrations.upgrade(database)
    assert not migrations.pending(database)
