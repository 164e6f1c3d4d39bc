"""What the program does."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from hhh.engines.sqlite.child import live
from hhh.engines.sqlite.child.backup_copy import Stream, make_copy, make_file
from hhh.engines.sqlite.child.checks import NAMES_OF_TABLES, take_facts
from hhh.engines.sqlite.child.fingerprints import add_fingerprints
from hhh.engines.sqlite.child.opening import check_file, open_immutable
from hhh.engines.sqlite.child.overwrite import replace, settle
from hhh.engines.sqlite.child.protocol import Abandoned, Failed, Reports, end_with_parent, read_request
from hhh.engines.sqlite.child.proving import ask, prove
from hhh.engines.sqlite.child.said import mapped_errors
from hhh.engines.sqlite.child.snapshot import Snapshot


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
    add_fingerprints(path, result, request["fingerprint"])
    stream.finish()
    reports.send("facts", **result)


def look(request: dict[str, Any], reports: Reports) -> None:
    """Looks at a database that is to be replaced."""
    reports.send("looked", **live.look(request["source"], request["busy_timeout"], request["thorough_check_size"]))


def tidy(request: dict[str, Any], reports: Reports) -> None:
    """Leaves nothing beside a file that nobody else has open."""
    settle(request["source"])
    reports.send("tidied")


def check(request: dict[str, Any], reports: Reports) -> None:
    """Checks a file that nobody else has open, unless it is checked already, and takes its facts."""
    path = request["source"]
    settle(path)
    result = take_facts(path, thorough=True, checked=request["checked"])
    add_fingerprints(path, result, request["fingerprint"])
    reports.send("facts", **result)


def compare(request: dict[str, Any], reports: Reports) -> None:
    """Tells whether a database was replaced since it was kept: that changes its schema cookie, which the copy has too.

    An application that changed its schema meanwhile makes it look so as well. A file of no bytes has no cookie, and
    its copy has one.
    """
    with Snapshot(request["source"], request["busy_timeout"]) as snapshot:
        now, is_empty = snapshot.connection.pragma("schema_version"), not snapshot.size
    before = open_immutable(request["kept"]).pragma("schema_version")
    reports.send("compared", replaced=not is_empty and now != before)


OPERATIONS = {
    "inspect": inspect,
    "dump": dump,
    "look": look,
    "tidy": tidy,
    "check": check,
    "replace": replace,
    "compare": compare,
    "prove": prove,
    "ask": ask,
}


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
