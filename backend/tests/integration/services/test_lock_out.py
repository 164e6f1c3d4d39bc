"""Whoever fails to sign in as somebody else keeps them out of nothing that is known to be theirs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError, InvalidCredentials, RateLimited
from hhh.models import KnownPlace, LoginFailure, User
from hhh.repositories import login_failures
from hhh.services import known_places, login_limits, sign_in, users
from hhh.services.known_places import Client, device_token
from hhh.services.login_limits import Source
from support.sign_in import EMAIL, PASSWORD, make_user

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
HOME, ELSEWHERE = "192.0.2.1", "203.0.113.9"
DAY = timedelta(days=1)


class Account:
    """An account, its owner and those who attack it."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.user = make_user(database)
        self.now = NOW
        self.sign_in(HOME)

    def sign_in(self, address: str, *, device: str = "", password: str = PASSWORD) -> None:
        client = Client(address, device=device)
        sign_in.sign_in(self.database, self.settings, email=EMAIL, password=password, client=client, now=self.now)

    def attack(self, addresses: list[str], *, times: int = 1) -> int:
        """Guesses from there; how many guesses were looked at. The password itself is left out: it takes long."""
        looked_at = 0
        for address in addresses:
            with self.database.snapshot() as session:
                user = session.get_one(User, self.user.id)
                source = known_places.source_of(session, self.settings, user, Client(address), self.now)
            for _ in range(times):
                looked_at += self._guess(source)
        return looked_at

    def _guess(self, source: Source) -> bool:
        try:
            login_limits.count_attempt(self.database, self.settings, email=EMAIL, source=source, now=self.now)
        except RateLimited:
            return False
        return True

    def is_let_in(self, address: str, *, device: str = "") -> bool:
        """Whether the owner is, with the right password."""
        return outcome(lambda: self.sign_in(address, device=device)) is None


@pytest.fixture
def account(sqlite_database: Database, settings: Settings) -> Account:
    return Account(sqlite_database, settings)


def outcome(attempt: Callable[[], object]) -> type[HHHError] | None:
    try:
        attempt()
    except HHHError as error:
        return type(error)
    return None


MANY = [f"10.{high}.{low}.1" for high in range(2) for low in range(150)]


def test_a_thousand_failures_from_one_address_keep_the_owner_out_of_nothing(account: Account) -> None:
    assert account.attack([ELSEWHERE], times=1000) == login_limits.PASSWORDS.per_source

    assert account.is_let_in(HOME)
    assert account.is_let_in("198.51.100.77")
    assert not account.is_let_in(ELSEWHERE)


def test_hundreds_of_addresses_keep_the_owner_out_of_no_place_that_is_known(account: Account) -> None:
    device = device_token(account.settings, account.user, now=NOW)

    assert account.attack(MANY) == login_limits.PASSWORDS.per_account
    assert account.is_let_in(HOME)
    assert account.is_let_in("198.51.100.77", device=device)
    assert not account.is_let_in("198.51.100.78")


def test_who_shares_the_owners_address_keeps_them_out_of_no_browser_that_is_known(account: Account) -> None:
    device = device_token(account.settings, account.user, now=NOW)

    assert account.attack([HOME], times=100) == login_limits.PASSWORDS.per_source
    assert not account.is_let_in(HOME)
    assert account.is_let_in(HOME, device=device)


def test_it_is_so_on_both_databases(own_database: Database, settings: Settings) -> None:
    account = Account(own_database, settings)

    assert account.attack([ELSEWHERE], times=12) == login_limits.PASSWORDS.per_source
    assert account.attack(MANY[:30]) == login_limits.PASSWORDS.per_account - login_limits.PASSWORDS.per_source
    assert account.is_let_in(HOME)
    assert not account.is_let_in("198.51.100.78")


def test_guesses_from_everywhere_stay_bounded(account: Account) -> None:
    guesses = 0
    for _ in range(2):
        guesses += account.attack([HOME, *MANY[:30]], times=12)
        account.now += login_limits.PASSWORDS.window

    limits = login_limits.PASSWORDS
    assert guesses == 2 * (limits.per_account + limits.per_source)


