"""The files that install several machines: they name settings, commands and files that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from hhh.cli.app import app
from hhh.core.config import Settings, load_settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def assert_is_a_command(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    command = command.commands[words[0]]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= options


def containers() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_a_unit_starts_a_command_and_lets_it_drain(unit: Path) -> None:
    text = unit.read_text()
    [words] = re.findall(r"^ExecStart=/opt/hhh/bin/hhh (.*)$", text, re.MULTILINE)
    assert_is_a_command(words.split())
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > Settings().drain_seconds + 10
    assert "KillMode=mixed" in text


@pytest.mark.parametrize("name", ["web", "worker", "prover"])
def test_a_container_has_settings_that_fit_and_a_command(name: str, tmp_path: Path) -> None:
    container = containers()[name]
    assert container["env_file"] == ".env"
    assert_is_a_command(container["command"])
    values = {"HHH_SECRET_KEY": "s" * 32, "POSTGRES_PASSWORD": "word"}
    environment = {
        setting: re.sub(
            r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda found: values.get(found[1], found[2] or ""), value
        )
        for setting, value in container["environment"].items()
    }
    loaded = load_settings({**environment, "HHH_DATA_DIR": str(tmp_path / "data")}, dotenv=tmp_path / "none.env")
    assert loaded.env == "production"
    assert loaded.jobs_database_url.get_secret_value() == "postgresql://hhh:word@db:5432/hhh_jobs"
    assert int(container["stop_grace_period"].removesuffix("s")) > loaded.drain_seconds + 10


def test_both_databases_are_made_with_the_server() -> None:
    server = containers()["db"]
    assert server["environment"]["POSTGRES_DB"] == "hhh"
    assert "CREATE DATABASE hhh_jobs;" in (DEPLOY / "jobs-database.sql").read_text()
    assert any(volume.startswith("./jobs-database.sql:/docker-entrypoint-initdb.d/") for volume in server["volumes"])


def test_the_command_is_on_the_path_of_the_image() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "ENV PATH=/opt/hhh/bin:$PATH\n" in text
    assert 'ENTRYPOINT ["/opt/hhh/bin/hhh"]' in text
    assert "docker compose exec web hhh doctor" in (ROOT / "docs/many-machines.md").read_text()


def test_the_image_is_made_of_files_that_there_are() -> None:
    for line in re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
