"""The state of a target, from what is known of its backups and from the moment alone."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hhh.schemas.policy import ProofFields
from hhh.services.recovery_state import STATES, Known, Seen, Verified, judged, state_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOTHING = ProofFields()
DAILY = ProofFields(backed_up_within_hours=24)
WEEKLY_PROOF = ProofFields(proven_within_days=7)


def backup(age: timedelta, name: str = "b", error: str | None = None) -> Seen:
    return Seen(name, f"backup_{name}.sql", NOW - age, error)


def known(**more: Any) -> Known:
    """Of a target with one backup, an hour old and proven, of which nothing is demanded."""
    one = backup(HOUR)
    return dataclasses.replace(Known(target="shop", now=NOW, demands=NOTHING, stored=one, good=one, proven=one), **more)


def never(**more: Any) -> Known:
    return known(stored=None, good=None, proven=None, **more)


def state(what: Known) -> str:
    assert state_of(what) == judged(what)[0]
    return state_of(what)


def said(what: Known) -> str:
    return "\n".join(judged(what)[1])


def test_the_worst_state_comes_first() -> None:
    assert STATES == ("failing", "late", "unproven", "healthy")


def test_a_proven_backup_of_which_nothing_is_demanded_is_healthy_and_needs_no_reason() -> None:
    assert judged(known()) == ("healthy", [])


def test_a_backup_counts_only_when_it_is_proven() -> None:
    unproven = known(proven=None)
    assert state(unproven) == "unproven"
    assert "hhh backup verify b --level proven" in said(unproven)


def test_what_was_never_backed_up_is_unproven_and_late_as_soon_as_a_backup_is_demanded() -> None:
    assert state(never()) == "unproven"
    assert "never backed up. Take a backup: hhh backup run shop" in said(never())
    assert state(never(demands=DAILY)) == state(never(scheduled_until=NOW - HOUR)) == "late"
    assert "never backed up" in said(never(demands=DAILY))
    assert state(never(scheduled_until=NOW + HOUR)) == "unproven"


@pytest.mark.parametrize(("age", "expected"), [(24 * HOUR, "healthy"), (24 * HOUR + timedelta(seconds=1), "late")])
def test_a_backup_is_late_from_the_moment_that_its_demand_ends(age: timedelta, expected: str) -> None:
    old = backup(age)
    demanded = known(stored=old, good=old, proven=old, demands=DAILY)
    assert demanded.backup_due_at == old.created_at + DAY
    assert state(demanded) == expected


def test_a_demand_counts_instead_of_the_schedules() -> None:
    assert state(known(scheduled_until=NOW - HOUR)) == "late"
    assert "its schedule should have made another by 2026-11-23 11:00 UTC" in said(known(scheduled_until=NOW - HOUR))
    assert state(known(scheduled_until=NOW - HOUR, demands=DAILY)) == "healthy"


@pytest.mark.parametrize(("age", "expected"), [(7 * DAY, "healthy"), (7 * DAY + HOUR, "unproven")])
def test_a_proof_is_as_old_as_the_backup_that_it_is_of(age: timedelta, expected: str) -> None:
    demanded = known(proven=backup(age, "old"), demands=WEEKLY_PROOF)
    assert demanded.proof_due_at == NOW - age + 7 * DAY
    assert state(demanded) == expected


def test_after_five_days_without_the_service_nothing_is_green() -> None:
    old = backup(5 * DAY)
    back = known(stored=old, good=old, proven=old)
    assert state(dataclasses.replace(back, demands=DAILY)) == "late"
    assert state(dataclasses.replace(back, scheduled_until=old.created_at + 30 * HOUR)) == "late"
    assert state(dataclasses.replace(back, demands=ProofFields(proven_within_days=3))) == "unproven"


def test_a_failed_backup_is_failing_until_a_good_one_follows() -> None:
    failed = backup(HOUR / 2, "f", "disk full.")
    assert state(known(failed=failed)) == "failing"
    assert "begun at 2026-11-23 11:30 UTC, failed: disk full. Put that right, then: hhh backup run shop" in said(
        known(failed=failed)
    )
    assert state(never(failed=failed)) == "failing"
    assert state(known(failed=backup(2 * HOUR, "f"))) == "healthy"


def test_a_newest_backup_that_no_store_has_any_more_is_failing() -> None:
    gone = known(stored=backup(HOUR / 2, "gone"))
    assert state(gone) == "failing"
    assert "No store has a good copy of backup_gone.sql any more" in said(gone)
    assert "None of its backups is left" in said(known(good=None, proven=None))


def test_a_newest_backup_that_did_not_stand_its_verification_is_failing() -> None:
    bad = known(against=Verified("readable", NOW, "default: sha256 is another"))
    assert state(bad) == "failing"
    assert "failed: default: sha256 is another. Take another: hhh backup run shop" in said(bad)
    assert "hhh backup verify b --level readable" in said(bad)


def test_what_is_inconclusive_makes_no_state_but_is_told_where_the_proof_is_missing() -> None:
    inconclusive = Verified("proven", NOW, "no PostgreSQL 18 here")
    assert judged(known(inconclusive=inconclusive)) == ("healthy", [])
    assert state(known(proven=None, inconclusive=inconclusive)) == "unproven"
    assert "inconclusive: no PostgreSQL 18 here" in said(known(proven=None, inconclusive=inconclusive))


def test_a_backup_that_is_dated_ahead_does_not_count_and_is_told() -> None:
    ahead = never(ahead=backup(-DAY, "later"))
    assert state(ahead) == "unproven"
    assert "no backup that counts" in said(ahead)
    assert "backup_later.sql is dated 2026-11-24 12:00 UTC" in said(ahead)
    assert judged(known(ahead=backup(-DAY, "later"))) == ("healthy", [])


def test_all_reasons_are_told_the_worst_first() -> None:
    everything = never(failed=backup(HOUR, "f"), demands=ProofFields(backed_up_within_hours=1, proven_within_days=1))
    reasons = judged(everything)[1]
    assert state(everything) == "failing"
    assert ["failed" in reasons[0], "is demanded" in reasons[1], "Take a backup" in reasons[2]] == [True] * 3
