"""No job ends untold: nothing but `hhh.services.job_ends` ends one."""

import ast
from pathlib import Path

import hhh
from hhh.console.views.audit_view import ACTIONS, RESULTS
from hhh.models import Action, JobKind, Result
from hhh.services import job_ends

SOURCES = Path(hhh.__file__).parent
#: It ends the jobs of another time in a database that is not live yet: they have ended long since.
EXEMPT = {"services/own_database.py", "services/job_ends.py"}
ENDS = {"finish", "end", "end_queued"}


def ends_jobs_itself(file: Path) -> bool:
    """Whether a module calls one of the statements that end a job."""
    tree = ast.parse(file.read_text())
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "hhh.repositories"
        for alias in node.names
        if alias.name == "jobs"
    }
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ENDS
        and isinstance(node.value, ast.Name)
        and node.value.id in names
        for node in ast.walk(tree)
    )


def test_every_end_of_a_job_is_told() -> None:
    found = {str(file.relative_to(SOURCES)) for file in SOURCES.rglob("*.py") if ends_jobs_itself(file)}

    assert found == EXEMPT


def test_every_kind_of_job_has_its_action() -> None:
    assert {*job_ends.ACTIONS} == {*JobKind}


def test_every_action_and_result_has_its_words() -> None:
    assert {*ACTIONS} == {*Action}
    assert {*RESULTS} == {"", *Result}
