"""Which facts are a trouble, and when the same trouble is another one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hhh.models import AlertKind
from hhh.repositories.troubles import FailedPrune, Lacking, Lost
from hhh.schemas.policy import ProofFields
from hhh.services.recovery_state import Known, Seen, Verified
from hhh.services.trouble_rules import OVER, find
from hhh.services.troubles import Facts, Fault, Found
from hhh.storages.room import Room

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MB = 1_000_000


def seen(name: str = "good", *, age: timedelta = HOUR, error: str | None = None) -> Seen:
    return Seen(name, f"{name}.sql", NOW - age, error)


def known(**more: Any) -> Known:
    """How the target `shop` stands: a good backup is an hour old, and nothing is demanded."""
    values: dict[str, Any] = {"stored": seen(), "good": seen(), "demands": ProofFields(), **more}
    return Known(target="shop", now=NOW, **values)


def found(**more: Any) -> Sequence[Found]:
    """What is found; `known` is of `shop` unless told."""
    facts = Facts(**{"now": NOW, "known": {"shop": known()}, **more})
    return find(facts, full_percent=90, size_factor=3)


def kinds(**more: Any) -> list[str]:
    return [each.kind.value for each in found(**more)]


def one(**more: Any) -> Found:
    [only] = found(**more)
    return only


def test_where_all_is_well_nothing_is_found() -> None:
    assert found() == []


def test_every_kind_says_what_it_is_when_it_is_over() -> None:
    assert set(OVER) == set(AlertKind)


# ------------------------------------------------------------------------------------------------------------- backups


def test_a_backup_that_failed_counts_until_a_later_one_is_stored() -> None:
    failed = seen("failed", age=timedelta(minutes=1), error="pg_dump: warning\npg_dump: error: gone\n")
    trouble = one(known={"shop": known(failed=failed)})
    assert (trouble.kind, trouble.subject, trouble.target) == (AlertKind.BACKUP_FAILED, "shop", "shop")
    assert trouble.said == "pg_dump: error: gone"
    assert trouble.advice.endswith("hhh backup run shop")
    assert found(known={"shop": known(failed=seen("failed", age=2 * HOUR))}) == []


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("could not connect to port 5432", "could not connect to port 6432", True),
        ("lost 0b8e5fae-47b4-4bd1-8de5-1c3c5c2c3a11", "lost 7d1f61c4-7c2e-4e28-8a2f-2f1f0c9c1d22", True),
        ("no room for /tmp/hhh-x7kq_2ab/copy", "no room for /tmp/hhh-9wz_q1mc/copy", True),
        ("connection refused", "no password supplied", False),
    ],
)
def test_the_same_trouble_is_known_again_by_what_was_said_without_its_numbers(
    before: str, after: str, same: bool
) -> None:
    first, second = (one(known={"shop": known(failed=seen("f", age=DAY / 100, error=e))}) for e in (before, after))
    assert (first.fingerprint == second.fingerprint) is same


def test_a_backup_is_overdue_by_demand_or_by_schedule() -> None:
    assert kinds(known={"shop": known(demands=ProofFields(backed_up_within_hours=2))}) == []
    old = {"stored": seen(age=3 * HOUR), "good": seen(age=3 * HOUR)}
    assert kinds(known={"shop": known(demands=ProofFields(backed_up_within_hours=2), **old)}) == ["backup-overdue"]
    assert kinds(known={"shop": known(scheduled_until=NOW - HOUR)}) == ["backup-overdue"]
    assert kinds(known={"shop": known(scheduled_until=NOW + HOUR)}) == []


def test_a_target_that_was_never_backed_up_has_as_long_as_is_demanded_from_its_registration_on() -> None:
    new = known(stored=None, good=None, demands=ProofFields(backed_up_within_hours=24))
    assert kinds(known={"shop": new}, since={"shop": NOW - 23 * HOUR}) == []
    assert kinds(known={"shop": new}, since={"shop": NOW - 25 * HOUR}) == ["backup-overdue"]


# -------------------------------------------------------------------------------------------------------------- proofs


def test_a_proof_is_overdue_only_where_one_is_demanded() -> None:
    old = known(proven=seen("proven", age=8 * DAY))
    assert kinds(known={"shop": old}) == []
    demanding = known(proven=seen("proven", age=8 * DAY), demands=ProofFields(proven_within_days=7))
    trouble = one(known={"shop": demanding})
    assert trouble.kind == AlertKind.PROOF_OVERDUE
    assert trouble.advice == "Prove the newest: hhh backup verify good --level proven"


def test_before_the_first_proof_it_counts_from_the_first_backup_on() -> None:
    unproven = {"shop": known(demands=ProofFields(proven_within_days=7))}
    assert kinds(known=unproven, first_stored={"shop": NOW - 6 * DAY}) == []
    assert kinds(known=unproven, first_stored={"shop": NOW - 8 * DAY}) == ["proof-overdue"]


def test_of_a_target_the_newest_backup_that_a_verification_speaks_against_is_told() -> None:
    verified = Verified("readable", NOW - HOUR, "zstd: checksum is wrong")
    faults = [Fault("shop", "id-2", "two.sql", verified), Fault("shop", "id-1", "one.sql", verified)]
    trouble = one(faults=faults)
    assert trouble.kind == AlertKind.VERIFICATION_FAILED
    assert "two.sql" in trouble.what
    assert trouble.said == "zstd: checksum is wrong"
    assert "hhh backup verify id-2 --level readable" in trouble.advice
    assert trouble.fingerprint != one(faults=faults[1:]).fingerprint


def test_a_newest_backup_that_no_store_has_any_more_is_told() -> None:
    gone = one(known={"shop": known(stored=seen("newest"), good=seen("older", age=DAY))})
    assert (gone.kind, gone.title) == (AlertKind.VERIFICATION_FAILED, "shop: the newest backup is gone")


# -------------------------------------------------------------------------------------------------------------- stores


def test_a_store_fails_that_cannot_be_used_or_lacks_copies() -> None:
    lacking = [Lacking(None, "offsite", 3, "connection reset by peer")]
    troubles = found(failing={"default": "not mounted"}, lacking=lacking)
    assert [(each.subject, each.target, each.said) for each in troubles] == [
        ("default", None, "not mounted"),
        ("offsite", None, "connection reset by peer"),
    ]
    assert troubles[1].what == "The store offsite lacks 3 copies of backups that should be in it."


def room(percent: float) -> dict[str, Room]:
    return {"default": Room(total=1000 * MB, free=int((100 - percent) * 10 * MB))}


def test_a_store_is_nearly_full_from_the_limit_on_and_not_again_until_there_is_room_well_below() -> None:
    told = {("store-nearly-full", "default")}
    assert kinds(rooms=room(89)) == []
    assert kinds(rooms=room(90)) == ["store-nearly-full"]
    assert kinds(rooms=room(89), told=told) == ["store-nearly-full"]
    assert kinds(rooms=room(87), told=told) == []


def test_a_store_that_gets_fuller_is_told_again_at_few_steps() -> None:
    steps = [one(rooms=room(percent)).fingerprint for percent in (90, 92, 95, 97, 98, 99)]
    assert [steps.index(each) for each in steps] == [0, 0, 2, 2, 4, 5]


# ---------------------------------------------------------------------------------------------------- everything else


def test_retention_is_stuck_where_copies_stay_or_a_prune_fails() -> None:
    undeletable = [Lacking("shop", "offsite", 2, "object lock"), Lacking("shop", "nas", 1, "read-only")]
    trouble = one(undeletable=undeletable)
    assert (trouble.kind, trouble.target) == (AlertKind.RETENTION_STUCK, "shop")
    assert "2 copies in the store offsite, 1 copy in the store nas" in trouble.what
    assert trouble.said == "object lock"
    assert one(failed_prunes=[FailedPrune("shop", "a\nno store answers", NOW)]).said == "no store answers"


def test_a_lost_worker_is_told_by_its_name() -> None:
    trouble = one(lost=[Lost("id", "prover", "host-1", NOW - HOUR)])
    assert (trouble.kind, trouble.subject, trouble.target) == (AlertKind.WORKER_LOST, "prover", None)
    assert "since 2026-03-01 11:00 UTC" in trouble.what


@pytest.mark.parametrize(
    ("sizes", "odd"),
    [
        ([10 * MB] * 6, ""),
        ([29 * MB] + [10 * MB] * 5, ""),
        ([31 * MB] + [10 * MB] * 5, "larger"),
        ([3 * MB] + [10 * MB] * 5, "smaller"),
        ([0] + [10 * MB] * 5, "smaller"),
        ([31 * MB] + [10 * MB] * 4, ""),  # too few to tell
        ([90_000] + [900_000] * 9, ""),  # too small to matter
        ([31 * MB] * 6 + [10 * MB] * 4, ""),  # the new size is usual by now
        ([31 * MB] * 5 + [10 * MB] * 5, "larger"),
        ([], ""),
    ],
)
def test_a_size_is_odd_that_differs_from_the_median_of_those_before_by_the_factor(sizes: list[int], odd: str) -> None:
    troubles = found(sizes={"shop": sizes})
    assert [each.title for each in troubles] == ([f"shop: backup much {odd} than usual"] if odd else [])
