"""Signing in with a second factor, on both kinds of own database."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError, InvalidCredentials, RateLimited, SecondFactorRequired, SessionExpired, WrongCode
from hhh.core.security import hash_token
from hhh.models import RecoveryCode, User
from hhh.services import login_limits, second_factor, sign_in, users
from hhh.services.account import Account
from hhh.services.auth import SignedIn
from hhh.services.known_places import Client
from support.second_factor import code_at, with_second_factor
from support.sign_in import EMAIL, PASSWORD, make_user

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
STEP = timedelta(seconds=30)


class Door:
    """Where somebody with a second factor signs in, at any moment."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.user = make_user(database)
        self.secret, self.codes = with_second_factor(database, settings, self.user, now=NOW)
        self.now = NOW

    def __call__(self, code: str | None = None, *, password: str = PASSWORD, address: str = "192.0.2.1") -> SignedIn:
        return sign_in.sign_in(
            self.database,
            self.settings,
            email=EMAIL,
            password=password,
            client=Client(address),
            code=code,
            now=self.now,
        )

    def code(self, *, steps: int = 0) -> str:
        """What the phone shows so many steps from now."""
        return code_at(self.secret, self.now + steps * STEP)

    def step(self) -> str:
        """What a page has for its second form."""
        with pytest.raises(SecondFactorRequired) as needed:
            self()
        return needed.value.step

    def finish(self, step: str, code: str) -> SignedIn:
        return sign_in.finish(
            self.database, self.settings, step=step, code=code, client=Client("192.0.2.1"), now=self.now
        )

    def account(self) -> Account:
        """Of who has just signed in with a recovery code, so that the phone's are all unused."""
        return Account(self.database, self.settings, self(self.codes.pop()).principal)


@pytest.fixture
def door(own_database: Database, settings: Settings) -> Door:
    return Door(own_database, settings)


def outcome(attempt: Callable[[], object]) -> type[HHHError] | None:
    try:
        attempt()
    except HHHError as error:
        return type(error)
    return None


def test_the_password_alone_is_not_enough_and_who_does_not_know_it_is_told_nothing(door: Door) -> None:
    assert outcome(door) is SecondFactorRequired
    assert outcome(lambda: door(password="not the password")) is InvalidCredentials
    assert outcome(lambda: door(door.code(), password="not the password")) is InvalidCredentials
    assert door(door.code()).principal.second_factor


def test_each_code_is_good_once_and_none_before_one_that_was_used(door: Door) -> None:
    now, following = door.code(), door.code(steps=1)

    assert outcome(lambda: door(following)) is None
    assert [outcome(lambda code=code: door(code)) for code in (following, now)] == [WrongCode, WrongCode]  # type: ignore[misc]

    door.now += 2 * STEP
    assert outcome(lambda: door(door.code())) is None


def test_a_clock_may_be_half_a_minute_off_and_no_more(door: Door) -> None:
    door.now += 10 * STEP
    assert [outcome(lambda s=s: door(door.code(steps=s))) for s in (-2, 2, -1, 1)] == [  # type: ignore[misc]
        WrongCode,
        WrongCode,
        None,
        None,
    ]


def test_a_recovery_code_is_good_once_however_it_is_typed_and_is_kept_as_a_hash_alone(door: Door) -> None:
    code = door.codes[0]

    assert outcome(lambda: door(f" {code.replace('-', '').upper()} ")) is None
    assert outcome(lambda: door(code)) is WrongCode
    with door.database.snapshot() as session:
        kept = set(session.scalars(select(RecoveryCode.code_hash)))
        assert second_factor.codes_left(session, door.user.id) == 9
    assert len(door.codes) == len(set(door.codes)) == len(kept) == 10
    assert hash_token(code.replace("-", "")) in kept


@pytest.mark.parametrize("code", ["", "x", "12345", "1234567", "١٢٣٤٥٦", "0" * 500, "a\0b", "\udc80"])
def test_what_is_no_code_is_a_wrong_one(sqlite_database: Database, settings: Settings, code: str) -> None:
    door = Door(sqlite_database, settings)
    assert outcome(lambda: door(code)) is (WrongCode if code else SecondFactorRequired)


