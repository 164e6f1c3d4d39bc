"""What a command writes to a file that somebody names is there as it says, or the command has failed."""

from pathlib import Path

import pytest

from hhh.cli.new_file import refuse_existing, write_new
from hhh.core.errors import InvalidInput


def test_a_file_that_is_there_is_refused_before_the_work(tmp_path: Path) -> None:
    refuse_existing(None)
    refuse_existing(tmp_path / "new")
    with pytest.raises(InvalidInput, match="exists already"):
        refuse_existing(tmp_path)


def test_what_is_written_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "new"
    write_new(path, b"all of it")
    assert path.read_bytes() == b"all of it"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_somebody_made_meanwhile_stays_and_nothing_is_told_as_written(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_bytes(b"another's")
    with pytest.raises(InvalidInput, match="by somebody else meanwhile"):
        write_new(path, b"ours")
    assert path.read_bytes() == b"another's"
