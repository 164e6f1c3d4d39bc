"""A drill in a process of its own, which kills itself when it has come to a certain stage, or waits to be killed."""

import json
import os
import signal
import sys
from pathlib import Path

from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.run import Progress, Unattended
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.schemas.policy import ProofFields
from hhh.services.drill import Drill
from hhh.storages.local import LocalStorage


class Dying(Unattended):
    """A run that dies in one of its stages."""

    def __init__(self, stage: str | None) -> None:
        self._stage = stage

    def report(self, progress: Progress) -> None:
        if progress.stage == self._stage:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    order = json.loads(sys.stdin.readline())
    backup = StoredBackup(LocalStorage(Path(order["store"])), Manifest.model_validate(order["manifest"]), Identities())
    with scratch_folder(Path(order["scratch_dir"]), "killed") as scratch:
        pg_bin_dir = Path(order["pg_bin_dir"]) if order["pg_bin_dir"] else None
        print("begun", flush=True)  # noqa: T201  to the test
        Drill(backup, ProofFields(), None, Workplace(scratch, pg_bin_dir), Dying(order["stage"])).perform()
