"""Commands that run jobs take a list of queues, and refuse one that can't be meant."""

from pathlib import Path

import pytest

from hhh.cli.queues import said, with_queues
from hhh.core.config import QUEUE_NAMES, Settings
from support.machines import Machine


@pytest.mark.parametrize("queues", ["drills", "verify,drills", "", " , "])
@pytest.mark.parametrize("command", ["worker", "serve"])
def test_a_queue_that_there_is_not_is_refused(tmp_path: Path, command: str, queues: str) -> None:
    refused = Machine(tmp_path).refused(command, "--queues", queues, code=2)
    assert "name some of backup, restore, verify, upkeep" in refused


def test_a_server_without_a_worker_takes_from_no_queue(tmp_path: Path) -> None:
    refused = Machine(tmp_path).refused("serve", "--no-worker", "--queues", "verify", code=2)
    assert "leave --queues out" in refused


def test_the_option_counts_before_the_setting() -> None:
    loaded = Settings(worker_queues=["backup"])
    assert with_queues(loaded, None).worker_queues == ["backup"]
    assert with_queues(loaded, "verify, restore").worker_queues == ["verify", "restore"]


def test_all_queues_are_said_in_one_word() -> None:
    assert said(["verify", "restore"]) == "verify,restore"
    assert said([*reversed(QUEUE_NAMES)]) == "all"
