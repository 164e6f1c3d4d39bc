"""The API's description: complete for every endpoint, by rule."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from hhh.api.description.errors import OWN
from hhh.api.reference import page
from support import described

ROOT = Path(__file__).parents[4]
DESCRIPTION = described.description()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
]


def bodies(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Where each body is, of which type, and what is said of it."""
    holders = [("the request", operation.get("requestBody", {})), *operation["responses"].items()]
    for where, holder in holders:
        for media_type, content in holder.get("content", {}).items():
            yield where, media_type, content


def examples(content: Mapping[str, Any]) -> list[Any]:
    """Those of a body."""
    known = DESCRIPTION["components"]["examples"]
    named = [known[each["$ref"].rpartition("/")[2]]["value"] for each in content.get("examples", {}).values()]
    return [*named, *([content["example"]] if "example" in content else [])]


def test_it_is_what_openapi_asks_for() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    assert [error.message for error in OpenAPIV31SpecValidator(DESCRIPTION).iter_errors()] == []


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
def test_every_body_has_an_example_that_fits(method: str, path: str, operation: Mapping[str, Any]) -> None:
    for where, media_type, content in bodies(operation):
        assert examples(content), f"{where}, {media_type}: no example"
        validator = jsonschema_rs.Draft202012Validator(described.with_definitions(content["schema"]))
        wrong = [error.message for each in examples(content) for error in validator.iter_errors(each)]
        assert wrong == [], f"{where}: see hhh.api.description.samples, or Field(examples=[…])"


def fields(example: object) -> Iterator[tuple[str, object]]:
    """Each named value in an example, however deep."""
    if isinstance(example, Mapping):
        for name, value in example.items():
            yield name, value
            yield from fields(value)
    elif isinstance(example, list):
        for each in example:
            yield from fields(each)


def test_no_example_is_the_name_of_its_field() -> None:
    all_examples = [
        each for *_, operation in OPERATIONS for *_, content in bodies(operation) for each in examples(content)
    ]
    nothing_said = {name for each in all_examples for name, value in fields(each) if value == name.replace("_", " ")}
    assert nothing_said == set(), "see hhh.api.description.samples"


def test_every_endpoint_has_a_name_a_sentence_and_says_who_may_ask() -> None:
    names = Counter(operation["operationId"] for _, _, operation in OPERATIONS)

    assert {name for name, times in names.items() if times > 1} == set()
    assert all(operation["description"] and "security" in operation for _, _, operation in OPERATIONS)


def test_the_errors_of_one_endpoint_are_those_of_one_that_is_there() -> None:
    assert {*OWN} <= {(method, path) for method, path, _ in OPERATIONS}


def test_what_is_accepted_says_where_it_is_followed() -> None:
    accepted = {
        (method, path): operation["responses"]["202"]
        for method, path, operation in OPERATIONS
        if "202" in operation["responses"]
    }

    assert len(accepted) > 8
    for (method, _), answer in accepted.items():
        assert method == "DELETE" or "Location" in answer["headers"]
        assert "links" in answer or "job" in answer["description"]


def test_the_page_of_the_documentation_is_the_one_that_is_made() -> None:
    assert (ROOT / "docs/api.md").read_text() == page(DESCRIPTION), "run `make reference`"
