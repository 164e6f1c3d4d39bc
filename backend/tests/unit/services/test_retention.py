"""What is kept and why, without a database: tables of examples, and what holds for any history."""

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from hhh.repositories.retention import Candidate
from hhh.schemas.retention import Retention
from hhh.services.retention import Verdict, decide

NOW = datetime(2025, 7, 2, 12, 30, tzinfo=UTC)  # a Wednesday
_numbers = itertools.count()


def backup(
    created_at: datetime,
    *,
    size: int = 1,
    pinned: bool = False,
    proven: bool = False,
    stored: bool = True,
    refuted: bool = False,
    being_restored: bool = False,
    being_verified: bool = False,
) -> Candidate:
    number = next(_numbers)
    return Candidate(
        f"{number:08}",
        f"backup_{number}.sql",
        created_at,
        size,
        pinned,
        proven,
        stored,
        refuted,
        being_restored=being_restored,
        being_verified=being_verified,
    )


def ago(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


def every(step: timedelta, count: int) -> list[Candidate]:
    """So many backups, the newest of now, oldest first."""
    return [backup(NOW - step * number) for number in reversed(range(count))]


def kept(verdicts: Sequence[Verdict]) -> list[datetime]:
    return [verdict.backup.created_at for verdict in verdicts if verdict.keep]


def reasons(verdicts: Sequence[Verdict]) -> list[str]:
    """Of each backup, newest first."""
    return [("+ " if verdict.keep else "- ") + ", ".join(verdict.reasons) for verdict in verdicts]


# -------------------------------------------------------------------------------------------------------- examples


def test_without_rules_everything_is_kept() -> None:
    assert reasons(decide(every(timedelta(days=400), 3), Retention(), NOW)) == [
        "+ newest good, no rule drops it",
        "+ no rule drops it",
        "+ no rule drops it",
    ]


def test_nothing_is_decided_on_nothing() -> None:
    assert decide([], Retention(keep_last=1), NOW) == []


def test_the_last_ones_are_kept() -> None:
    assert reasons(decide(every(timedelta(minutes=1), 4), Retention(keep_last=2), NOW)) == [
        "+ newest good, last 1 of 2",
        "+ last 2 of 2",
        "- no rule keeps it",
        "- no rule keeps it",
    ]


def test_a_backup_names_every_rule_that_keeps_it() -> None:
    policy = Retention(keep_last=1, hourly=1, daily=1, weekly=1, monthly=1, yearly=1)
    (verdict,) = decide([backup(NOW)], policy, NOW)
    assert verdict.reasons == (
        "newest good",
        "last 1 of 1",
        "hourly 1 of 1",
        "daily 1 of 1",
        "weekly 1 of 1",
        "monthly 1 of 1",
        "yearly 1 of 1",
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Retention(hourly=2), ["2025-07-02 12:30", "2025-07-02 11:50"]),
        (Retention(daily=3), ["2025-07-02 12:30", "2025-07-01 23:59", "2025-06-29 12:00"]),
        (Retention(weekly=2), ["2025-07-02 12:30", "2025-06-29 12:00"]),  # Monday begins an ISO week
        (Retention(monthly=3), ["2025-07-02 12:30", "2025-06-29 12:00", "2024-12-31 23:00"]),
        (Retention(yearly=5), ["2025-07-02 12:30", "2024-12-31 23:00", "2020-02-29 00:00"]),
        (Retention(keep_last=1, yearly=2), ["2025-07-02 12:30", "2024-12-31 23:00"]),
    ],
    ids=str,
)
def test_each_period_keeps_its_newest_and_empty_periods_count_for_nothing(
    policy: Retention, expected: list[str]
) -> None:
    moments = [
        "2025-07-02 12:30",
        "2025-07-02 11:50",
        "2025-07-02 11:10",
        "2025-07-01 23:59",
        "2025-06-29 12:00",
        "2025-06-29 11:00",
        "2024-12-31 23:00",
        "2020-02-29 00:00",
    ]
    history = [backup(datetime.fromisoformat(f"{moment}+00:00")) for moment in moments]
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in kept(decide(history, policy, NOW))] == expected


def test_the_first_days_of_january_may_be_of_the_last_iso_week_of_the_year_before() -> None:
    history = [backup(datetime(2025, 1, 1, tzinfo=UTC)), backup(datetime(2024, 12, 30, tzinfo=UTC))]
    assert len(kept(decide(history, Retention(weekly=2), NOW))) == 1


