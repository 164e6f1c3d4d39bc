"""Metrics in the words of Prometheus: what `hhh.services.metrics` measured, and what the process tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from hhh.core.version import PRODUCT_VERSION
from hhh.models import QUEUES, JobKind, JobState, WorkerState
from hhh.models.job import UNFINISHED
from hhh.repositories.metrics import Measured
from hhh.schemas.recoverability import Recoverability
from hhh.services.metrics import Measurements
from hhh.services.recovery_state import STATES

#: Of a worker that gave no sign of life for a while, whatever it said of itself.
SILENT = "silent"
_OF_WORKERS = ("worker", "host")


class Exposition:
    """What one process answers to whoever scrapes it. Thread-safe.

    Args:
        others: what further registries of this process have, such as that of its requests.
    """

    def __init__(self, *others: Collector) -> None:
        # Not the library's own registry: that one is for all of a process, also for what tests start in it.
        process = CollectorRegistry()
        ProcessCollector(registry=process)
        self._others = (process, *others)

    def render(self, families: Iterable[Metric], accept: str) -> tuple[bytes, str]:
        """The text and its media type: OpenMetrics where the client accepts it, else Prometheus's own."""
        encoder, media_type = choose_encoder(accept)
        return encoder(_Collected([*families, *(each for one in self._others for each in one.collect())])), media_type


class _Collected(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def build() -> Metric:
    """Which version this is."""
    return InfoMetricFamily("hhh_build", "The version of HHH Backup.", {"version": PRODUCT_VERSION})


def own_database(*, is_up: bool) -> Metric:
    """Whether the own database could be asked; where not, it is the only one that is told of what is in it."""
    return _gauge(
        "hhh_own_database_up", "1 if the service's own database could be asked, else 0.", (), [((), float(is_up))]
    )


def measured(found: Measurements) -> Iterator[Metric]:
    """What was found in the own database."""
    yield from _of_targets(found)
    yield from _of_backups(found)
    yield from _of_stores(found)
    yield from _of_jobs(found)
    yield from _of_workers(found)
    yield from _of_channels(found)


def _of_targets(found: Measurements) -> Iterator[Metric]:
    yield _gauge(
        "hhh_target_state",
        "1 for the state that the target is in, 0 for the others.",
        ("target", "state"),
        [((each.target, state), float(each.state == state)) for each, state in product(found.targets, STATES)],
    )
    for name, (told, value) in _OF_TARGETS.items():
        yield _gauge(name, told, ("target",), [((each.target,), value(each)) for each in found.targets])
    for name, (told, of_newest) in _OF_NEWEST.items():
        yield _gauge(name, told, ("target",), [((target,), of_newest(each)) for target, each in found.newest.items()])


def _of_backups(found: Measurements) -> Iterator[Metric]:
    counts = [
        ((each.target, status), float(count))
        for each in found.kept
        for status, count in (("success", each.successful), ("failed", each.failed), ("cancelled", each.cancelled))
    ]
    yield _gauge("hhh_backups", "Backups that the catalogue has, by how they ended.", ("target", "status"), counts)
    yield _gauge(
        "hhh_backups_stored_bytes",
        "Bytes of all good backups, as stored, one copy each.",
        ("target",),
        [((each.target,), float(each.size)) for each in found.kept],
    )


def _of_stores(found: Measurements) -> Iterator[Metric]:
    yield _gauge(
        "hhh_copies_missing",
        "Copies of backups that a store should have and has not; only where there are any.",
        ("target", "storage"),
        [((each.target, each.storage), float(each.copies)) for each in found.lacking],
    )
    yield _gauge(
        "hhh_storage_used_bytes",
        "Bytes of the backups in a store, as the catalogue knows them.",
        ("storage",),
        [((each.storage,), float(each.size)) for each in found.stores],
    )
    yield _gauge(
        "hhh_storage_copies",
        "Copies of backups in a store, as the catalogue knows them.",
        ("storage",),
        [((each.storage,), float(each.copies)) for each in found.stores],
    )


def _of_jobs(found: Measurements) -> Iterator[Metric]:
    counts = {(each.kind, each.state): each for each in found.jobs}
    every = {*product(JobKind, UNFINISHED), *counts}
    yield _gauge(
        "hhh_jobs",
        "Jobs that wait (queued) or run.",
        ("kind", "state"),
        [(each, float(counts[each].jobs) if each in counts else 0.0) for each in sorted(every)],
    )
    queued = {
        each.kind: (found.at - each.since).total_seconds() for each in found.jobs if each.state == JobState.QUEUED
    }
    yield _gauge(
        "hhh_job_oldest_queued_seconds",
        "For how long the job has been waiting that was asked for first; 0 where none waits.",
        ("kind",),
        [((kind,), max(0.0, queued.get(kind, 0.0))) for kind in sorted({*JobKind, *queued})],
    )


def _of_workers(found: Measurements) -> Iterator[Metric]:
    states = Counter(each.state if each.alive else SILENT for each in found.workers)
    yield _gauge(
        "hhh_workers",
        "Processes that take jobs; silent: it gave no sign of life for 30 seconds, and is forgotten after an hour.",
        ("state",),
        [((state,), float(states[state])) for state in (*WorkerState, SILENT)],
    )
    taking = Counter(
        queue for each in found.workers if each.alive and each.state == WorkerState.ACTIVE for queue in each.queues
    )
    yield _gauge(
        "hhh_queue_workers",
        "Living workers that take jobs from a queue.",
        ("queue",),
        [((queue,), float(taking[queue])) for queue in QUEUES],
    )
    # Two may have been given one name; of these the one is told that lives.
    last: dict[tuple[str, ...], float] = {}
    for each in found.workers:
        name = each.name, each.host
        last[name] = max(last.get(name, 0.0), each.heartbeat_at.timestamp())
    yield _gauge(
        "hhh_worker_last_heartbeat_timestamp_seconds",
        "When a worker gave its last sign of life.",
        _OF_WORKERS,
        [*last.items()],
    )


def _of_channels(found: Measurements) -> Iterator[Metric]:
    yield _gauge(
        "hhh_alert_channel_failing",
        "1 if a channel for alerts has not taken what was sent to it last, else 0.",
        ("channel",),
        [((each.channel,), float(each.is_failing)) for each in found.channels],
    )
    yield _gauge(
        "hhh_alert_messages_waiting",
        "Alerts that are still to be delivered to a channel.",
        ("channel",),
        [((each.channel,), float(each.waiting)) for each in found.channels],
    )


def _gauge(
    name: str, told: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float | None]]
) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels)
    for of_it, value in values:
        if value is not None:
            family.add_metric(of_it, value)
    return family


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None


