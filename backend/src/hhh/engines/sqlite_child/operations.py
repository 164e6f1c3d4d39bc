"""What the program does."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from hhh.engines.sqlite_child.backup_copy import Stream, make_copy, make_file
from hhh.engines.sqlite_child.checks import NAMES_OF_TABLES, take_facts
from hhh.engines.sqlite_child.opening import check_file
from hhh.engines.sqlite_child.protocol import Abandoned, Failed, Reports, end_with_parent, read_request
from hhh.engines.sqlite_child.said import mapped_errors
from hhh.engines.sqlite_child.snapshot import Snapshot


def inspect(request: dict[str, Any], reports: Reports) -> None:
    """Looks at a source."""
    with Snapshot(request["source"], request["busy_timeout"]) as snapshot:
        tables = snapshot.connection.execute(f"SELECT count(*) {NAMES_OF_TABLES}").get
        size = snapshot.size
    reports.send("inspected", tables=tables, size=size)


def dump(request: dict[str, Any], reports: Reports) -> None:
    """Copies a source and sends the copy as it grows, then takes its facts."""
    path = request["copy"]
    with Snapshot(request["source"], request["busy_timeout"]) as snapshot:
        make_file(path)
        reports.send("copying", size=snapshot.size)
        stream = Stream(path, snapshot.first_page)
        stream.start()
        size = make_copy(snapshot, path, stream.grow)
    stream.end_at(size)
    result = take_facts(path, thorough=size <= request["thorough_check_size"])
    stream.finish()
    reports.send("facts", **result)


OPERATIONS = {"inspect": inspect, "dump": dump}


def work(request: dict[str, Any], reports: Reports) -> None:
    """Does what is asked for."""
    try:
        check_file(request["source"])
        with mapped_errors(request["source"]):
            OPERATIONS[request["operation"]](request, reports)
    except Failed as failed:
        reports.send("failed", reason=failed.reason, message=failed.message, hint=failed.hint)


def main() -> None:
    reports = Reports(int(sys.argv[1]))
    request = read_request()
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    try:
        work(request, reports)
    except (Abandoned, BrokenPipeError):
        os._exit(1)
    # Not the usual end: it would wait for threads that have nothing more to do.
    os._exit(0)
