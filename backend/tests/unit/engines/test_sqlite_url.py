"""URLs of SQLite files."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from hhh.core.errors import InvalidInput
from hhh.engines.sqlite.url import path_in, url_of


@pytest.mark.parametrize("name", ["app.db", "with space.db", "100%41.db", "what?.db", "a#b.db", "ä🦊.db", "a\nb", "%"])
def test_a_path_comes_back_from_its_url(name: str) -> None:
    path = Path("/data") / name
    assert path_in(url_of(path)) == path
    assert make_url(url_of(path)).database == str(path)


def test_a_name_that_is_not_utf_8_is_refused_in_both_directions() -> None:
    for refused in (lambda: url_of("/data/\udcff.db"), lambda: path_in("sqlite:////data/\udcff.db")):
        with pytest.raises(InvalidInput, match="UTF-8"):
            refused()
    for refused in (lambda: url_of("/data/a\0b"), lambda: path_in("sqlite:////data/a%00b")):
        with pytest.raises(InvalidInput, match="zero character"):
            refused()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x", "sqlite:////data/", "sqlite:////x?y"]
)
def test_what_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        path_in(url)