def test_what_is_too_old_is_dropped_whichever_rule_would_keep_it() -> None:
    history = [backup(NOW), backup(ago(days=30)), backup(ago(days=30, seconds=1))]
    assert reasons(decide(history, Retention(yearly=9, daily=9, maximum_age_days=30), NOW)) == [
        "+ newest good, daily 1 of 9, yearly 1 of 9",
        "+ daily 2 of 9",
        "- older than 30 days",
    ]


@pytest.mark.parametrize(("days", "said"), [(1, "1 day"), (0.5, "0.5 days"), (365, "365 days")])
def test_an_age_alone_keeps_what_is_younger(days: float, said: str) -> None:
    history = [backup(NOW), backup(ago(days=days / 2)), backup(ago(days=days * 2))]
    assert reasons(decide(history, Retention(maximum_age_days=days), NOW)) == [
        "+ newest good, no rule drops it",
        "+ no rule drops it",
        f"- older than {said}",
    ]


def test_the_oldest_go_until_the_rest_fits() -> None:
    history = [backup(ago(days=number), size=4_000_000_000) for number in range(4)]
    assert reasons(decide(history, Retention(maximum_total_bytes=10_000_000_000), NOW)) == [
        "+ newest good, no rule drops it",
        "+ no rule drops it",
        "- over 10.0 GB in all",
        "- over 10.0 GB in all",
    ]


def test_what_is_exactly_as_large_as_allowed_fits() -> None:
    history = [backup(ago(days=number), size=5) for number in range(3)]
    assert len(kept(decide(history, Retention(maximum_total_bytes=10), NOW))) == 2


def test_a_pinned_backup_takes_its_space_and_others_go_for_it() -> None:
    history = [backup(NOW, size=4), backup(ago(days=1), size=4), backup(ago(days=2), size=4, pinned=True)]
    assert reasons(decide(history, Retention(maximum_total_bytes=8), NOW)) == [
        "+ newest good, no rule drops it",
        "- over 8 bytes in all",
        "+ pinned",
    ]


def test_what_another_rule_drops_takes_no_space() -> None:
    history = [backup(NOW, size=4), backup(ago(days=1), size=4), backup(ago(days=2), size=400)]
    assert len(kept(decide(history, Retention(keep_last=2, maximum_total_bytes=8), NOW))) == 2


def test_the_floor_holds_against_every_limit() -> None:
    history = [
        backup(ago(days=100), size=9),
        backup(ago(days=101), size=9),
        backup(ago(days=102), size=9),
        backup(ago(days=103), size=9, proven=True),
        backup(ago(days=104), size=9, proven=True),
        backup(ago(days=105), size=9, pinned=True),
        backup(ago(days=106), size=9, being_restored=True),
        backup(ago(days=107), size=9, being_verified=True),
    ]
    policy = Retention(keep_last=1, maximum_age_days=1, maximum_total_bytes=1, minimum_kept=2)
    assert reasons(decide(history, policy, NOW)) == [
        "+ newest good, minimum 1 of 2",
        "+ minimum 2 of 2",
        "- older than 1 day",
        "+ newest proven",
        "- older than 1 day",
        "+ pinned",
        "+ being restored",
        "+ being verified",
    ]


def test_a_lost_backup_keeps_no_period_and_is_no_newest_good_one() -> None:
    history = [backup(NOW, stored=False, proven=True), backup(ago(hours=1)), backup(ago(hours=2))]
    assert reasons(decide(history, Retention(keep_last=1, daily=1), NOW)) == [
        "+ lost: no store has a copy",
        "+ newest good, last 1 of 1, daily 1 of 1",
        "- no rule keeps it",
    ]


def test_a_lost_backup_is_kept_as_a_record_until_it_is_too_old() -> None:
    history = [backup(NOW), backup(ago(days=1), stored=False), backup(ago(days=9), stored=False)]
    assert reasons(decide(history, Retention(keep_last=1, maximum_age_days=7), NOW))[1:] == [
        "+ lost: no store has a copy",
        "- older than 7 days",
    ]


def test_a_backup_that_failed_its_verification_is_kept_beside_those_that_count_until_it_is_too_old() -> None:
    history = [
        backup(NOW, refuted=True, proven=True),
        backup(ago(hours=1)),
        backup(ago(days=1), refuted=True),
        backup(ago(days=2)),
        backup(ago(days=9), refuted=True),
    ]
    rules = Retention(keep_last=1, daily=1, minimum_kept=2, maximum_age_days=7)
    assert reasons(decide(history, rules, NOW)) == [
        "+ failed its verification",
        "+ newest good, minimum 1 of 2, last 1 of 1, daily 1 of 1",
        "+ failed its verification",
        "+ minimum 2 of 2",
        "- older than 7 days",
    ]


