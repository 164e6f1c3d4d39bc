"""Which facts are a trouble. How a target stands, and until when it should be backed up, `recovery_state` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median

from rich.filesize import decimal

from hhh.core.text import counted, last_line, minute
from hhh.models import AlertKind
from hhh.services.policies import APP
from hhh.services.recovery_state import Known, is_after
from hhh.services.troubles import Facts, Found

#: So many backups before the newest are what its size is held against, at the most and at the least.
SIZES_AT_MOST, SIZES_AT_LEAST = 9, 5
#: Bytes. A smaller difference is no news, whatever its factor.
_SIZE_OF_NOTE = 1_000_000
#: Percent. Who is told of a full store is told again at these, and that it has room only well below the limit.
_FULLER = (95, 98, 99, 100)
_ROOM_AGAIN = 2


def find(facts: Facts, *, full_percent: float, size_factor: float) -> Sequence[Found]:
    """All that is wrong.

    Args:
        facts: what to judge by.
        full_percent: a store that is so full is nearly full.
        size_factor: a backup that is so many times larger or smaller than those before it is out of line.
    """
    found = [each for rule in _RULES for each in rule(facts)]
    return [*found, *_nearly_full(facts, full_percent), *_odd_sizes(facts, size_factor)]


def _failed_backups(facts: Facts) -> Iterator[Found]:
    for target, known in facts.known.items():
        if known.failed and is_after(known.failed, known.stored):
            yield Found(
                kind=AlertKind.BACKUP_FAILED,
                subject=target,
                target=target,
                title=f"{target}: backup failed",
                what=f"The backup of {target} that was begun at {minute(known.failed.created_at)} failed.",
                said=last_line(known.failed.error),
                advice=f"Put that right, then: hhh backup run {target}",
            )


def _failed_verifications(facts: Facts) -> Iterator[Found]:
    newest = {fault.target: fault for fault in reversed(facts.faults)}  # of a target the newest is told
    for target, fault in newest.items():
        level = fault.verified.level
        yield Found(
            kind=AlertKind.VERIFICATION_FAILED,
            subject=target,
            target=target,
            title=f"{target}: verification failed",
            what=f"The backup {fault.backup_file} of {target} is not good: its verification ({level}) of "
            f"{minute(fault.verified.at)} failed.",
            said=last_line(fault.verified.error),
            advice=f"Take another: hhh backup run {target}; or, once that is put right: "
            f"hhh backup verify {fault.backup_id} --level {level}",
            same=f"{fault.backup_file} {level}",
        )


def _lost_backups(facts: Facts) -> Iterator[Found]:
    faulted = {fault.target for fault in facts.faults}
    for target, known in facts.known.items():
        if known.stored and known.stored != known.good and target not in faulted:
            yield Found(
                kind=AlertKind.VERIFICATION_FAILED,
                subject=target,
                target=target,
                title=f"{target}: the newest backup is gone",
                what=f"No store has a good copy of {known.stored.backup_file} any more, the newest backup of {target}: "
                "it is gone or damaged.",
                advice="Find out what happened there. If one is there again: hhh doctor --repair; else: "
                f"hhh backup run {target}",
                same=f"gone {known.stored.backup_file}",
            )


def _overdue_backups(facts: Facts) -> Iterator[Found]:
    for target, known in facts.known.items():
        due = _backup_due(facts, target, known)
        if due is not None and due < facts.now:
            hours = known.demands.backed_up_within_hours
            maker = "the service takes one by itself" if target == APP else "its schedule asks for one"
            demand = f"one at most {counted(hours, 'hour', 'hours')} old is demanded" if hours else maker
            yield Found(
                kind=AlertKind.BACKUP_OVERDUE,
                subject=target,
                target=target,
                title=f"{target}: backup overdue",
                what=f"{target} should have had a good backup by {minute(due)}: {demand}.",
                advice=f"See that the service runs, and hhh schedule list --target {target}; or take one: "
                f"hhh backup run {target}",
            )


def _backup_due(facts: Facts, target: str, known: Known) -> datetime | None:
    hours = known.demands.backed_up_within_hours
    if known.backup_due_at is not None or hours is None:
        return known.backup_due_at
    since = facts.since.get(target)
    return since + timedelta(hours=hours) if since is not None else None


def _overdue_proofs(facts: Facts) -> Iterator[Found]:
    for target, known in facts.known.items():
        days, due = known.demands.proven_within_days, known.proof_due_at
        if days is not None and due is None and (first := facts.first_stored.get(target)) is not None:
            due = first + timedelta(days=days)
        if days is not None and due is not None and due < facts.now and known.good is not None:
            yield Found(
                kind=AlertKind.PROOF_OVERDUE,
                subject=target,
                target=target,
                title=f"{target}: proof overdue",
                what=f"No backup of {target} is proven to be restorable that is at most "
                f"{counted(days, 'day', 'days')} old; one was due by {minute(due)}.",
                advice=f"Prove the newest: hhh backup verify {known.good.id} --level proven",
            )


def _failing_stores(facts: Facts) -> Iterator[Found]:
    lacking = {each.store: each for each in facts.lacking}
    for store in sorted({*facts.failing, *lacking}):
        error = facts.failing.get(store)
        copies = lacking.get(store)
        told = [f"The store {store} can't be used."] if error is not None else []
        if copies is not None:
            lacking_copies = counted(copies.copies, "copy", "copies")
            told.append(f"The store {store} lacks {lacking_copies} of backups that should be in it.")
        yield Found(
            kind=AlertKind.STORE_FAILING,
            subject=store,
            target=None,
            title=f"Store {store}: failing",
            what=" ".join(told),
            said=last_line(error or (copies.error if copies is not None else None)),
            advice=f"Try it: hhh storage test {store}. Missing copies are made again by themselves once it works",
        )


def _nearly_full(facts: Facts, full_percent: float) -> Iterator[Found]:
    for store, room in facts.rooms.items():
        used = room.used_percent
        limit = full_percent
        if (AlertKind.STORE_NEARLY_FULL, store) in facts.told:
            limit -= _ROOM_AGAIN
        if used >= limit:
            step = max((each for each in (full_percent, *_FULLER) if each <= used), default=full_percent)
            yield Found(
                kind=AlertKind.STORE_NEARLY_FULL,
                subject=store,
                target=None,
                title=f"Store {store}: {used:.0f} % full",
                what=f"The disk of the store {store} is {used:.0f} % full: {decimal(room.free)} of "
                f"{decimal(room.total)} are free.",
                advice="Make room, or keep fewer backups: hhh backup prune TARGET --dry-run tells what rules drop",
                same=f"{step:g}",
            )


def _stuck_retention(facts: Facts) -> Iterator[Found]:
    by_target: dict[str, str] = {each.target: each.error for each in facts.failed_prunes}
    left = {(each.target or "", each.store): each for each in facts.undeletable}
    for target in sorted({*by_target, *(target for target, _ in left)}):
        stores = [each for (name, _), each in left.items() if name == target]
        told = [f"{counted(each.copies, 'copy', 'copies')} in the store {each.store}" for each in stores]
        what = f"Backups of {target} that are no longer wanted could not be deleted"
        yield Found(
            kind=AlertKind.RETENTION_STUCK,
            subject=target,
            target=target,
            title=f"{target}: retention could not delete",
            what=f"{what}: {', '.join(told)}." if told else f"{what}.",
            said=last_line(stores[0].error if stores else by_target[target]),
            advice="If a lock of the store keeps them, wait for its end; else put that right, then: "
            f"hhh backup prune {target}",
            same=" ".join(sorted(each.store for each in stores)),
        )


def _lost_workers(facts: Facts) -> Iterator[Found]:
    for lost in {each.name: each for each in facts.lost}.values():
        yield Found(
            kind=AlertKind.WORKER_LOST,
            subject=lost.name,
            target=None,
            title=f"Worker {lost.name}: lost",
            what=f"The worker {lost.name} on {lost.host} gives no sign of life since {minute(lost.heartbeat_at)}, and "
            "has not said goodbye. What it was at is gone on with elsewhere, where it can be.",
            advice="See what ended it, e.g. too little memory, and start it again; hhh worker list tells who is there",
        )


def _odd_sizes(facts: Facts, factor: float) -> Iterator[Found]:
    for target, sizes in facts.sizes.items():
        newest, before = (sizes[0], sizes[1 : SIZES_AT_MOST + 1]) if sizes else (0, ())
        if len(before) < SIZES_AT_LEAST:
            continue
        usual = median(before)
        is_larger = newest > usual * factor
        if abs(newest - usual) < _SIZE_OF_NOTE or not (is_larger or newest * factor < usual):
            continue
        yield Found(
            kind=AlertKind.SIZE_ODD,
            subject=target,
            target=target,
            title=f"{target}: backup much {'larger' if is_larger else 'smaller'} than usual",
            what=f"The newest backup of {target} is {decimal(newest)} before compression; usual are "
            f"{decimal(int(usual))} (the median of the {len(before)} before it).",
            advice=f"See whether data was {'loaded or not cleared away' if is_larger else 'lost'} in {target}. If the "
            "new size is right, nothing is to be done: it is the usual one before long",
            same="larger" if is_larger else "smaller",
        )


_RULES: Sequence[Callable[[Facts], Iterator[Found]]] = (
    _failed_backups,
    _failed_verifications,
    _lost_backups,
    _overdue_backups,
    _overdue_proofs,
    _failing_stores,
    _stuck_retention,
    _lost_workers,
)

#: By kind: what is told when it is over.
OVER = {
    AlertKind.BACKUP_FAILED: "{}: backups succeed again",
    AlertKind.VERIFICATION_FAILED: "{}: nothing speaks against its backups any more",
    AlertKind.BACKUP_OVERDUE: "{}: backed up in time again",
    AlertKind.PROOF_OVERDUE: "{}: proven in time again",
    AlertKind.STORE_FAILING: "Store {}: works again",
    AlertKind.STORE_NEARLY_FULL: "Store {}: has room again",
    AlertKind.WORKER_LOST: "Worker {}: at work again",
    AlertKind.RETENTION_STUCK: "{}: retention deletes again",
    AlertKind.SIZE_ODD: "{}: the size of backups is in line again",
}