def test_of_many_who_show_the_same_code_at_once_one_gets_in(door: Door) -> None:
    code, together = door.code(), threading.Barrier(5)

    def show(_client: int) -> type[HHHError] | None:
        together.wait()
        return outcome(lambda: door(code))

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(show, range(5)))

    assert outcomes.count(None) == 1
    assert outcomes.count(WrongCode) == 4


def test_codes_can_not_be_guessed_by_who_knows_the_password(door: Door) -> None:
    tried = [outcome(lambda: door("000000", address=f"198.51.100.{at}")) for at in range(30)]  # noqa: B023
    door.now += timedelta(hours=12)
    later = [outcome(lambda: door(f" 000 00{at}", address=f"203.0.113.{at}")) for at in range(5)]  # noqa: B023

    assert tried.count(WrongCode) == 20
    assert {*tried[20:], *later} == {RateLimited}
    door.now += timedelta(hours=12)
    assert outcome(lambda: door(door.code())) is None


def test_who_mistypes_waits_a_quarter_of_an_hour_at_most_and_a_recovery_code_lets_in_for_the_rest_of_the_day(
    door: Door,
) -> None:
    for _ in range(2):
        tried = [outcome(lambda: door("000000")) for _ in range(11)]
        assert tried == [WrongCode] * 10 + [RateLimited]
        door.now += timedelta(minutes=15)

    assert {outcome(lambda: door(door.code())) for _ in range(11)} == {RateLimited}
    with pytest.raises(RateLimited, match="Too many wrong codes") as told:
        door(door.code())
    assert told.value.hint == f"try again in {24 * 3600 - 2 * 900} seconds, or use a recovery code"
    assert outcome(lambda: door(door.codes[0])) is None
    tried = [outcome(lambda: door("aaaa-bbbb-cccc-dddd")) for _ in range(11)]
    assert tried == [WrongCode] * 10 + [RateLimited]


def test_who_is_signed_in_guesses_no_code_either_and_has_the_recovery_codes(door: Door) -> None:
    account = door.account()
    for _ in range(20):
        assert outcome(lambda: account.renew_recovery_codes(PASSWORD, "000000", now=door.now)) is WrongCode

    assert outcome(lambda: account.renew_recovery_codes(PASSWORD, door.code(), now=door.now)) is RateLimited
    assert len(account.renew_recovery_codes(PASSWORD, door.codes[0], now=door.now)) == 10


def test_however_many_guess_codes_at_once_no_more_than_the_limit_are_looked_at(door: Door) -> None:
    together = threading.Barrier(16)

    def guess(_client: int) -> type[HHHError] | None:
        together.wait()
        return outcome(lambda: door("000000"))

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(guess, range(16)))

    assert set(outcomes) <= {WrongCode, RateLimited}
    assert outcomes.count(WrongCode) <= 10


# ----------------------------------------------------------------------------------------------------- in two steps


def test_a_page_asks_for_the_code_after_the_password(door: Door) -> None:
    step = door.step()

    assert outcome(lambda: door.finish(step, "000000")) is WrongCode
    assert door.finish(step, door.code()).principal.email == EMAIL
    assert PASSWORD not in step


def test_the_second_step_waits_five_minutes_and_is_good_for_one_password(door: Door) -> None:
    old, of_the_old_password = door.step(), door.step()
    door.now += timedelta(minutes=5)
    assert outcome(lambda: door.finish(old, door.code())) is SessionExpired

    with door.database.transaction() as session:
        users.set_password(session, email=EMAIL, password="another long password")
    door.now -= timedelta(minutes=4)
    for step in (of_the_old_password, "", "x.y.z", "\udc80"):
        assert outcome(lambda: door.finish(step, door.code())) is SessionExpired  # noqa: B023


