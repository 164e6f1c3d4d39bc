"""What may be demanded of the backups of a target."""

import pytest
from pydantic import ValidationError

from hhh.schemas.policy import PolicyFields


def test_an_assertion_is_kept_without_the_semicolon_at_its_end() -> None:
    typed = [" SELECT count(*) > 0 FROM orders ;\n", "SELECT ';' = ';';;", "SELECT\n  true"]
    assert PolicyFields(assertions=typed).assertions == [
        "SELECT count(*) > 0 FROM orders",
        "SELECT ';' = ';'",
        "SELECT\n  true",
    ]


@pytest.mark.parametrize("assertion", ["", "  \n", " ; ;", "SELECT '\0'", "SELECT '\ud800'", "SELECT 1" + " " * 10_000])
def test_what_no_database_could_be_asked_is_refused(assertion: str) -> None:
    with pytest.raises(ValidationError):
        PolicyFields(assertions=["SELECT true", assertion])


@pytest.mark.parametrize(
    "demands",
    [
        {"verify_after_backup": "certain"},
        {"fingerprint": "some"},
        {"proven_within_days": 0},
        {"proven_within_days": 1.5},
        {"backed_up_within_hours": -1},
        {"assertions": ["SELECT true"] * 101},
        {"drill_target": "x" * 64},
    ],
)
def test_demands_that_nobody_could_meet_are_refused(demands: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PolicyFields.model_validate(demands)
