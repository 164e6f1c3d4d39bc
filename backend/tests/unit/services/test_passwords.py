"""Which passwords are refused, and why."""

import pytest

from hhh.core.errors import InvalidInput
from hhh.core.security import new_token
from hhh.services.passwords import checked_password

ME = "ann.smith@example.com"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("elevenchars", "at least 12 characters"),
        ("x" * 1025, "too long"),
        ("aaaaaaaaaaaabbbb", "different characters"),
        ("123456789012", "sequence"),
        ("9876543210987", "sequence"),
        ("abcdefghijklmn", "sequence"),
        ("password1234", "tried first"),
        ("PASSWORD-2024!", "tried first"),
        ("P4$$w0rd2024", "tried first"),
        ("passwordpassword", "tried first"),
        ("letmein letmein", "tried first"),
        ("trustno1trustno1", "tried first"),
        ("1qaz2wsx3edc4rfv", "tried first"),
        ("Qwertyuiop[]12", "tried first"),
        ("ann.smith@example.com", "e-mail"),
        ("AnnSmith2024", "e-mail"),
        ("smith-ann-example-1", "e-mail"),
        ("hhhbackup2024!", "this service"),
        ("HHH-Backup-Admin", "this service"),
    ],
)
def test_what_is_guessed_first_is_refused_with_the_reason(password: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        checked_password(password, email=ME)

    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "a long enough password",
        "Ann likes seven oranges",
        "backup my heart at dawn",
        "x7Gk29sLqpW3",
        "zażółć gęślą jaźń",
        "密码要有十二个字符那么长吧",
        "83620174950261",
        "lorem ipsum " * 80,
    ],
)
def test_anything_else_of_twelve_characters_will_do(password: str) -> None:
    assert checked_password(password, email=ME) == password
    assert checked_password(password) == password


def test_a_password_that_the_service_draws_will_do() -> None:
    drawn = new_token()

    assert checked_password(drawn) == drawn
