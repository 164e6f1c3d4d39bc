"""A program: backups put together of the engines, the stream and a store alone, without jobs, catalogue and HTTP.

It reads one request as a line of JSON, answers ``done`` when the backup is stored, and goes on until its input ends.
``kind`` is ``dump`` (PostgreSQL, the runbook's pg_dump without facts; its connection in ``environment``) or ``engine``
(any engine, with its facts).
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hhh.artifacts.destinations import Destination
from hhh.artifacts.encryption import Recipients
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.publication import Publication
from hhh.artifacts.stream import copy_stream
from hhh.core.process import running
from hhh.core.run import Unattended
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.engines.registry import engine_for
from hhh.storages.local import LocalStorage


def dump_without_facts(request: Mapping[str, Any]) -> None:
    """pg_dump → zstd → age → sha256 → folder."""
    storage = LocalStorage(Path(request["store"]))
    with (
        running(request["command"], environment=request["environment"]) as child,
        storage.open_writer("dump") as writer,
    ):
        copy_stream(child.stdout, writer, recipients=Recipients(request["recipients"]), run=Unattended())
        child.finish()


def dump_with_engine(request: Mapping[str, Any]) -> None:
    """Engine → stream → folder, with facts and attachments; no manifest."""
    recipients, run = Recipients(request["recipients"]), Unattended()
    keys = ArtifactKeys("bench", "bench", "backup_20250101_120000.sql", 1, bool(recipients))
    destination = Destination("bench", LocalStorage(Path(request["store"])))
    with (
        scratch_folder(Path(request["scratch"]), "bench") as scratch,
        Publication([destination], keys, recipients, run) as publication,
    ):
        pg_bin_dir = request.get("pg_bin_dir")
        workplace = Workplace(scratch, Path(pg_bin_dir) if pg_bin_dir else None)
        with engine_for(request["url"]).dump(request["url"], workplace, run) as dump:
            _, result = publication.store_dump(dump)
        publication.store_facts(result.facts)
        for attachment in result.attachments:
            publication.store_attachment(attachment)


KINDS = {"dump": dump_without_facts, "engine": dump_with_engine}


def main() -> None:
    """Answers requests."""
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            request = json.loads(line)
            KINDS[request["kind"]](request)
            print("done", flush=True)


if __name__ == "__main__":
    main()
