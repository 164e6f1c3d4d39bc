"""One's own account, when its session ends while something that was asked for waits its turn."""

from collections.abc import Callable

import pytest

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidCredentials, SessionExpired
from hhh.services import account, users
from hhh.services.account import Account
from hhh.services.auth import Principal
from hhh.services.known_places import Client
from hhh.services.sign_in import confirm_password, confirm_unless_recent, sign_in
from support.sign_in import EMAIL, PASSWORD, make_user

#: What a super admin gives to somebody whose password was stolen.
GIVEN = "a password of the super admin"


@pytest.fixture
def me(own_database: Database, settings: Settings) -> Principal:
    make_user(own_database)
    return sign_in(own_database, settings, email=EMAIL, password=PASSWORD, client=Client("192.0.2.1")).principal


@pytest.mark.parametrize(
    "change",
    [
        lambda mine, database, settings, me: confirm_password(database, settings, me, PASSWORD),
        lambda mine, database, settings, me: confirm_unless_recent(database, settings, me, None),
        lambda mine, database, settings, me: mine.confirm_second_factor("123456"),
    ],
    ids=["with the password", "without it, just after the sign-in", "with a code"],
)
def test_who_is_signed_out_while_they_wait_is_not_let_through(
    own_database: Database,
    settings: Settings,
    me: Principal,
    change: Callable[[Account, Database, Settings, Principal], object],
) -> None:
    with own_database.transaction() as session:
        users.end_sessions(session, email=EMAIL)

    with pytest.raises(SessionExpired):
        change(Account(own_database, settings, me), own_database, settings, me)


def test_a_password_that_somebody_is_given_is_not_replaced_by_who_had_the_one_before(
    own_database: Database, settings: Settings, me: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confirm_as_another_is_set(database: Database, settings: Settings, who: Principal, password: str) -> None:
        confirm_password(database, settings, who, password)
        with database.transaction() as session:
            users.set_password(session, email=EMAIL, password=GIVEN)

    monkeypatch.setattr(account, "confirm_password", confirm_as_another_is_set)

    with pytest.raises(SessionExpired):
        Account(own_database, settings, me).set_password(PASSWORD, "a password of the thief")

    with pytest.raises(InvalidCredentials):
        confirm_password(own_database, settings, me, "a password of the thief")
