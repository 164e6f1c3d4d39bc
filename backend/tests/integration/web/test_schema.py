"""The API against requests made up from its own description, by whoever is signed in, has a token, or neither.

Each answer is held against the description (here and by `support.described`), and none may be the service's own fault.
A short run of few requests for each endpoint; `make soak` asks 10,000 times.
"""

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support import described
from support.furnished import Furnished, furnished
from support.postgres import PostgresServer
from support.session import current_session

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    negative_data_rejection,
    response_schema_conformance,
]
#: After these the session is another one, or none.
ENDS_SESSIONS = {"auth_refresh", "auth_logout", "account_end_other_sessions", "account_end_session"}
#: Made by the client.
_OURS = {"Cookie", "Content-Length"}
Headers = Callable[[Furnished], Mapping[str, str]]


def _signed_in(world: Furnished) -> Mapping[str, str]:
    if "hhh_at" not in world.client.cookies:
        world.sign_in()
    return {"X-CSRF-Token": world.client.cookies["hhh_csrf"]}


def _with_token(world: Furnished) -> Mapping[str, str]:
    world.client.cookies.clear()
    return {"Authorization": f"Bearer {world.token}"}


def _nobody(world: Furnished) -> Mapping[str, str]:
    world.client.cookies.clear()
    return {}


WHO: Mapping[str, Headers] = {"signed in": _signed_in, "with a token": _with_token, "nobody": _nobody}
#: Whether a request fits the description, and whether it is for something that is there.
Form = tuple[GenerationMode, bool]
FITS, NOTHING_FITS = (GenerationMode.POSITIVE, True), (GenerationMode.NEGATIVE, False)
FORMS: Sequence[Form] = [*itertools.product(GenerationMode, (True, False))]


@pytest.fixture(scope="module")
def world() -> Iterator[Furnished]:
    with furnished(current_session().new_folder("schema")) as found:
        del found.client.headers["X-CSRF-Token"]
        yield found


def _description() -> dict[str, Any]:
    """Without who may ask: what is sent of that is up to this test."""
    found = copy.deepcopy(described.description())
    del found["components"]["securitySchemes"]
    for described_operation in (each for methods in found["paths"].values() for each in methods.values()):
        del described_operation["security"]
    return found


def _can_be_wrong(operation: APIOperation) -> bool:
    """Whether a request can fail to fit: any text fits a header or a place in a path, which takes long to learn."""
    raw = operation.definition.raw
    return "requestBody" in raw or any(each.get("in") == "query" for each in raw["parameters"])


def ask(world: Furnished, who: Headers, forms: Sequence[Form], examples: int) -> tuple[Counter[int], list[str]]:
    """Asks for every endpoint that often; which statuses came, and what was wrong."""
    schema = schemathesis.openapi.from_dict(_description())
    operations = sorted(
        (each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)),
        key=lambda each: each.method == "delete",
    )
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    for operation, (mode, is_there) in itertools.product(operations, forms):
        if mode is GenerationMode.NEGATIVE and not _can_be_wrong(operation):
            continue
        places = world.names(operation.path) if is_there else None

        @seed(7)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(operation.as_strategy(generation_mode=mode, path_parameters=places))
        def try_it(case: Case) -> None:
            if case.operation.definition.raw["operationId"] in ENDS_SESSIONS:
                world.client.cookies.clear()
            statuses[_send(world, case, who(world), wrong)] += 1

        try:
            try_it()
        except Exception as error:
            if "Unsatisfiable" not in type(error).__name__:
                raise
    return statuses, wrong


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _send(world: Furnished, case: Case, headers: Mapping[str, str], wrong: list[str]) -> int:
    made = requests.Request(**case.as_transport_kwargs("http://testserver")).prepare()
    # Headers hold bytes, which the description calls text.
    sent = {name.encode(): _bytes(value) for name, value in made.headers.items() if name not in _OURS}
    sent |= {name.encode(): value.encode() for name, value in headers.items()}
    try:
        answer = world.client.request(made.method or "", made.url or "", headers=sent, content=made.body)
        # A stream of events is one text here, and not a value for each.
        is_stream = answer.headers.get("Content-Type", "").startswith("text/event-stream")
        case.validate_response(answer, checks=CHECKS[: -1 if is_stream else None])
    except (AssertionError, FailureGroup) as error:
        causes = error.exceptions if isinstance(error, FailureGroup) else [error]
        wrong += [f"{made.method} {made.url} {made.body!r:.200}: {str(cause)[:400]}" for cause in causes]
        return 0
    return answer.status_code


@pytest.mark.parametrize(
    ("who", "forms"), [("signed in", [FITS, NOTHING_FITS]), ("with a token", [FITS]), ("nobody", [FITS])]
)
def test_every_answer_is_as_described(world: Furnished, who: str, forms: Sequence[Form]) -> None:
    statuses, wrong = ask(world, WHO[who], forms, examples=1)

    assert "\n".join(wrong) == ""
    assert not any(status >= 500 for status in statuses)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_ten_thousand_answers_are_as_described(world: Furnished) -> None:
    asked = {who: ask(world, headers, FORMS, examples=14) for who, headers in WHO.items()}

    assert "\n".join(problem for _, wrong in asked.values() for problem in wrong) == ""
    assert not any(status >= 500 for statuses, _ in asked.values() for status in statuses)
    assert sum(statuses.total() for statuses, _ in asked.values()) >= 10_000


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(3000)
def test_they_are_on_postgresql_too(any_postgres: PostgresServer, migrated_template: str) -> None:
    name = any_postgres.create_database(template=migrated_template)
    elsewhere = {"database_url": any_postgres.url(name), "pg_bin_dir": any_postgres.bin_dir}
    with furnished(current_session().new_folder("schema"), **elsewhere) as world:
        del world.client.headers["X-CSRF-Token"]

        statuses, wrong = ask(world, WHO["signed in"], FORMS, examples=5)

    any_postgres.drop_database(name)
    assert "\n".join(wrong) == ""
    assert not any(status >= 500 for status in statuses)
