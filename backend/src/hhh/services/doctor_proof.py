"""What the doctor looks at beside all else where backups are to be verified: who does it, and with what."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from hhh.core.config import QueueName, Settings
from hhh.core.scratch import scratch_folder
from hhh.core.text import counted, listed
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.registry import prover_for
from hhh.repositories import schedules as schedule_rows
from hhh.services.container import Services
from hhh.services.doctor_findings import Finding, attempted

_PROVEN = "proven"
_VERIFY: QueueName = "verify"
_START = "start `hhh serve` or `hhh worker`, or add it to the HHH_WORKER_QUEUES of one that runs"


@dataclass(frozen=True, slots=True)
class Demands:
    """Which targets rules and schedules have verified."""

    #: At any level.
    verified: Collection[str]
    #: By a restore on a throw-away server, and not on one that their rules name.
    drilled: Collection[str]


def demands(services: Services) -> Demands:
    """What is asked for by rules and schedules."""
    policies = services.policies.set_policies()
    with services.database.snapshot() as session:
        levels: dict[str, set[str]] = {name: {*found} for name, found in schedule_rows.verified(session).items()}
    for name, policy in policies.items():
        if policy.proof.verify_after_backup is not None:
            levels.setdefault(name, set()).add(policy.proof.verify_after_backup)
        if policy.proof.proven_within_days is not None:
            levels.setdefault(name, set()).add(_PROVEN)
    elsewhere = {name for name, policy in policies.items() if policy.proof.drill_target is not None}
    return Demands(
        verified=levels.keys(),
        drilled={name for name, asked in levels.items() if _PROVEN in asked} - elsewhere,
    )


def drills_here(services: Services, asked: Demands) -> bool:
    """Whether this machine is to have what drills take: it does them, or nobody else does."""
    hosts = services.workers.hosts_taking(_VERIFY)
    if hosts:
        return bool(asked.drilled) and socket.gethostname() in hosts
    return bool(asked.drilled) and _VERIFY in services.settings.worker_queues


def drill_programs(settings: Settings, name: str, kind: EngineKind, version: str) -> Iterator[Finding]:
    """Whether the programs are here that a drill of a target takes; nothing where it takes none."""

    def look() -> str:
        with scratch_folder(settings.scratch_dir, "doctor") as scratch:
            return prover_for(kind).needs(version, Workplace(scratch, settings.pg_bin_dir))

    found = attempted(f"drills of {name}", look)
    if not found.ok or found.detail:
        yield found


def elsewhere(services: Services, asked: Demands) -> Iterator[Finding]:
    """Which machines do the drills that this one does not."""
    hosts = services.workers.hosts_taking(_VERIFY)
    if asked.drilled and hosts and socket.gethostname() not in hosts:
        detail = f"they are done on {listed(sorted(hosts))}: `hhh doctor` there tells whether it has what they take"
        yield Finding("drills", ok=True, detail=detail)


def takers(services: Services) -> Iterator[Finding]:
    """The queues of which nobody takes jobs, though there are some, or will be."""
    untaken: Mapping[QueueName, int] = services.workers.untaken()
    for name, waiting in untaken.items():
        if waiting:
            wait = counted(waiting, "job waits", "jobs wait")
            yield Finding(f"{name} jobs", ok=False, detail=f"{wait}, and no living worker takes them; {_START}")
    if untaken.get(_VERIFY) == 0 and (verified := demands(services).verified):
        of = counted(len(verified), "target", "targets")
        detail = f"rules or schedules have backups of {of} verified, and no living worker does that; {_START}"
        yield Finding(f"{_VERIFY} jobs", ok=False, detail=detail)
