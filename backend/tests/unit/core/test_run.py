"""What people are told of a run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hhh
from hhh.core.run import stage_in_words
from hhh.schemas.backup import RunProgress


def reported_stages() -> Iterator[str]:
    """Every stage that the program reports by a literal."""
    for file in Path(hhh.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Progress":
                stages = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "stage")]
                yield from (str(each.value) for each in stages if isinstance(each, ast.Constant))


def test_every_stage_is_told_in_words() -> None:
    stages = {*reported_stages()}
    assert {"snapshot", "finalise", "checks", "swap", "copy"} <= stages
    assert [stage for stage in stages if stage_in_words(stage) == stage] == []


def test_a_stage_of_another_version_is_told_as_it_is() -> None:
    assert RunProgress(stage="polishing", attempt=1).doing == "polishing"


def test_progress_tells_programs_the_stage_and_people_the_words() -> None:
    told = RunProgress(stage="finalise", attempt=1).model_dump()
    assert (told["stage"], told["doing"]) == ("finalise", "storing the facts")