def test_a_backup_of_a_clock_that_was_ahead_is_kept_and_takes_the_place_of_none() -> None:
    ahead = NOW + timedelta(hours=1)
    history = [backup(ahead), backup(NOW), backup(ago(hours=1))]
    verdicts = decide(history, Retention(keep_last=1, maximum_age_days=0.01), NOW)
    assert kept(verdicts) == [ahead, NOW]
    assert reasons(verdicts)[0] == "+ begun in the future, by its clock"


def test_of_one_moment_the_id_tells_which_is_newer_as_in_the_listings() -> None:
    older, newer = backup(NOW), backup(NOW)
    for history in ([older, newer], [newer, older]):
        assert [verdict.backup for verdict in decide(history, Retention(keep_last=1), NOW)] == [newer, older]


# ------------------------------------------------------------------------------------- what holds for any history


def any_history(chance: random.Random) -> list[Candidate]:
    """Up to 60 backups over hours or years, with every mark there is, in no order."""
    span = chance.choice([3600, 86_400, 86_400 * 40, 86_400 * 900])
    return [
        backup(
            NOW - timedelta(seconds=chance.randrange(-60, span)),
            size=chance.choice([0, 1, 10, 10**9]),
            pinned=chance.random() < 0.05,
            proven=chance.random() < 0.2,
            stored=chance.random() < 0.8,
            refuted=chance.random() < 0.1,
            being_restored=chance.random() < 0.02,
            being_verified=chance.random() < 0.02,
        )
        for _ in range(chance.randrange(60))
    ]


def any_policy(chance: random.Random) -> Retention:
    def some(values: Sequence[float]) -> float | None:
        return chance.choice(values) if chance.random() < 0.3 else None

    rules = {name: some([1, 2, 7]) for name in ("keep_last", "hourly", "daily", "weekly", "monthly", "yearly")}
    limits = {"maximum_age_days": some([0.001, 1, 30]), "maximum_total_bytes": some([1, 25, 10**9])}
    return Retention.model_validate(rules | limits | {"minimum_kept": chance.choice([1, 1, 2, 5, 100])})


@pytest.mark.parametrize("seed", range(20))
def test_the_floor_holds_for_any_history_and_any_rules(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        history, policy = any_history(chance), any_policy(chance)
        verdicts = decide(history, policy, NOW)
        good = [verdict for verdict in verdicts if verdict.backup.good]
        assert sorted(verdict.backup.id for verdict in verdicts) == sorted(each.id for each in history)
        assert all(verdict.reasons for verdict in verdicts)
        assert all(verdict.keep for verdict in good[: policy.minimum_kept])
        assert all(verdict.keep for verdict in verdicts if verdict.backup.pinned or verdict.backup.being_restored)
        assert all(verdict.keep for verdict in verdicts if verdict.backup.being_verified)
        assert all(verdict.keep for verdict in [each for each in good if each.backup.proven][:1])


@pytest.mark.parametrize("seed", range(20))
def test_a_second_decision_drops_nothing_that_the_first_has_kept(seed: int) -> None:
    chance = random.Random(1000 + seed)
    for _ in range(50):
        history, policy = any_history(chance), any_policy(chance)
        first = [verdict.backup for verdict in decide(history, policy, NOW) if verdict.keep]
        assert [verdict.backup for verdict in decide(first, policy, NOW) if verdict.keep] == first


@pytest.mark.parametrize("seed", range(10))
def test_the_order_in_which_backups_come_changes_nothing(seed: int) -> None:
    chance = random.Random(2000 + seed)
    history, policy = any_history(chance), any_policy(chance)
    expected = decide(history, policy, NOW)
    chance.shuffle(history)
    assert decide(history, policy, NOW) == expected


@pytest.mark.parametrize("seed", range(10))
def test_what_fits_into_the_limits_is_dropped_by_no_limit(seed: int) -> None:
    chance = random.Random(3000 + seed)
    history = any_history(chance)
    limits = Retention(maximum_age_days=36_500, maximum_total_bytes=10**12)
    assert all(verdict.keep for verdict in decide(history, limits, NOW))
