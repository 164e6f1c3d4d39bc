"""What is known of a target's backups, and the state that this comes to: the worst that any reason gives.

Only moments that are written down count, and now: what did not happen while the service was down is missed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, get_args

from hhh.core.text import age, counted, minute
from hhh.schemas.policy import ProofFields
from hhh.schemas.recoverability import RecoverabilityState
from hhh.services.policies import APP

#: The worst first.
STATES: tuple[RecoverabilityState, ...] = get_args(RecoverabilityState)


class Seen(NamedTuple):  # there are thousands of them, which a dataclass takes thrice the time for
    """A backup, as far as it matters here; where only a state is asked for, without its name and its error."""

    id: str
    backup_file: str
    created_at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification of the newest good backup that ended by itself."""

    level: str
    at: datetime
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a target; None where there is no such backup or verification."""

    target: str
    now: datetime
    demands: ProofFields
    #: The newest backup that was stored.
    stored: Seen | None = None
    #: The newest one that a store has.
    good: Seen | None = None
    #: The newest one that a store has, and that a restore has proven.
    proven: Seen | None = None
    #: The newest one that failed.
    failed: Seen | None = None
    #: The newest one that is dated after now: a clock is wrong, or was.
    ahead: Seen | None = None
    #: What found a fault in `good`, and no later verification of that level says otherwise.
    against: Verified | None = None
    #: What could not find out about `good`, later than any that could.
    inconclusive: Verified | None = None
    #: Until then its schedules should have made a newer backup.
    scheduled_until: datetime | None = None

    @property
    def backup_due_at(self) -> datetime | None:
        """Until then a backup is demanded; None where none is, or where there is none that could grow old."""
        if self.demands.backed_up_within_hours is None:
            return self.scheduled_until
        return self.good.created_at + timedelta(hours=self.demands.backed_up_within_hours) if self.good else None

    @property
    def proof_due_at(self) -> datetime | None:
        """Until then a proof is demanded; None as for `backup_due_at`."""
        if self.demands.proven_within_days is None or self.proven is None:
            return None
        return self.proven.created_at + timedelta(days=self.demands.proven_within_days)


def state_of(known: Known) -> RecoverabilityState:
    """The worst state that there is a reason for; of any number of reasons it looks for one."""
    return next((state for state, reasons in _REASONS if next(reasons(known), None) is not None), "healthy")


def judged(known: Known) -> tuple[RecoverabilityState, Sequence[str]]:
    """The state, and why it is not healthy, the worst reason first, each with what to do."""
    state = state_of(known)
    if state == "healthy":
        return state, []
    return state, [*(reason for _, reasons in _REASONS for reason in reasons(known)), *_asides(known)]


def _failing(known: Known) -> Iterator[str]:
    again = f"hhh backup run {known.target}"
    if known.failed and is_after(known.failed, known.stored):
        yield (
            f"The newest backup, begun at {minute(known.failed.created_at)}, failed{_because(known.failed.error)}. "
            f"Put that right, then: {again}"
        )
    if known.stored and known.stored != known.good:
        yield (
            f"No store has a good copy of {known.stored.backup_file} any more, the newest backup: it is gone or "
            f"damaged. Find out what happened there. If one is there again: hhh doctor --repair; else: {again}"
        )
    if known.good and (against := known.against):
        yield (
            f"The newest backup, {known.good.backup_file}, is not good: its verification ({against.level}) of "
            f"{minute(against.at)} failed{_because(against.error)}. Take another: {again}; or, once that is put right: "
            f"hhh backup verify {known.good.id} --level {against.level}"
        )


def _late(known: Known) -> Iterator[str]:
    hours, due = known.demands.backed_up_within_hours, known.backup_due_at
    again = f"hhh backup run {known.target}"
    if hours is not None and (due is None or due < known.now):
        demanded = f"one at most {counted(hours, 'hour', 'hours')} old is demanded"
        yield f"{_newest_of(known)}, and {demanded}. Take one: {again}"
    if hours is None and due is not None and due < known.now:
        yield (
            f"{_newest_of(known)}, and {_maker_of(known)} should have made another by {minute(due)}. See that the "
            f"service runs, and hhh schedule list --target {known.target}; or take one: {again}"
        )


def _unproven(known: Known) -> Iterator[str]:
    if known.good is None:
        yield f"{_newest_of(known)}. Take a backup: hhh backup run {known.target}"
        return
    prove = f"Prove the newest: hhh backup verify {known.good.id} --level proven"
    if known.proven is None:
        yield f"None of its backups is proven: nobody knows whether one can be restored. {prove}"
    elif (due := known.proof_due_at) and due < known.now:
        old, days = age(known.now - known.proven.created_at), known.demands.proven_within_days or 0
        yield (
            f"The newest proven backup, {known.proven.backup_file}, is {old} old, and one at most "
            f"{counted(days, 'day', 'days')} old is demanded. {prove}"
        )


#: What gives a reason for which state, the worst first.
_REASONS: Sequence[tuple[RecoverabilityState, Callable[[Known], Iterator[str]]]] = (
    ("failing", _failing),
    ("late", _late),
    ("unproven", _unproven),
)


def _asides(known: Known) -> Iterator[str]:
    """What makes no state by itself, but tells why another one is not over yet."""
    if known.inconclusive:
        yield (
            f"The verification ({known.inconclusive.level}) of {minute(known.inconclusive.at)} was inconclusive"
            f"{_because(known.inconclusive.error)}. It says nothing against the backup, and proves nothing"
        )
    if known.ahead:
        yield (
            f"{known.ahead.backup_file} is dated {minute(known.ahead.created_at)}, which is after now: it does not "
            f"count until then. Set the clocks right, then: hhh backup run {known.target}"
        )


def is_after(backup: Seen, other: Seen | None) -> bool:
    """Whether a backup was begun after another one, or there is no other."""
    return other is None or (backup.created_at, backup.id) > (other.created_at, other.id)


def _newest_of(known: Known) -> str:
    if known.good is not None:
        return f"Its newest backup is {age(known.now - known.good.created_at)} old"
    if known.stored is not None:
        return "None of its backups is left"
    return "It has no backup that counts" if known.failed or known.ahead else "It was never backed up"


def _maker_of(known: Known) -> str:
    return "the service by itself" if known.target == APP else "its schedule"


def _because(error: str | None) -> str:
    return f": {error.strip().removesuffix('.')}" if error else ""
