"""Signing in, carrying a session on and ending it, on both kinds of own database."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import func, select

from hhh.core import security
from hhh.core.config import Settings
from hhh.core.database import Base, Database
from hhh.core.errors import CsrfInvalid, HHHError, InvalidCredentials, RateLimited, SessionExpired
from hhh.models import LoginFailure, RefreshToken, Role, User, UserSession
from hhh.services import auth, users
from hhh.services import sign_in as signing_in
from hhh.services.auth import CarriedOn, Principal, SignedIn
from hhh.services.known_places import Client
from hhh.services.tokens import AccessTokens
from support.sign_in import EMAIL, PASSWORD, make_user

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class SignIn:
    """The services of sign-in, with a clock that the test sets."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.now = NOW

    def __call__(self, email: str = EMAIL, password: str = PASSWORD, address: str = "192.0.2.1") -> SignedIn:
        client = Client(address)
        return signing_in.sign_in(
            self.database, self.settings, email=email, password=password, client=client, now=self.now
        )

    def refresh(self, token: str | None, *, expected_session: str | None = None) -> SignedIn:
        """As the request's transaction does it: committed although the session has expired."""
        expired: SessionExpired | None = None
        with self.database.transaction() as session:
            try:
                return auth.refresh(session, self.settings, token, expected_session=expected_session, now=self.now)
            except SessionExpired as error:
                expired = error
        raise expired

    def carry_on(self, signed_in: SignedIn, *, token: str | None) -> CarriedOn:
        """As a page does it whose access token has run out."""
        access = AccessTokens(self.settings.secret).read(signed_in.access_token, now=self.now)
        assert access is not None
        with self.database.snapshot() as session:
            return auth.carry_on(session, self.settings, access, token, now=self.now)

    def principal(self, signed_in: SignedIn | CarriedOn) -> Principal:
        """Who the access token stands for, now."""
        access = AccessTokens(self.settings.secret).read(signed_in.access_token, now=self.now)
        assert access is not None
        with self.database.snapshot() as session:
            return auth.principal(session, access, now=self.now)

    def is_live(self, signed_in: SignedIn | CarriedOn) -> bool:
        """Whether the access token is still good."""
        try:
            self.principal(signed_in)
        except SessionExpired:
            return False
        return True

    def count(self, table: type[Base]) -> int:
        """How many rows a table has."""
        with self.database.snapshot() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def sign_in(own_database: Database, settings: Settings) -> SignIn:
    make_user(own_database)
    return SignIn(own_database, settings)


def outcome(attempt: Callable[[], object]) -> type[HHHError] | None:
    try:
        attempt()
    except HHHError as error:
        return type(error)
    return None


def test_the_right_password_starts_a_session(sign_in: SignIn) -> None:
    signed_in = sign_in(" ROOT@example.com")

    assert (signed_in.principal.email, signed_in.principal.role) == (EMAIL, Role.SUPER_ADMIN)
    assert signed_in.seconds_left == 14 * 24 * 3600
    assert sign_in.principal(signed_in) == signed_in.principal


def test_tokens_are_in_no_repr_and_not_in_the_database(sign_in: SignIn) -> None:
    signed_in = sign_in()

    assert signed_in.refresh_token not in repr(signed_in)
    assert signed_in.access_token not in repr(signed_in)
    with sign_in.database.snapshot() as session:
        assert session.scalars(select(RefreshToken.token_hash)).all() == [security.hash_token(signed_in.refresh_token)]


def test_an_unknown_user_and_a_wrong_password_are_told_the_same(sign_in: SignIn) -> None:
    with pytest.raises(InvalidCredentials) as wrong:
        sign_in(password="not the password")
    with pytest.raises(InvalidCredentials) as unknown:
        sign_in("nobody@example.com")

    assert str(wrong.value) == str(unknown.value)


def test_an_unknown_user_costs_the_same_verification(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    verify = security._HASHER.verify_and_update

    def watched(password: bytes, hashed: str) -> tuple[bool, str | None]:
        verified.append(hashed.rsplit("$", 2)[0])
        return verify(password, hashed)

    monkeypatch.setattr(security._HASHER, "verify_and_update", watched)
    for email in (EMAIL, "nobody@example.com", "not an e-mail\0"):
        with pytest.raises(InvalidCredentials):
            sign_in(email, "not the password")

    assert len(verified) == 3
    assert len(set(verified)) == 1


def test_an_outdated_hash_is_replaced_at_sign_in(sign_in: SignIn) -> None:
    outdated = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1),))
    with sign_in.database.transaction() as session:
        session.scalars(select(User)).one().password_hash = outdated.hash(PASSWORD)

    sign_in()

    with sign_in.database.snapshot() as session:
        kept = session.scalars(select(User.password_hash)).one()
    assert _parameters(kept) == _parameters(security.hash_password(PASSWORD)) != "m=1024,t=1,p=1"
    sign_in()


