"""`hhh users`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli import users as command
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidCredentials, InvalidInput, NotFound, SecondFactorRequired
from hhh.models import Role
from hhh.services.auth import Principal
from hhh.services.known_places import Client
from hhh.services.sign_in import sign_in
from support.second_factor import with_second_factor
from support.sign_in import PASSWORD, make_user


class Hhh:
    """Runs `hhh users` in this process, on the database of `settings`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        result = CliRunner().invoke(command.app, list(arguments), input=stdin, env=self._environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def hhh(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hhh:
    monkeypatch.chdir(tmp_path)
    return Hhh({"HHH_DATA_DIR": str(settings.data_dir)})


def ann(database: Database, settings: Settings, password: str) -> Principal:
    """Signs ann@example.com in."""
    return sign_in(database, settings, email="ann@example.com", password=password, client=Client("192.0.2.1")).principal


def test_a_user_is_made_with_the_password_of_standard_input_and_can_sign_in(
    hhh: Hhh, settings: Settings, sqlite_database: Database
) -> None:
    result = hhh("create", "Ann@example.com", "--role", "super_admin", stdin=f"{PASSWORD}\n")

    assert result.exit_code == 0
    assert "Created ann@example.com, SUPER_ADMIN: may do everything." in result.stdout
    assert PASSWORD not in result.output
    assert ann(sqlite_database, settings, PASSWORD).role == Role.SUPER_ADMIN


def test_who_is_made_without_a_role_is_told_to_be_a_member_who_may_do_nothing(
    hhh: Hhh, sqlite_database: Database
) -> None:
    told = " ".join(hhh("create", "ann@example.com", stdin=f"{PASSWORD}\n").stdout.split())

    assert "Created ann@example.com, MEMBER: may sign in, and do nothing about backups;" in told
    assert "`hhh users set-role ann@example.com SUPER_ADMIN` changes that" in told
    assert "MEMBER now: may sign in" in hhh("set-role", "ann@example.com", "MEMBER").stdout


def test_no_option_takes_a_password(hhh: Hhh) -> None:
    assert hhh("create", "ann@example.com", "--password", PASSWORD).exit_code == 2
    assert hhh("create", "ann@example.com", PASSWORD).exit_code == 2


def test_without_a_password_nothing_is_made(hhh: Hhh, sqlite_database: Database) -> None:
    with pytest.raises(InvalidInput, match="No password"):
        hhh("create", "ann@example.com")

    assert json.loads(hhh("list", "--json").stdout) == []


def test_the_list_is_a_table_or_json(hhh: Hhh, sqlite_database: Database) -> None:
    user = make_user(sqlite_database, email="[red]ann@example.com")

    assert json.loads(hhh("list", "--json").stdout) == [
        {
            "id": user.id,
            "email": "[red]ann@example.com",
            "role": "SUPER_ADMIN",
            "second_factor": False,
            "created_at": user.created_at.isoformat(timespec="seconds"),
        }
    ]
    assert "SUPER_ADMIN" in hhh("list").stdout


def test_a_role_is_set(hhh: Hhh, sqlite_database: Database) -> None:
    make_user(sqlite_database, email="ann@example.com")
    make_user(sqlite_database, email="bob@example.com")

    assert hhh("set-role", "bob@example.com", "MEMBER").exit_code == 0
    with pytest.raises(InvalidInput, match="last super admin"):
        hhh("set-role", "ann@example.com", "member")
    assert hhh("set-role", "ann@example.com", "KING").exit_code == 2


def test_a_password_is_set(hhh: Hhh, settings: Settings, sqlite_database: Database) -> None:
    make_user(sqlite_database, email="ann@example.com")

    assert hhh("set-password", "ann@example.com", stdin="another long password\n").exit_code == 0

    with pytest.raises(InvalidCredentials):
        ann(sqlite_database, settings, PASSWORD)
    assert ann(sqlite_database, settings, "another long password").email == "ann@example.com"


def test_a_user_is_removed_but_not_the_last_super_admin(hhh: Hhh, sqlite_database: Database) -> None:
    make_user(sqlite_database, email="ann@example.com")
    make_user(sqlite_database, email="bob@example.com", role=Role.MEMBER)

    result = hhh("remove", "Bob@example.com")

    assert "Removed bob@example.com" in result.stdout
    with pytest.raises(InvalidInput, match="last super admin"):
        hhh("remove", "ann@example.com")
    assert [user["email"] for user in json.loads(hhh("list", "--json").stdout)] == ["ann@example.com"]


def test_a_lost_phone_is_helped_on_the_server_alone(hhh: Hhh, settings: Settings, sqlite_database: Database) -> None:
    user = make_user(sqlite_database, email="ann@example.com")
    with_second_factor(sqlite_database, settings, user, now=datetime.now(UTC))
    listed = json.loads(hhh("list", "--json").stdout)
    with pytest.raises(SecondFactorRequired):
        ann(sqlite_database, settings, PASSWORD)

    result = hhh("reset-second-factor", "Ann@example.com")

    assert [each["second_factor"] for each in listed] == [True]
    assert "The second factor of ann@example.com is taken away" in result.stdout
    assert ann(sqlite_database, settings, PASSWORD).second_factor is False
    assert "had no second factor" in hhh("reset-second-factor", "ann@example.com").stdout


def test_a_user_is_signed_out_everywhere(hhh: Hhh, settings: Settings, sqlite_database: Database) -> None:
    make_user(sqlite_database, email="ann@example.com")
    for _ in range(2):
        ann(sqlite_database, settings, PASSWORD)

    assert "Ended 2 sessions of ann@example.com." in hhh("end-sessions", "ann@example.com").stdout
    assert "Ended 0 sessions of ann@example.com." in hhh("end-sessions", "ann@example.com").stdout
    with pytest.raises(NotFound):
        hhh("end-sessions", "nobody@example.com")
