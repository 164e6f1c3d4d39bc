"""A password that an operator's URL does not have is looked for where libpq looks."""

from pathlib import Path

import pytest

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.passwords import with_password
from hhh.engines.postgresql.url import parse_url

FILE = r"""
# a comment:*:*:*:wrong
other:*:*:*:of another host
db:5433:*:*:of another port
db:*:shop:clerk:of the clerk
db:*:shop:admin:with\:colon\\and backslash
*:*:*:*:of anybody
"""


def password(url: str, environment: dict[str, str]) -> str:
    return with_password(parse_url(url), environment).password


@pytest.fixture
def passfile(tmp_path: Path) -> Path:
    path = tmp_path / "pass"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://clerk@db/shop", "of the clerk"),
        ("postgresql://admin@db/shop", "with:colon\\and backslash"),
        ("postgresql://admin@db:5433/other", "of another port"),
        ("postgresql://admin@db/other", "of anybody"),
        ("postgresql://admin@other:1/x", "of another host"),
    ],
)
def test_the_first_line_of_the_password_file_that_fits_counts(passfile: Path, url: str, found: str) -> None:
    assert password(url, {"PGPASSFILE": str(passfile)}) == found


def test_the_file_is_in_the_home_folder_unless_it_is_named(passfile: Path, tmp_path: Path) -> None:
    (tmp_path / ".pgpass").symlink_to(passfile)
    assert password("postgresql://clerk@db/shop", {"HOME": str(tmp_path)}) == "of the clerk"
    assert password("postgresql://clerk@db/shop", {"HOME": str(tmp_path / "other")}) == ""
    assert password("postgresql://clerk@db/shop", {}) == ""


def test_the_url_wins_then_the_variable(passfile: Path) -> None:
    environment = {"PGPASSFILE": str(passfile), "PGPASSWORD": "of the variable"}
    assert password("postgresql://clerk:own@db/shop", environment) == "own"
    assert password("postgresql://clerk@db/shop", environment) == "of the variable"


def test_user_and_port_that_the_url_leaves_out_are_those_of_the_variables(passfile: Path) -> None:
    environment = {"PGPASSFILE": str(passfile), "PGUSER": "clerk"}
    assert password("postgresql://db/shop", environment) == "of the clerk"
    assert password("postgresql://db/other", environment | {"PGPORT": "5433"}) == "of another port"


def test_a_password_file_that_others_may_read_is_refused(passfile: Path) -> None:
    passfile.chmod(0o640)
    with pytest.raises(InvalidInput, match="Others may read") as refused:
        password("postgresql://clerk@db/shop", {"PGPASSFILE": str(passfile)})
    assert refused.value.hint == f"chmod 600 {passfile}"