def _parameters(hashed: str) -> str:
    return hashed.split("$")[3]


def test_a_refresh_token_gives_the_next_one(sign_in: SignIn) -> None:
    first = sign_in()
    sign_in.now += 10 * MINUTE

    second = sign_in.refresh(first.refresh_token)

    assert second.principal == first.principal
    assert second.refresh_token != first.refresh_token
    assert second.seconds_left == first.seconds_left - 600
    assert sign_in.is_live(sign_in.refresh(second.refresh_token))


def test_a_refresh_token_used_again_ends_the_whole_family(sign_in: SignIn) -> None:
    other_session = sign_in()
    stolen = sign_in()
    current = sign_in.refresh(sign_in.refresh(stolen.refresh_token).refresh_token)

    with pytest.raises(SessionExpired):
        sign_in.refresh(stolen.refresh_token)

    assert not sign_in.is_live(current)
    with pytest.raises(SessionExpired):
        sign_in.refresh(current.refresh_token)
    assert sign_in.is_live(other_session)


def test_of_many_uses_of_one_token_at_the_same_time_at_most_one_succeeds_and_the_family_ends(sign_in: SignIn) -> None:
    signed_in = sign_in()
    together = threading.Barrier(6)

    def use(_client: int) -> type[HHHError] | None:
        together.wait()
        return outcome(lambda: sign_in.refresh(signed_in.refresh_token))

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(use, range(6)))

    assert outcomes.count(None) == 1
    assert outcomes.count(SessionExpired) == 5
    assert not sign_in.is_live(signed_in)


@pytest.mark.parametrize("token", [None, "", "made up", "ü\udc80"])
def test_what_is_no_refresh_token_is_an_ended_session(sign_in: SignIn, token: str | None) -> None:
    with pytest.raises(SessionExpired):
        sign_in.refresh(token)


def test_a_session_ends_after_fourteen_days_however_often_it_was_refreshed(sign_in: SignIn) -> None:
    signed_in = sign_in()
    sign_in.now += timedelta(days=13, hours=23, minutes=59)
    signed_in = sign_in.refresh(signed_in.refresh_token)
    assert signed_in.seconds_left == 60

    sign_in.now += MINUTE

    assert not sign_in.is_live(signed_in)
    with pytest.raises(SessionExpired):
        sign_in.refresh(signed_in.refresh_token)


def test_a_refresh_token_of_another_session_than_the_access_tokens_is_refused(sign_in: SignIn) -> None:
    mine, other = sign_in(), sign_in()

    with pytest.raises(CsrfInvalid):
        sign_in.refresh(mine.refresh_token, expected_session=other.principal.credential_id)

    refreshed = sign_in.refresh(mine.refresh_token, expected_session=mine.principal.credential_id)
    assert sign_in.is_live(refreshed)


def test_an_access_token_dies_after_fifteen_minutes(sign_in: SignIn) -> None:
    signed_in = sign_in()
    sign_in.now += 15 * MINUTE

    with pytest.raises(SessionExpired, match="access token has expired"):
        sign_in.principal(signed_in)


def test_a_session_is_carried_on_as_often_as_pages_ask_and_its_refresh_token_stays_good(sign_in: SignIn) -> None:
    signed_in = sign_in()
    sign_in.now += 20 * MINUTE

    first, second = (sign_in.carry_on(signed_in, token=signed_in.refresh_token) for _ in range(2))

    assert sign_in.is_live(first)
    assert sign_in.is_live(second)
    assert first.principal == signed_in.principal
    assert first.seconds_left == signed_in.seconds_left - 20 * 60
    assert first.access_token not in repr(first)
    assert sign_in.is_live(sign_in.refresh(signed_in.refresh_token))


def test_no_session_is_carried_on_by_a_token_that_was_used_or_is_of_another_one(sign_in: SignIn) -> None:
    signed_in, other = sign_in(), sign_in()
    sign_in.refresh(signed_in.refresh_token)

    for token in (signed_in.refresh_token, other.refresh_token, "x", "a\0b", "\udc80", "", None):
        with pytest.raises(SessionExpired):
            sign_in.carry_on(signed_in, token=token)
    # Another one's token, also a used one, ends nothing: whoever shows it proves nothing by it.
    assert sign_in.is_live(signed_in)


def test_no_session_is_carried_on_once_it_is_over(sign_in: SignIn) -> None:
    signed_out, expired = sign_in(), sign_in()
    with sign_in.database.transaction() as session:
        auth.sign_out(session, session_id=signed_out.principal.credential_id, refresh_token=None)

    with pytest.raises(SessionExpired):
        sign_in.carry_on(signed_out, token=signed_out.refresh_token)
    sign_in.now += auth.SESSION_LIFETIME
    with pytest.raises(SessionExpired):
        sign_in.carry_on(expired, token=expired.refresh_token)


