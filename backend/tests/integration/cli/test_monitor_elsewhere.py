"""`hhh monitor --url`: a second machine asks the service, and says what is wrong with it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.database import Database
from hhh.core.errors import HHHError, InvalidInput, NotFound, ServiceFailed
from hhh.main import create_app
from hhh.models import Role, Scope
from support.local_services import settings_in
from support.recoverable import a_backup, a_verification
from support.serving import serving
from support.sign_in import make_user
from support.token_rows import a_token

Reply = Callable[[Request], object]


def run(*arguments: str, token: str | None = "hhh_x", typed: str = "") -> Result:
    environment = {"HHH_TOKEN": token, "http_proxy": "http://127.0.0.1:1"}
    return CliRunner().invoke(app, ["monitor", *arguments], env=environment, input=typed)


def error_of(result: Result) -> HHHError:
    assert isinstance(result.exception, HHHError), result.output
    return result.exception


@pytest.fixture
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no installation is, and none may be begun."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.fixture
def service(tmp_path: Path, sqlite_database: Database, somewhere_else: None) -> Iterator[str]:
    """The address of a service that has `app`, proven."""
    make_user(sqlite_database)
    a_verification(sqlite_database, a_backup(sqlite_database))
    # Of this process, too: what it logs would stand among what the command prints.
    with capture_logs(), serving(create_app(settings_in(tmp_path), sqlite_database)) as url:
        yield url


@pytest.fixture
def token(sqlite_database: Database, service: str) -> str:
    return a_token(sqlite_database, Scope.BACKUP_READ)


def test_a_second_machine_sees_the_same_table(service: str, token: str, tmp_path: Path) -> None:
    result = run("--url", service + "/", token=token)
    assert result.exit_code == 0, result.exception
    assert result.output.splitlines()[1].split()[:4] == ["app", "yes", "yes", "1"]
    assert [*Path().iterdir()] == []


def test_what_is_wrong_there_ends_with_1_here(
    service: str, token: str, sqlite_database: Database, tmp_path: Path
) -> None:
    a_backup(sqlite_database, age=timedelta(), status="FAILED", error="disk full")  # type: ignore[arg-type]
    result = run("--url", service, "app", "--json", token=token)
    assert result.exit_code == 1
    [found] = json.loads(result.output)
    assert found["state"] == "failing"
    assert "disk full" in found["reasons"][0]
    assert isinstance(error_of(run("--url", service, "nobody", token=token)), NotFound)


def test_the_token_may_stand_in_a_file_or_come_on_standard_input(service: str, token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    assert run("--url", service, "--token-file", str(file), token=None).exit_code == 0
    assert run("--url", service, "--token-file", "-", token=None, typed=f"{token}\n").exit_code == 0


def test_a_token_that_is_not_good_enough_says_why(service: str, sqlite_database: Database) -> None:
    make_user(sqlite_database, email="member@example.com", role=Role.MEMBER)
    refused = {
        "ERR_SCOPE_MISSING": a_token(sqlite_database, Scope.RESTORE_RUN),
        "ERR_SUPERADMIN_REQUIRED": a_token(sqlite_database, Scope.BACKUP_READ, of="member@example.com"),
        "answered 401 ": a_token(sqlite_database, Scope.BACKUP_READ, lives=timedelta(days=-1)),
    }
    for told, token in refused.items():
        result = run("--url", service, token=token)
        error = error_of(result)
        assert isinstance(error, ServiceFailed)
        assert told in error.message
        assert "backup:read" in str(error.hint)
        assert token not in str(error) + result.output


def answering(reply: Reply) -> Starlette:
    return Starlette(routes=[Route("/{path:path}", reply)])


async def redirects(request: Request) -> Response:
    return RedirectResponse(f"http://localhost:{request.url.port}/elsewhere\x1b[2J", 308)


async def greets(_: Request) -> Response:
    return PlainTextResponse("<h1>It works!</h1>")


async def answers_other_json(_: Request) -> Response:
    return Response('[{"target": "app"}]', media_type="application/json")


async def breaks_down(_: Request) -> Response:
    return PlainTextResponse("Bad gateway", 502)


async def nests(_: Request) -> Response:
    return PlainTextResponse("[" * 100_000)


async def dripping() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.05)


async def drips(_: Request) -> Response:
    return StreamingResponse(dripping())


async def drips_an_error(_: Request) -> Response:
    return StreamingResponse(dripping(), 500)


async def says_nothing(_: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


async def says_too_much(_: Request) -> Response:
    return PlainTextResponse(b" " * (33 << 20))


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (redirects, "leads elsewhere: http://localhost:"),
        (greets, "answers something else than HHH Backup does"),
        (answers_other_json, "answers something else than HHH Backup does"),
        (nests, "answers something else than HHH Backup does"),
        (breaks_down, "answered 502 : Bad Gateway"),
        (drips, "gave no answer within 1 seconds"),
        (drips_an_error, "gave no answer within 1 seconds"),
        (says_nothing, "gave no answer within 1 seconds"),
        (says_too_much, "answers something else than HHH Backup does"),
    ],
)
def test_whatever_answers_there_the_end_is_an_error_that_names_it(
    somewhere_else: None, reply: Reply, told: str
) -> None:
    with serving(answering(reply)) as url:
        error = error_of(run("--url", url, "--timeout", "60" if reply is says_too_much else "1"))
    assert isinstance(error, ServiceFailed)
    assert error.message.startswith(url)
    assert told in error.message
    assert error.hint


def test_a_token_is_never_sent_on(somewhere_else: None) -> None:
    asked: list[str] = []

    async def watch(request: Request) -> Response:
        asked.append(request.url.path)
        return RedirectResponse("/somewhere")

    with serving(answering(watch)) as url:
        run("--url", url)
    assert asked == ["/api/v1/monitor"]


def test_nobody_there_is_told_in_one_sentence(somewhere_else: None) -> None:
    error = error_of(run("--url", "http://127.0.0.1:1"))
    assert error.message == "http://127.0.0.1:1 can't be reached: Connection refused"


@pytest.mark.parametrize(
    ("arguments", "token", "told"),
    [
        (["--url", "http://backup.example.com"], "hhh_x", "Over http:// everybody on the way could read the token"),
        (["--url", "ftp://backup.example.com"], "hhh_x", "--url is no address of a service"),
        (["--url", "https://"], "hhh_x", "--url is no address of a service"),
        (["--url", "https://user:secret@backup.example.com"], "hhh_x", "--url is no address of a service"),
        (["--url", "https://backup.example.com:99999"], "hhh_x", "--url is no address of a service"),
        (["--url", "https://backup.example.com/?a=b"], "hhh_x", "--url is no address of a service"),
        (["--url", "https://backup.example.com"], None, "There is no token to ask with"),
        (["--url", "https://backup.example.com"], "two words", "What was given as a token is none"),
        (["--url", "https://backup.example.com", "--token-file", "/none"], None, "The token's file can't be read"),
        (["--token-file", "/none"], None, "--token-file is for a service that is asked over HTTP"),
    ],
)
def test_what_can_not_be_asked_so_is_wrong_usage(
    somewhere_else: None, arguments: list[str], token: str | None, told: str
) -> None:
    error = error_of(run(*arguments, token=token))
    assert isinstance(error, InvalidInput)
    assert told in error.message
    assert "secret" not in str(error)
    assert error.hint
