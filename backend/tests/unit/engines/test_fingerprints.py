import pytest

from hhh.engines.fingerprints import Method, are_comparable, method_of, methods_of
from hhh.schemas.facts import TableFacts


@pytest.mark.parametrize(
    ("method", "text"),
    [(Method("1"), "full/1"), (Method("1-LATIN1"), "full/1-LATIN1"), (Method("2", 64), "sampled/2/64")],
)
def test_a_method_has_one_text(method: Method, text: str) -> None:
    assert str(method) == text
    assert Method.parse(text) == method


@pytest.mark.parametrize("text", ["", "full", "full/1/2", "sampled/1", "sampled/1/x", "sampled/1/-2", "quick/1"])
def test_no_other_text_is_one(text: str) -> None:
    assert Method.parse(text) is None


def test_the_methods_of_tables_are_those_of_their_fingerprints() -> None:
    tables = [
        TableFacts(schema_name="s", name="a", rows=1, fingerprint="full/1:00ff"),
        TableFacts(schema_name="s", name="b", rows=1),
    ]
    assert methods_of(tables) == {("s", "a"): "full/1"}


def test_only_what_was_taken_in_the_same_way_is_comparable() -> None:
    assert method_of("sampled/1/64:00ff") == "sampled/1/64"
    assert are_comparable("full/1:a", "full/1:b")
    assert not are_comparable("full/1:a", "full/2:a")
    assert not are_comparable("full/1:a", None)