def test_failures_of_other_accounts_at_a_known_address_do_not_count_there(account: Account) -> None:
    for number in range(60):
        source = Source(HOME, is_known=False)
        outcome(
            lambda: login_limits.count_attempt(
                account.database,
                account.settings,
                email=f"user{number}@example.com",  # noqa: B023  called at once
                source=source,  # noqa: B023
                now=NOW,
            )
        )
    assert account.is_let_in(HOME)


def test_an_address_is_known_for_a_month_and_a_browser_for_three(account: Account) -> None:
    device = device_token(account.settings, account.user, now=NOW)

    def known(device: str = "") -> bool:
        with account.database.snapshot() as session:
            user = session.get_one(User, account.user.id)
            client = Client(HOME, device=device)
            return known_places.source_of(session, account.settings, user, client, account.now).is_known

    account.now += 29 * DAY
    assert (known(), known(device)) == (True, True)
    account.now += 2 * DAY
    assert (known(), known(device)) == (False, True)
    account.now += 60 * DAY
    assert not known(device)
    account.sign_in("198.51.100.1")
    with account.database.snapshot() as session:
        assert session.scalars(select(KnownPlace.address)).all() == ["198.51.100.1"]


def test_no_browser_is_known_by_a_cookie_of_somebody_else_or_by_none_of_ours(account: Account) -> None:
    other = make_user(account.database, email="ann@example.com")
    mine = device_token(account.settings, account.user, now=NOW)
    stamp, nonce, code = mine.split(".")
    tokens = [
        device_token(account.settings, other, now=NOW),
        f"{int(stamp) + 1}.{nonce}.{code}",
        f"{stamp}.{nonce}x.{code}",
        "..",
        "a.b.c",
        "",
        "ü.\udc80.x",
    ]
    with account.database.snapshot() as session:
        user = session.get_one(User, account.user.id)
        sources = [
            known_places.source_of(session, account.settings, user, Client(ELSEWHERE, device=each), NOW)
            for each in tokens
        ]
    assert {each.name for each in sources} == {ELSEWHERE}


def test_no_browser_is_known_by_a_cookie_of_a_password_before_the_present_one(account: Account) -> None:
    device = device_token(account.settings, account.user, now=NOW)
    with account.database.transaction() as session:
        changed = users.set_password(session, email=EMAIL, password="another long password")
    new = device_token(account.settings, changed, now=NOW)

    with account.database.snapshot() as session:
        user = session.get_one(User, account.user.id)
        sources = [
            known_places.source_of(session, account.settings, user, Client(ELSEWHERE, device=each), NOW)
            for each in (device, new)
        ]
    assert [each.is_known for each in sources] == [False, True]


def test_of_the_addresses_that_somebody_has_signed_in_from_the_newest_are_known(
    own_database: Database, settings: Settings
) -> None:
    user = make_user(own_database)
    for at in range(25):
        with own_database.transaction() as session:
            known_places.remember(session, user, Client(f"192.0.2.{at}"), NOW + at * timedelta(minutes=1))

    with own_database.snapshot() as session:
        assert set(session.scalars(select(KnownPlace.address))) == {f"192.0.2.{at}" for at in range(5, 25)}


@pytest.mark.parametrize("address", ["known 192.0.2.1", "device abc", "session abc"])
def test_no_address_that_a_proxy_tells_looks_like_a_known_place(account: Account, address: str) -> None:
    with account.database.snapshot() as session:
        user = session.get_one(User, account.user.id)
        source = known_places.source_of(session, account.settings, user, Client(address), NOW)
    known = (login_failures.KNOWN, login_failures.DEVICE, login_failures.SESSION)

    assert not source.is_known
    assert not source.name.startswith(known)


def test_a_wrong_password_is_counted_where_it_was_typed(account: Account) -> None:
    assert outcome(lambda: account.sign_in(HOME, password="wrong")) is InvalidCredentials
    assert outcome(lambda: account.sign_in(ELSEWHERE, password="wrong")) is InvalidCredentials

    with account.database.snapshot() as session:
        assert set(session.scalars(select(LoginFailure.address))) == {f"known {HOME}", ELSEWHERE}
        assert session.scalar(select(func.count()).select_from(LoginFailure)) == 2
