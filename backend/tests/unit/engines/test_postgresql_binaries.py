from pathlib import Path

import pytest

from hhh.core.errors import ToolMissing
from hhh.engines.postgresql.binaries import find_tool


@pytest.fixture(autouse=True)
def path_without_postgresql(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def install(folder: Path, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "pg_dump"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    return program


def version(text: str) -> str:
    return f"echo 'pg_dump (PostgreSQL) {text}'"


def test_the_folder_of_the_setting_comes_before_path_and_path_before_the_systems(tmp_path: Path) -> None:
    places = [tmp_path / "setting", tmp_path / "path", tmp_path / "installs/16/bin"]
    for place in places:
        install(place, version("16.4"))
    for place in places:
        tool, warning = find_tool("pg_dump", 16, pg_bin_dir=tmp_path / "setting", installs=tmp_path / "installs")
        assert (tool.path.parent, tool.version, tool.major, warning) == (place, "16.4", 16, None)
        tool.path.unlink()


def test_exactly_the_servers_major_wins_over_a_newer_one_found_earlier(tmp_path: Path) -> None:
    install(tmp_path / "setting", version("18.1"))
    right = install(tmp_path / "installs/16/bin", version("16.9 (Debian 16.9-1.pgdg120+1)"))
    tool, warning = find_tool("pg_dump", 16, pg_bin_dir=tmp_path / "setting", installs=tmp_path / "installs")
    assert (tool.path, tool.version, warning) == (right, "16.9", None)


def test_the_oldest_newer_one_is_used_with_a_warning(tmp_path: Path) -> None:
    for name, text in (("15", "15.1"), ("18", "18beta1"), ("17", "17.2")):
        install(tmp_path / "installs" / name / "bin", version(text))
    tool, warning = find_tool("pg_dump", 16, installs=tmp_path / "installs")
    assert tool.version == "17.2"
    assert warning is not None
    assert "pg_dump 17.2" in warning
    assert "postgresql-client-16" in warning


def test_only_older_ones_is_an_error_that_names_them_and_what_to_install(tmp_path: Path) -> None:
    program = install(tmp_path / "path", version("15.13"))
    with pytest.raises(ToolMissing) as caught:
        find_tool("pg_dump", 16, installs=tmp_path / "installs")
    for part in ("PostgreSQL 16", f"15.13 in {program.parent}", "postgresql-client-16", "HHH_PG_BIN_DIR"):
        assert part in str(caught.value)


def test_none_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="none at all"):
        find_tool("pg_dump", 16, installs=tmp_path / "installs")


@pytest.mark.parametrize("says", ["exit 1", "echo nonsense", "kill -9 $$"])
def test_a_broken_program_is_passed_over(tmp_path: Path, says: str) -> None:
    install(tmp_path / "path", says)
    right = install(tmp_path / "installs/16/bin", version("16.1"))
    assert find_tool("pg_dump", 16, installs=tmp_path / "installs")[0].path == right


def test_debians_wrapper_is_never_taken_since_its_version_depends_on_the_cluster(tmp_path: Path) -> None:
    wrapper = install(tmp_path / "share", version("16.1")).rename(tmp_path / "share/pg_wrapper")
    (tmp_path / "path").mkdir()
    (tmp_path / "path/pg_dump").symlink_to(wrapper)
    with pytest.raises(ToolMissing):
        find_tool("pg_dump", 16, installs=tmp_path / "installs")
