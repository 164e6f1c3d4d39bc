"""Which backups of a target are kept, and why. Decides only: reads nothing and removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from rich.filesize import decimal

from hhh.repositories.retention import Candidate
from hhh.schemas.retention import Retention

#: Of each periodic rule what names the period, in UTC, that a backup was begun in.
_PERIODS: Mapping[str, Callable[[datetime], object]] = {
    "hourly": lambda moment: (moment.date(), moment.hour),
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
    "yearly": lambda moment: moment.year,
}

BEING_RESTORED = "being restored"
BEING_VERIFIED = "being verified"
LOST = "lost: no store has a copy"
FAILED = "failed its verification"
PINNED = "pinned"
OF_THE_FUTURE = "begun in the future, by its clock"
NEWEST_GOOD = "newest good"
NEWEST_PROVEN = "newest proven"
NO_RULE_DROPS = "no rule drops it"
NO_RULE_KEEPS = "no rule keeps it"


class Verdict(NamedTuple):
    """What becomes of one backup."""

    backup: Candidate
    keep: bool
    #: Every rule that keeps it, or the one that drops it, in words.
    reasons: tuple[str, ...]
    #: Whether it stays whatever the rules say: it is pinned, the newest good one, being restored …
    held: bool = False


def decide(backups: Sequence[Candidate], policy: Retention, now: datetime) -> Sequence[Verdict]:
    """Decides on all successful backups of one target.

    A backup is kept if any counting rule keeps it, or if there is none. What is older than the maximum age is dropped
    all the same, and then the oldest until the rest fits into the maximum size. Whatever the rules say, these stay:
    pinned ones, the newest good one, the newest proven one of the good, the ``minimum_kept`` newest good ones, and what
    a restore or a verification is at; the latter is not good before that ends. One that is lost (no copy) or failed
    its verification counts for nothing: only its age drops it. One of the future, begun while a clock was wrong, is
    kept and counts for nothing either: it must not be the newest good one for years.

    Args:
        backups: in any order.
        policy: the rules.
        now: the moment that ages are measured from.

    Returns:
        One verdict for each, newest first.
    """
    newest_first = sorted(backups, key=lambda backup: (backup.created_at, backup.id), reverse=True)
    good = [backup for backup in newest_first if backup.good and backup.created_at <= now]
    deciding = _Deciding(policy, now, good)
    deciding.hold(newest_first)
    deciding.count()
    deciding.limit_age(newest_first)
    deciding.limit_size()
    return [deciding.verdict(backup) for backup in newest_first]


@dataclass(slots=True)
class _Deciding:
    """One decision, step by step."""

    policy: Retention
    now: datetime
    #: Newest first.
    good: Sequence[Candidate]
    #: By id: what nothing overrides.
    held: dict[str, list[str]] = field(default_factory=dict)
    #: By id: the rules that keep it, as far as no limit drops it.
    kept: dict[str, list[str]] = field(default_factory=dict)
    #: By id: the limit that drops it.
    dropped: dict[str, str] = field(default_factory=dict)

    def hold(self, backups: Sequence[Candidate]) -> None:
        for backup in backups:
            if backup.pinned:
                self._hold(backup, PINNED)
            if backup.created_at > self.now:
                self._hold(backup, OF_THE_FUTURE)
            if backup.being_restored:
                self._hold(backup, BEING_RESTORED)
            if backup.being_verified:
                self._hold(backup, BEING_VERIFIED)
        for backup in self.good[:1]:
            self._hold(backup, NEWEST_GOOD)
        for backup in [each for each in self.good if each.proven][:1]:
            self._hold(backup, NEWEST_PROVEN)
        minimum = self.policy.minimum_kept
        if minimum > 1:  # else it says no more than the newest good one does
            for number, backup in enumerate(self.good[:minimum], 1):
                self._hold(backup, f"minimum {number} of {minimum}")

    def count(self) -> None:
        for name, count, found in self._counting_rules():
            for number, backup in enumerate(found[:count], 1):
                self.kept.setdefault(backup.id, []).append(f"{name} {number} of {count}")
        if not any(True for _ in self._counting_rules()):
            self.kept = {backup.id: [NO_RULE_DROPS] for backup in self.good}

    def limit_age(self, backups: Sequence[Candidate]) -> None:
        days = self.policy.maximum_age_days
        if days is None:
            return
        for backup in backups:
            if self.now - backup.created_at > timedelta(days=days):
                self._drop(backup, f"older than {days:g} {'day' if days == 1 else 'days'}")

    def limit_size(self) -> None:
        limit = self.policy.maximum_total_bytes
        if limit is None:
            return
        staying = [backup for backup in self.good if self._stays(backup)]
        total = sum(backup.size for backup in staying)
        for backup in reversed(staying):
            if total <= limit:
                return
            if self._drop(backup, f"over {decimal(limit)} in all"):
                total -= backup.size

    def verdict(self, backup: Candidate) -> Verdict:
        held = self.held.get(backup.id, [])
        if not held and backup.id in self.dropped:
            return Verdict(backup, keep=False, reasons=(self.dropped[backup.id],))
        if backup.refuted or not backup.stored:
            reasons = (*held, FAILED if backup.stored else LOST)
            return Verdict(backup, keep=True, reasons=reasons, held=bool(held))
        reasons = (*held, *self.kept.get(backup.id, ()))
        return Verdict(backup, keep=bool(reasons), reasons=reasons or (NO_RULE_KEEPS,), held=bool(held))

    def _counting_rules(self) -> Iterator[tuple[str, int, Sequence[Candidate]]]:
        """Of each rule its name, its number, and what it counts, newest first."""
        if self.policy.keep_last is not None:
            yield "last", self.policy.keep_last, self.good
        for name, period in _PERIODS.items():
            count = getattr(self.policy, name)
            if count is not None:
                yield name, count, _newest_of_each(self.good, period)

    def _stays(self, backup: Candidate) -> bool:
        return backup.id in self.held or (backup.id in self.kept and backup.id not in self.dropped)

    def _hold(self, backup: Candidate, reason: str) -> None:
        self.held.setdefault(backup.id, []).append(reason)

    def _drop(self, backup: Candidate, reason: str) -> bool:
        if backup.id in self.held:
            # It stays, but not by the rule that the limit overrides.
            self.kept.pop(backup.id, None)
            return False
        self.dropped[backup.id] = reason
        return True


def _newest_of_each(backups: Sequence[Candidate], period: Callable[[datetime], object]) -> Sequence[Candidate]:
    newest: dict[object, Candidate] = {}
    for backup in backups:
        newest.setdefault(period(backup.created_at), backup)
    return list(newest.values())
