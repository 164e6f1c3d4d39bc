"""The documentation tells of what is there: settings, commands, options, errors, files and links."""

import functools
import re
import xml.dom.minidom
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer.main

from hhh.cli.app import app
from hhh.core import errors
from hhh.core.config import Settings
from support.documentation import DOCS, KEYS, PROOF, README, RECOVERY, RESTORE, ROOT, RUNBOOK, blocks, inline_code

PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
#: Those that tell operators what to type.
GUIDES = [README, *sorted(DOCS.glob("*.md"))]
#: Made from the description of the API itself.
REFERENCE = DOCS / "api.md"
#: Those whose named blocks the tests run.
WITH_BLOCKS = [README, RUNBOOK, RESTORE, PROOF, RECOVERY, KEYS, DOCS / "recover-the-service.md"]

#: Groups whose command `run` needs no name.
_DIRECT = (["hhh", "restore"],)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SETTING = re.compile(r"\bHHH_[A-Z][A-Z_]*[A-Z]\b")
_CALL = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/api/v1/[\w/{}-]+|/metrics|/healthz|/readyz)")
#: Files and folders of the working copy, as the pages write them.
_PATH = re.compile(r"(?:backend|docs|bench|requirements)/[\w./-]*")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """The page without its fenced code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> Iterator[str]:
    """Every line of fenced code and every piece of inline code."""
    text = page.read_text(encoding="utf-8")
    for _, content in _FENCE.findall(text):
        yield from content.replace("\\\n", " ").splitlines()
    yield from inline_code(page)


# -------------------------------------------------------------------------------------------------- settings


def test_every_setting_is_described_and_no_other() -> None:
    described = re.findall(r"^\| `(HHH_\w+)` \|", (DOCS / "configuration.md").read_text(), re.MULTILINE)

    assert described == [f"HHH_{name.upper()}" for name in Settings.model_fields]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_page_names_only_settings_that_there_are(page: Path) -> None:
    of_clients = {"HHH_API", "HHH_TOKEN"}
    known = {f"HHH_{name.upper()}" for name in Settings.model_fields} | of_clients

    assert set(_SETTING.findall(page.read_text())) - known == set()


def test_the_defaults_are_the_documented_ones() -> None:
    rows = dict(re.findall(r"^\| `(HHH_\w+)` \| ([^|]*) \|", (DOCS / "configuration.md").read_text(), re.MULTILINE))
    for name in ("env", "host", "port", "scratch_dir", "auto_migrate"):
        assert rows[f"HHH_{name.upper()}"] == f"`{str(Settings.model_fields[name].default).lower()}`"


# -------------------------------------------------------------------------------------------------- commands


def commands_of(page: Path) -> list[list[str]]:
    """All that a page says to type after `hhh`, up to what only a shell understands."""
    return [
        words.replace('"', "").split()
        for piece in code(page)
        for words in re.findall(r"(?<![\w./-])hhh(?= ([a-z][^|;)#$`]*))", piece)
    ]


@pytest.mark.parametrize("page", GUIDES, ids=page_id)
def test_a_page_names_only_commands_and_options_that_there_are(page: Path) -> None:
    for words in commands_of(page):
        check_command(words)


@functools.cache
def root_command() -> Any:
    return typer.main.get_command(app)


def check_command(words: list[str]) -> None:
    command, path, rest = root_command(), ["hhh"], words
    while rest and rest[0] in getattr(command, "commands", {}):
        command, path, rest = command.commands[rest[0]], [*path, rest[0]], rest[1:]
    if path in _DIRECT and rest:
        command, path = command.commands["run"], [*path, "run"]
    assert len(path) > 1, f"there is no command {' '.join(words)}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word for word in rest if word.startswith("--")} - known
    assert not unknown, f"{' '.join(path)} has no {unknown}"
    if hasattr(command, "commands"):
        does_something = command.invoke_without_command and rest[:1] and rest[0].startswith("--")
        assert not rest or does_something, f"there is no command {' '.join(words)}"


def test_every_command_stands_in_the_readme() -> None:
    assert [name for name in root_command().commands if f"`{name}`" not in README.read_text()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_page_names_only_targets_that_make_has(page: Path) -> None:
    named = {match[1] for piece in code(page) for match in re.finditer(r"(?:^|\s)make ([a-z]+)\b", piece)}

    assert named - set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) == set()


# ---------------------------------------------------------------------------------------------- errors, endpoints


def codes() -> set[str]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HHHError)]
    return {kind.code for kind in kinds}


@pytest.mark.parametrize("page", GUIDES, ids=page_id)
def test_a_page_names_only_error_codes_that_there_are(page: Path) -> None:
    assert set(re.findall(r"\bERR_[A-Z_]+[A-Z]\b", page.read_text())) - codes() == set()


def test_the_documented_calls_are_those_of_the_api(tmp_path: Path) -> None:
    from hhh.core.config import load_settings
    from hhh.core.database import Database
    from hhh.main import create_app

    settings = load_settings({"HHH_DATA_DIR": str(tmp_path)}, dotenv=tmp_path / "none")
    paths = create_app(settings, Database(settings.own_database_url)).openapi()["paths"]
    known = {(method.upper(), re.sub(r"{\w+}", "{id}", path)) for path, methods in paths.items() for method in methods}
    guides = [page for page in GUIDES if page != REFERENCE]
    calls = {(method, path) for page in guides for method, path in _CALL.findall(page.read_text())}

    assert calls == known


# -------------------------------------------------------------------------------------------------------- pages


def test_what_the_page_on_the_console_quotes_is_said_there() -> None:
    sources = [path for ending in ("py", "j2", "js") for path in (ROOT / "backend/src/hhh").rglob(f"*.{ending}")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    quoted = re.findall(r'"([^"]+)"', prose(DOCS / "console.md"))

    # What differs stands as `…`, which texts of the console have as well.
    parts = [part.strip() for each in quoted for part in ([each] if each in said else each.split("…"))]
    assert len(quoted) > 5
    assert [part for part in parts if part not in said] == []


# -------------------------------------------------------------------------------------------------- links, files


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = unquote(link).partition("#")
        file = (page.parent / place).resolve() if place else page
        assert file.exists(), f"{page_id(page)}: {link}"
        assert file.is_relative_to(ROOT), f"{page_id(page)}: {link} leads out of the repository"
        if anchor:
            assert anchor in anchors(file), f"{page_id(page)}: {link}"


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings, and those that the page sets itself."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    own = set(re.findall(r'^<a id="([^"]+)"></a>$', prose(page), re.MULTILINE))
    return own | {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_files_are_there(page: Path) -> None:
    named = {piece for piece in inline_code(page) if _PATH.fullmatch(piece)}

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_modules_that_the_page_on_architecture_names_are_there() -> None:
    named = {piece for piece in inline_code(DOCS / "architecture.md") if re.fullmatch(r"[\w/]+/\w+\.py", piece)}

    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / "backend/src/hhh" / name).exists()] == []


def test_the_page_on_architecture_has_every_service_in_its_place_once() -> None:
    room = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Where things are in `services/`")[2]
    named = re.findall(r"`(\w+)`", room.partition("\n## ")[0])
    services = ROOT / "backend/src/hhh/services"
    packages = {path.parent.name for path in services.glob("*/__init__.py")}

    assert sorted(named) == sorted({path.stem for path in services.glob("*.py")} - {"__init__"} | packages)


@pytest.mark.parametrize("picture", sorted((DOCS / "img").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_stands_alone_and_has_words_for_who_cannot_see_it(picture: Path) -> None:
    root = xml.dom.minidom.parse(str(picture)).documentElement
    assert root is not None
    assert root.getElementsByTagName("title")
    assert root.getElementsByTagName("desc")
    assert "prefers-color-scheme: dark" in picture.read_text()
    assert not re.search(r"(href|src)=|@import|url\((?!#)", picture.read_text()), "it fetches something"


# ------------------------------------------------------------------------------------------------------- blocks


def test_every_named_block_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = [name for page in WITH_BLOCKS for name in blocks(page)]

    # `ask` reads from a terminal.
    untested = [name for name in named if f'"{name}"' not in tests and name != "ask"]
    assert untested == []


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=page_id)
def test_the_shell_understands_every_block(page: Path) -> None:
    import subprocess

    from support.documentation import require_programs

    require_programs("bash")
    for language, content in _FENCE.findall(page.read_text()):
        if language == "bash":
            checked = subprocess.run(["bash", "-n"], input=content, text=True, capture_output=True, check=False)
            assert checked.returncode == 0, f"{content}\n{checked.stderr}"
