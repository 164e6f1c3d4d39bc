"""`hhh tokens`."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli import tokens as command
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound, TokenInvalid
from hhh.services.api_tokens import ApiTokens
from support.sign_in import EMAIL, make_user


class Hhh:
    """Runs `hhh tokens` in this process, on the database of `settings`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: str) -> Result:
        result = CliRunner().invoke(command.app, list(arguments), env=self._environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def hhh(settings: Settings, sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hhh:
    monkeypatch.chdir(tmp_path)
    make_user(sqlite_database)
    return Hhh({"HHH_DATA_DIR": str(settings.data_dir)})


def test_a_token_is_printed_alone_and_is_good_until_it_is_revoked(hhh: Hhh, sqlite_database: Database) -> None:
    tokens = ApiTokens(sqlite_database)

    result = hhh("create", "ci", "--scope", "backup:run", "--scope", "backup:read", "--network", "192.0.2.0/24")

    token = result.stdout.strip()
    assert token.startswith("hhh_")
    assert len(token) == 47
    assert "from 192.0.2.0/24. It is shown this once:" in result.stderr
    assert tokens.principal(token, address="192.0.2.1").email == EMAIL
    listed = hhh("list").stdout
    assert "backup:read,backup:run" in listed
    assert token[12:] not in listed

    assert f"Revoked ci of {EMAIL}." in hhh("revoke", "ci").stdout
    with pytest.raises(TokenInvalid):
        tokens.principal(token, address="192.0.2.1")
    with pytest.raises(NotFound):
        hhh("revoke", "ci")
    assert json.loads(hhh("list", "--json").stdout)[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("typed", "expires"),
    [
        ("2099-12-31", datetime(2099, 12, 31, tzinfo=UTC)),
        ("2099-12-31T18:00:00+02:00", datetime(2099, 12, 31, 16, tzinfo=UTC)),
        ("none", None),
    ],
)
def test_a_token_expires_on_a_date_or_never(hhh: Hhh, typed: str, expires: datetime | None) -> None:
    made = json.loads(hhh("create", "ci", "--scope", "admin", "--expires", typed, "--user", EMAIL, "--json").stdout)

    assert made["token"].startswith(made["prefix"])
    assert (made["expires_at"] and datetime.fromisoformat(made["expires_at"])) == expires


def test_a_token_expires_after_some_time(hhh: Hhh) -> None:
    before = utcnow().replace(microsecond=0)

    made = json.loads(hhh("create", "ci", "--scope", "admin", "--expires", "90d", "--json").stdout)

    until = datetime.fromisoformat(made["expires_at"]) - timedelta(days=90)
    assert before <= until <= utcnow()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--expires", "soon"), "is no time"),
        (("--expires", "90"), "is no time"),
        (("--expires", "9999999w"), "further away"),
        (("--expires", "2001-01-01"), "expired already"),
        (("--network", "10.0.0"), "is no network"),
        (("--network", "x" * 99), "at most 64"),
        (("--user", "nobody@example.com"), "no super admin"),
    ],
)
def test_what_can_not_be_is_refused(hhh: Hhh, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        hhh("create", "ci", "--scope", "admin", *arguments)
    assert hhh("list").stdout == "No tokens.\n"


def test_a_token_needs_a_scope_that_there_is(hhh: Hhh) -> None:
    assert hhh("create", "ci").exit_code == 2
    assert hhh("create", "ci", "--scope", "backup:write").exit_code == 2