def test_signing_out_ends_the_session_at_once_and_no_other(sign_in: SignIn) -> None:
    by_id, by_token, other = sign_in(), sign_in(), sign_in()

    with sign_in.database.transaction() as session:
        auth.sign_out(session, session_id=by_id.principal.credential_id, refresh_token=None)
        auth.sign_out(session, session_id=None, refresh_token=by_token.refresh_token)
        auth.sign_out(session, session_id=None, refresh_token=None)

    assert [sign_in.is_live(each) for each in (by_id, by_token, other)] == [False, False, True]
    assert sign_in.count(RefreshToken) == 1


def test_a_new_password_ends_all_sessions_of_the_user_and_no_others(sign_in: SignIn) -> None:
    make_user(sign_in.database, email="other@example.com")
    sessions = [sign_in(), sign_in(), sign_in("other@example.com")]

    with sign_in.database.transaction() as session:
        users.set_password(session, email=EMAIL, password="another long password")

    assert [sign_in.is_live(each) for each in sessions] == [False, False, True]
    assert outcome(sign_in) is InvalidCredentials
    assert sign_in.is_live(sign_in(password="another long password"))


def test_a_password_that_is_changed_while_the_old_one_is_verified_starts_no_session(
    sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = security.verify_password

    def verify_slowly(password: str, hashed: str | None) -> tuple[bool, str | None]:
        verified = verify(password, hashed)
        with sign_in.database.transaction() as session:
            users.set_password(session, email=EMAIL, password="another long password")
        return verified

    monkeypatch.setattr(signing_in, "verify_password", verify_slowly)

    assert outcome(sign_in) is InvalidCredentials
    assert sign_in.count(UserSession) == 0


def test_a_new_role_counts_at_once(sign_in: SignIn) -> None:
    make_user(sign_in.database, email="member@example.com", role=Role.MEMBER)
    signed_in = sign_in("member@example.com")

    with sign_in.database.transaction() as session:
        users.set_role(session, email="member@example.com", role=Role.ADMIN)

    assert sign_in.principal(signed_in).role == Role.ADMIN


def test_after_ten_failures_an_account_has_to_wait_there_also_with_the_right_password(sign_in: SignIn) -> None:
    for _ in range(10):
        assert outcome(lambda: sign_in(password="wrong")) is InvalidCredentials
        sign_in.now += MINUTE

    with pytest.raises(RateLimited) as refused:
        sign_in()

    assert refused.value.retry_after == 5 * 60
    assert outcome(lambda: sign_in(address="198.51.100.1")) is None
    sign_in.now += timedelta(seconds=refused.value.retry_after)
    assert outcome(sign_in) is None


def test_an_unknown_account_has_to_wait_as_a_known_one_does(sign_in: SignIn) -> None:
    for _ in range(10):
        assert outcome(lambda: sign_in("Nobody@example.com")) is InvalidCredentials

    assert outcome(lambda: sign_in("nobody@EXAMPLE.com")) is RateLimited
    assert outcome(sign_in) is None


def test_an_address_has_to_wait_after_fifty_failures_of_whatever_accounts(sign_in: SignIn) -> None:
    for number in range(50):
        assert outcome(lambda: sign_in(f"user{number}@example.com")) is InvalidCredentials  # noqa: B023  called at once

    assert outcome(sign_in) is RateLimited
    assert outcome(lambda: sign_in(address="198.51.100.1")) is None


def test_refused_attempts_and_successes_are_not_counted(sign_in: SignIn) -> None:
    for _ in range(12):
        assert outcome(sign_in) is None
    for _ in range(10):
        outcome(lambda: sign_in(password="wrong"))
    for _ in range(5):
        assert outcome(sign_in) is RateLimited

    assert sign_in.count(LoginFailure) == 10


def test_however_many_try_at_once_no_more_than_the_limit_get_a_password_looked_at(sign_in: SignIn) -> None:
    together = threading.Barrier(24)

    def guess(_client: int) -> type[HHHError] | None:
        together.wait()
        return outcome(lambda: sign_in(password="wrong"))

    with ThreadPoolExecutor(24) as pool:
        outcomes = list(pool.map(guess, range(24)))

    assert set(outcomes) <= {InvalidCredentials, RateLimited}
    assert outcomes.count(InvalidCredentials) <= 10


def test_what_is_over_leaves_no_rows(sign_in: SignIn) -> None:
    sign_in()
    outcome(lambda: sign_in(password="wrong"))
    sign_in.now += 15 * MINUTE
    outcome(lambda: sign_in("nobody@example.com"))
    assert sign_in.count(LoginFailure) == 1
    sign_in.now += timedelta(days=15)

    sign_in()

    assert (sign_in.count(LoginFailure), sign_in.count(UserSession), sign_in.count(RefreshToken)) == (0, 1, 1)
