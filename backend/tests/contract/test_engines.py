"""What every database engine must do, asked of all that there are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.core.errors import Cancelled, EngineError, InvalidInput, ToolFailed
from hhh.core.run import Progress, Unattended
from hhh.engines.base import EngineKind
from hhh.engines.fingerprints import method_of
from hhh.engines.registry import ENGINES, engine_for
from hhh.schemas.policy import Fingerprint
from support.engine_rigs import RIGS, EngineRig, Rows, children, read_to_end

#: More than a pipe holds, so that the tool is still there while nobody reads.
MANY_ROWS = 8000


@pytest.fixture(
    params=[
        pytest.param(kind, marks=[pytest.mark.postgres] if kind is EngineKind.POSTGRESQL else []) for kind in EngineKind
    ]
)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EngineRig]:
    scratch = tmp_path / "scratch of the run"
    scratch.mkdir(mode=0o700)
    with RIGS[request.param](request, scratch) as made:
        yield made


class CancelledRun:
    """A run that was cancelled before it began."""

    def report(self, progress: Progress) -> None:
        pass

    def raise_if_cancelled(self) -> None:
        raise Cancelled("The run was cancelled")


def test_the_registry_has_every_kind_and_finds_it_by_its_url(rig: EngineRig) -> None:
    assert set(ENGINES) == set(EngineKind)
    assert ENGINES[rig.kind].kind is rig.kind
    assert engine_for(rig.url) is rig.engine
    assert engine_for(rig.engine.validate(rig.url)) is rig.engine


def test_the_normal_form_of_a_url_is_its_own(rig: EngineRig) -> None:
    normal = rig.engine.validate(rig.url)
    assert rig.engine.validate(normal) == normal


@pytest.mark.parametrize(
    "url", ["", "no url", "://", "mysql://root:geheim@host/name", "http://u:geheim@host/", "/path"]
)
def test_another_url_is_refused_and_its_password_not_repeated(rig: EngineRig, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rig.engine.validate(url)
    assert "geheim" not in str(refused.value)
    with pytest.raises(InvalidInput) as refused:
        engine_for(url)
    assert "geheim" not in str(refused.value)


def test_a_look_tells_what_it_is_and_leaves_nothing(rig: EngineRig) -> None:
    rig.fill(10)
    before = children()
    found = rig.engine.inspect(rig.url, rig.workplace)
    assert found.description
    assert found.size
    assert list(rig.workplace.scratch.iterdir()) == []
    assert children() <= before


def test_what_is_not_there_is_an_error_of_the_engine(rig: EngineRig) -> None:
    with pytest.raises(EngineError):
        rig.engine.inspect(rig.url_of_nothing, rig.workplace)
    with pytest.raises(EngineError), rig.engine.dump(rig.url_of_nothing, rig.workplace, Unattended()) as dump:
        read_to_end(dump)


def test_an_empty_database_is_backed_up(rig: EngineRig) -> None:
    artifact, result = rig.take_dump()
    assert artifact
    assert result.facts.tables == []
    assert rig.rows_restored(artifact, []) == {}


def test_a_dump_puts_back_the_rows_that_its_facts_tell(rig: EngineRig) -> None:
    rig.fill(MANY_ROWS)
    with rig.dumping() as dump:
        expected_size = dump.expected_size
        artifact = read_to_end(dump)
        result = dump.finish()
    rows = {(table.schema_name, table.name): table.rows for table in result.facts.tables}
    assert list(rows.values()) == [MANY_ROWS]
    assert rig.rows_restored(artifact, list(rows)) == rows
    assert expected_size is None or 0.3 <= expected_size / len(artifact) <= 3
    assert result.versions
    assert result.warnings == ()


def test_the_facts_survive_json(rig: EngineRig) -> None:
    rig.fill(1)
    _, result = rig.take_dump()
    assert type(result.facts).model_validate_json(result.facts.model_dump_json()) == result.facts


def test_odd_names_are_counted_and_put_back(rig: EngineRig) -> None:
    expected: Rows = rig.fill_with_odd_names()
    artifact, result = rig.take_dump()
    assert {(table.schema_name, table.name): table.rows for table in result.facts.tables} == expected
    if rig.kind is EngineKind.SQLITE:  # the odd kinds of PostgreSQL need its superuser: see its own tests
        assert rig.rows_restored(artifact, list(expected)) == expected


def test_a_second_dump_of_the_same_moment_tells_the_same_facts(rig: EngineRig, tmp_path: Path) -> None:
    rig.fill(3)
    _, first = rig.take_dump()
    for file in rig.workplace.scratch.iterdir():
        file.unlink()
    _, second = rig.take_dump()
    assert first.facts == second.facts


@pytest.mark.parametrize("fingerprint", ["sampled", "full"])
def test_fingerprints_are_in_the_facts_and_say_how_they_were_taken(rig: EngineRig, fingerprint: Fingerprint) -> None:
    rig.fill(3)
    _, with_three = rig.take_dump(fingerprint=fingerprint)
    [three] = with_three.facts.tables
    assert three.fingerprint is not None
    assert method_of(three.fingerprint) == "full/1"  # of a small table all rows are the sample
    assert with_three.warnings == ()


def test_without_a_demand_there_are_no_fingerprints(rig: EngineRig) -> None:
    rig.fill(3)
    _, result = rig.take_dump()
    assert [table.fingerprint for table in result.facts.tables] == [None]


def test_a_cancelled_run_ends_before_the_stream_begins_and_leaves_no_process(rig: EngineRig) -> None:
    rig.fill(10)
    before = children()
    with pytest.raises(Cancelled), rig.dumping(CancelledRun()) as dump:
        read_to_end(dump)
    assert children() <= before


def test_who_leaves_in_the_middle_leaves_no_process(rig: EngineRig) -> None:
    rig.fill(MANY_ROWS)
    before = children()
    with rig.dumping() as dump:
        assert dump.stdout.read(100)
        assert children() - before
    assert children() <= before


def test_a_killed_tool_is_a_failure_although_its_stream_ended(rig: EngineRig) -> None:
    rig.fill(MANY_ROWS)
    before = children()
    with rig.dumping() as dump:
        assert dump.stdout.read(100)
        for process in children() - before:
            process.kill()
        read_to_end(dump)
        with pytest.raises(ToolFailed, match="SIGKILL"):
            dump.finish()
    assert children() <= before


def test_after_a_failure_the_next_dump_works(rig: EngineRig) -> None:
    rig.fill(5)
    with pytest.raises(KeyboardInterrupt), rig.dumping():
        raise KeyboardInterrupt
    for file in rig.workplace.scratch.iterdir():
        file.unlink()
    artifact, result = rig.take_dump()
    assert artifact
    assert [table.rows for table in result.facts.tables] == [5]