def _duration(backup: Measured) -> float | None:
    if backup.finished_at is None:
        return None
    return max(0.0, (backup.finished_at - backup.started_at).total_seconds())


def _rate(backup: Measured) -> float | None:
    seconds = _duration(backup)
    return backup.raw_size / seconds if backup.raw_size is not None and seconds else None


#: What is told of each target by one number, or not at all where there is none.
_OF_TARGETS: Mapping[str, tuple[str, Callable[[Recoverability], float | None]]] = {
    "hhh_backup_last_success_timestamp_seconds": (
        "When the newest good backup was begun.",
        lambda each: _seconds(each.last_backup_at),
    ),
    "hhh_backup_last_proven_timestamp_seconds": (
        "When the newest backup was begun that a restore has proven: what is lost since then is the RPO.",
        lambda each: _seconds(each.last_proven.created_at if each.last_proven else None),
    ),
    "hhh_backup_last_attempt_timestamp_seconds": (
        "When a backup ended last, well or not.",
        lambda each: _seconds(each.last_attempt_at),
    ),
    "hhh_backup_last_attempt_success": (
        "1 if the backup that ended last did so well, else 0.",
        lambda each: None if each.last_attempt_status is None else float(each.last_attempt_status == "success"),
    ),
    "hhh_backup_due_timestamp_seconds": (
        "Until then the next backup is demanded, by policy or schedule.",
        lambda each: _seconds(each.next_backup_due_at),
    ),
    "hhh_proof_due_timestamp_seconds": (
        "Until then the next proof is demanded by policy.",
        lambda each: _seconds(each.next_proof_due_at),
    ),
    "hhh_proof_demanded": (
        "1 if the policy of the target demands proofs, else 0.",
        lambda each: float(each.proven_within_days is not None),
    ),
    "hhh_restore_duration_seconds": (
        "How long the newest proof took to restore its backup: the RTO.",
        lambda each: each.rto_seconds,
    ),
    "hhh_restore_bytes_per_second": (
        "How fast the newest proof restored its backup, in bytes of the dump.",
        lambda each: each.restore_bytes_per_second,
    ),
}

#: What is told of the newest good backup of each target.
_OF_NEWEST: Mapping[str, tuple[str, Callable[[Measured], float | None]]] = {
    "hhh_backup_stored_bytes": ("Bytes of the newest good backup, as stored.", lambda each: each.size),
    "hhh_backup_raw_bytes": (
        "Bytes of the newest good backup before compression and encryption.",
        lambda each: each.raw_size,
    ),
    "hhh_backup_duration_seconds": ("How long the newest good backup took.", _duration),
    "hhh_backup_bytes_per_second": (
        "How fast the newest good backup was taken, in bytes of the dump.",
        _rate,
    ),
}
