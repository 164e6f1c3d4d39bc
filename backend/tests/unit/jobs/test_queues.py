"""Queues that a worker may take alone: every kind of job is in one, and all have names that both sides know."""

import uuid
from collections import Counter

import pytest

from hhh.core.config import QUEUE_NAMES, read_settings
from hhh.core.errors import ConfigurationError
from hhh.jobs.procrastinate_names import all_queues, queue_name, queues_to_take
from hhh.models import QUEUES, JobKind, queue_of

INSTALLATION = str(uuid.uuid4())
#: What PostgreSQL allows the name of a channel, less what Procrastinate puts before that of a queue.
LONGEST = 63 - len("procrastinate_queue_v1#")


def test_every_kind_of_job_is_in_one_queue() -> None:
    assert {*QUEUES} == {*QUEUE_NAMES}
    assert Counter(kind for kinds in QUEUES.values() for kind in kinds) == Counter(JobKind)
    assert [queue_of(kind) for kind in (JobKind.VERIFY, JobKind.SWEEP)] == ["verify", "upkeep"]


def test_what_is_handed_over_gets_to_workers_of_its_queue_alone() -> None:
    for kind in JobKind:
        name = queue_name(INSTALLATION, kind)
        takers = [each for each in QUEUES if name in queues_to_take(INSTALLATION, [each])]
        assert takers == [queue_of(kind)]


def test_names_of_queues_fit_and_differ() -> None:
    names = all_queues(INSTALLATION)
    assert len({*names}) == len(QUEUES) + 1
    assert max(map(len, names)) <= LONGEST


def test_a_setting_names_queues_that_there_are() -> None:
    assert read_settings({}).worker_queues == [*QUEUE_NAMES]
    assert read_settings({"HHH_WORKER_QUEUES": "verify, restore"}).worker_queues == ["verify", "restore"]
    with pytest.raises(ConfigurationError, match=r"HHH_WORKER_QUEUES: .*'verify'"):
        read_settings({"HHH_WORKER_QUEUES": "verify,drills"})
