"""`hhh alerts`, where no server runs."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from hhh.cli import alerts
from hhh.core.errors import InvalidInput
from hhh.models import BackupStatus
from hhh.services.container import Services
from support.receivers import WebHook, a_web_hook
from support.recoverable import a_backup

pytestmark = pytest.mark.usefixtures("installation")

SECRET = "s3cret-of-the-hook"


@pytest.fixture(scope="module")
def hook() -> Iterator[WebHook]:
    with a_web_hook() as hook:
        yield hook


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(alerts.app, list(arguments), input=typed)


def must(*arguments: str, typed: str = "") -> str:
    done = run(*arguments, typed=typed)
    assert done.exit_code == 0, (done.output, done.exception)
    assert SECRET not in done.output
    return done.output


def test_a_channel_whose_url_comes_on_standard_input_is_tried_and_told_without_it(hook: WebHook) -> None:
    url = f"{hook.url(SECRET)}\n"
    assert "hhh alerts test hook" in must("channels", "add", "hook", "--target", "prod-*", typed=url)
    [channel] = json.loads(must("channels", "list", "--json"))
    assert (channel["targets"], channel["kinds"]) == (["prod-*"], None)
    assert f"json://127.0.0.1:{hook.port}/***" in must("channels", "list")
    assert must("test") == "ok   hook\n"

    hook.status = 404
    refused = run("test", "hook")
    hook.status = 200
    assert (refused.exit_code, SECRET in refused.output) == (1, False)
    assert "FAIL hook: " in refused.output

    must("channels", "change", "hook", "--kind", "size-odd", "--target", "all", "--off")
    [channel] = json.loads(must("channels", "list", "--json"))
    assert (channel["targets"], channel["kinds"], channel["enabled"]) == (None, ["size-odd"], False)
    assert "No channel" in must("test")
    must("channels", "remove", "hook")
    assert must("channels", "list") == "No channels: nobody is told.\n"


def test_what_is_wrong_is_listed_with_when_it_was_looked_for(services: Services) -> None:
    assert "has not looked yet" in must("list")
    a_backup(services.database, "source", status=BackupStatus.FAILED, age=timedelta(), error="out of luck")
    services.alerts.rounds.look()
    told = must("list")
    assert "source: backup failed" in told
    assert "It said: out of luck" in told
    assert "→ Put that right, then: hhh backup run source" in told
    assert "The service looked last at " in told
    assert [each["kind"] for each in json.loads(must("list", "--json"))["troubles"]] == ["backup-failed"]


@pytest.mark.parametrize(
    ("arguments", "typed", "saying"),
    [
        (["channels", "add", "x"], "", "standard input"),
        (["channels", "add", "x"], "dbus://\n", "Alerts can't go to dbus://"),
        (["channels", "add", "x", "--kind", "nonsense"], "json://127.0.0.1:9/\n", "kinds"),
    ],
)
def test_what_cannot_be_used_is_said(arguments: list[str], typed: str, saying: str) -> None:
    refused = run(*arguments, typed=typed)
    assert isinstance(refused.exception, InvalidInput)
    assert saying in str(refused.exception)
