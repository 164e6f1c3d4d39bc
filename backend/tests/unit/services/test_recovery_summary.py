"""How a target stands, in one sentence: each state, and what a tool said."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hhh.schemas.policy import ProofFields
from hhh.services.recovery_state import Known, Seen, Verified, judged
from hhh.services.recovery_summary import summary

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAILY, WEEKLY_PROOF = ProofFields(backed_up_within_hours=24), ProofFields(proven_within_days=7)


def backup(age: timedelta, error: str | None = None) -> Seen:
    return Seen("b", "backup_b.sql", NOW - age, error)


def known(age: timedelta = 3 * HOUR, **more: Any) -> Known:
    """Of a target with one backup, proven."""
    one = backup(age)
    demands = ProofFields()
    return dataclasses.replace(Known(target="shop", now=NOW, demands=demands, stored=one, good=one, proven=one), **more)


def never(**more: Any) -> Known:
    return known(stored=None, good=None, proven=None, **more)


def told(what: Known, seconds: float | None = None) -> str:
    return summary(what, judged(what)[0], restore_seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "lasts"),
    [
        (0.2, ", restores in about 1 s"),
        (40.4, ", restores in about 40 s"),
        (600, ", restores in about 10 min"),
        (5 * 3600, ", restores in about 5 h"),
        (None, ""),
    ],
)
def test_what_is_proven_tells_how_fresh_it_is_and_how_long_a_restore_takes(seconds: float | None, lasts: str) -> None:
    assert told(known(), seconds) == f"Proven restorable 3 h ago{lasts}"


@pytest.mark.parametrize(
    ("age", "expected"), [(timedelta(), "1 min"), (59 * HOUR / 60, "59 min"), (47 * HOUR, "47 h"), (9 * DAY, "9 days")]
)
def test_an_age_has_one_unit(age: timedelta, expected: str) -> None:
    assert told(known(age)) == f"Proven restorable {expected} ago"


def test_a_proof_that_grew_too_old_tells_its_age() -> None:
    assert told(known(9 * DAY, demands=WEEKLY_PROOF)) == "Not proven for 9 days"


def test_what_was_never_proven_is_not_told_as_safe() -> None:
    assert told(known(proven=None)) == "Backed up 3 h ago, but never proven"


def test_what_is_overdue_tells_when_the_last_backup_was() -> None:
    assert told(known(3 * DAY, demands=DAILY)) == "Last backup 3 days ago, overdue"
    assert told(never(demands=DAILY)) == "Never backed up"


def test_a_failure_is_told_with_the_last_line_of_the_tool_and_no_more() -> None:
    assert told(known(failed=backup(HOUR, "connection refused."))) == "Last backup failed: connection refused"
    assert told(known(failed=backup(HOUR, "warning: a\n\n  fatal: b\n"))) == "Last backup failed: fatal: b"
    assert told(known(failed=backup(HOUR))) == "Last backup failed"
    long = told(known(failed=backup(HOUR, "x" * 5000)))
    assert len(long) <= 120 + len("Last backup failed: ")
    assert long.endswith("x…")
    advised = f"connection refused ({'start it, or correct the host and the port; ' * 4})"
    assert told(known(failed=backup(HOUR, advised))) == "Last backup failed: connection refused"


def test_a_lost_backup_and_one_that_is_not_good_are_told_as_such() -> None:
    assert told(known(stored=backup(HOUR))) == "No store has a good copy of the newest backup any more"
    bad = known(against=Verified("proven", NOW, "5 expected, 4 found"))
    assert told(bad) == "The newest backup failed its verification: 5 expected, 4 found"


def test_no_backup_at_all_is_told_as_what_it_is() -> None:
    assert told(never()) == "Never backed up"
    assert told(never(ahead=backup(-DAY))) == "Its only backups are dated in the future"
    assert told(known(stored=None, good=None, proven=None, failed=backup(HOUR, "no"))) == "Last backup failed: no"