def test_the_second_step_is_good_for_no_other_second_factor_and_for_nothing_without_one(door: Door) -> None:
    step = door.step()
    with door.database.transaction() as session:
        users.reset_second_factor(session, email=EMAIL)
    assert outcome(lambda: door.finish(step, "anything")) is SessionExpired

    door.now += timedelta(minutes=1)
    door.secret, _ = with_second_factor(door.database, door.settings, door.user, now=door.now)
    assert outcome(lambda: door.finish(step, door.code())) is SessionExpired
    assert outcome(lambda: door.finish(door.step(), door.code())) is None


def test_a_second_factor_that_is_taken_away_while_its_code_is_looked_at_lets_nobody_in(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, count = door.step(), login_limits.count_attempt

    def count_meanwhile(*arguments: Any, **named: Any) -> str:
        with door.database.transaction() as session:
            users.reset_second_factor(session, email=EMAIL)
        return count(*arguments, **named)

    monkeypatch.setattr(sign_in, "count_attempt", count_meanwhile)
    assert outcome(lambda: door.finish(step, "anything")) is WrongCode


# --------------------------------------------------------------------------------------------------- one's own account


def test_setting_it_up_ends_the_sessions_that_a_password_began(own_database: Database, settings: Settings) -> None:
    make_user(own_database)

    def begin() -> SignedIn:
        client = Client("192.0.2.1", "a browser")
        return sign_in.sign_in(own_database, settings, email=EMAIL, password=PASSWORD, client=client)

    mine, other = begin(), begin()
    account = Account(own_database, settings, mine.principal)

    assert outcome(lambda: account.begin_second_factor("not the password")) is InvalidCredentials
    secret = account.begin_second_factor(PASSWORD).secret
    assert outcome(begin) is None
    assert outcome(lambda: account.confirm_second_factor("000000")) is WrongCode
    codes = account.confirm_second_factor(code_at(secret, datetime.now(UTC)))

    assert len(codes) == 10
    assert [each.id for each in account.sessions()] == [mine.principal.credential_id]
    assert other.principal.credential_id not in {each.id for each in account.sessions()}
    assert outcome(begin) is SecondFactorRequired


def test_it_is_taken_away_with_the_password_and_a_code(door: Door) -> None:
    account = door.account()

    assert outcome(lambda: account.remove_second_factor("not the password", door.code(), now=door.now)) is (
        InvalidCredentials
    )
    assert outcome(lambda: account.remove_second_factor(PASSWORD, "000000", now=door.now)) is WrongCode
    account.remove_second_factor(PASSWORD, door.code(), now=door.now)

    assert outcome(door) is None
    with door.database.snapshot() as session:
        assert session.scalars(select(RecoveryCode)).all() == []


def test_other_recovery_codes_replace_those_before(door: Door) -> None:
    old = door.codes[0]

    new = door.account().renew_recovery_codes(PASSWORD, door.code(), now=door.now)

    assert outcome(lambda: door(old)) is WrongCode
    assert outcome(lambda: door(new[0])) is None


def test_who_lost_the_phone_is_let_in_again_from_the_server_and_signed_out(door: Door) -> None:
    account = door.account()
    with door.database.transaction() as session:
        assert users.reset_second_factor(session, email=EMAIL)
        assert not users.reset_second_factor(session, email=EMAIL)

    assert account.sessions(now=door.now) == []
    assert outcome(door) is None


def test_the_secret_is_sealed_and_bound_to_its_user(door: Door) -> None:
    make_user(door.database, email="ann@example.com")
    with door.database.transaction() as session:
        mine = session.get_one(User, door.user.id)
        other = session.scalars(select(User).where(User.email == "ann@example.com")).one()
        assert mine.sealed_totp is not None
        assert door.secret not in mine.sealed_totp
        other.sealed_totp, other.totp_since = mine.sealed_totp, NOW
        with pytest.raises(HHHError, match="can't be opened"):
            second_factor.accept(session, door.settings, other, door.code(), now=NOW)
