"""The API against whoever means harm: every endpoint of the description, so that none can be forgotten.

Each answer is held against the description as well (`support.described`), so that an error of another shape fails.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from hhh.web.csrf import EXEMPT_PATHS
from support import described
from support.furnished import Furnished, furnished
from support.session import current_session
from support.sign_in import sign_in

DESCRIPTION = described.description()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
]
MUTATING = [(method, path) for method, path, _ in OPERATIONS if method != "GET" and path not in EXEMPT_PATHS]
WITH_PLACES = [(method, path) for method, path, _ in OPERATIONS if "{" in path]
WITH_BODIES = [(method, path) for method, path, operation in OPERATIONS if "requestBody" in operation]
JSON = {"Content-Type": "application/json"}
#: Where somebody could be led, or a header begun, by what is repeated.
INJECTED = "x\r\nSet-Cookie: stolen=1\r\n\r\n<script>alert(1)</script>"


@pytest.fixture(scope="module")
def world() -> Iterator[Furnished]:
    with furnished(current_session().new_folder("hostile")) as found:
        yield found


def example(method: str, path: str) -> Any:
    """A body that fits."""
    return DESCRIPTION["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["example"]


def codes(answers: Mapping[Any, httpx.Response]) -> dict[Any, str]:
    """By the code of its error; what is no error by its status."""
    return {
        asked: answer.json()["error"]["code"] if answer.is_error else str(answer.status_code)
        for asked, answer in answers.items()
    }


# ------------------------------------------------------------------------------------------------------- forgeries


def test_no_request_of_another_site_changes_anything(world: Furnished) -> None:
    other = TestClient(world.client.app, follow_redirects=False)
    sign_in(other)
    ours, theirs = world.client.cookies["hhh_csrf"], other.cookies["hhh_csrf"]
    session = f"hhh_at={world.client.cookies['hhh_at']}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    forgeries: Mapping[str, tuple[dict[str, str], str]] = {
        "missing": (JSON, "{}"),
        "empty": ({**JSON, "X-CSRF-Token": ""}, "{}"),
        "cut": ({**JSON, "X-CSRF-Token": ours[:-1]}, "{}"),
        "of another session": ({**JSON, "X-CSRF-Token": theirs}, "{}"),
        "of another session, planted": (
            {**JSON, "X-CSRF-Token": theirs, "Cookie": f"{session}; hhh_csrf={theirs}"},
            "{}",
        ),
        "of nobody, planted": ({**JSON, "X-CSRF-Token": "a.b", "Cookie": f"{session}; hhh_csrf=a.b"}, "{}"),
        "no cookie": ({**JSON, "X-CSRF-Token": ours, "Cookie": session}, "{}"),
        "a form": (form, "target=shop"),
        "a form with another's": (form, f"csrf_token={theirs}"),
        "a form that is called text": ({"Content-Type": "text/plain"}, f"csrf_token={ours}"),
        "in the body": (JSON, json.dumps({"csrf_token": ours})),
    }
    forger = TestClient(world.client.app, follow_redirects=False)
    before = world.rows()

    answers = {
        (method, path, way): forger.request(
            method,
            world.path(path),
            content=body,
            headers={"Cookie": f"{session}; hhh_csrf={ours}", **headers},
        )
        for (method, path), (way, (headers, body)) in product(MUTATING, forgeries.items())
    }

    assert {asked for asked, code in codes(answers).items() if code != "ERR_CSRF_INVALID"} == set()
    assert _without_sessions(world.rows()) == _without_sessions(before)


def test_who_sends_a_token_of_nobody_gains_nothing_by_the_cookies_beside_it(world: Furnished) -> None:
    before = world.rows()

    answers = {
        (method, path): world.client.request(
            method, world.path(path), content="{}", headers={**JSON, "Authorization": "Bearer hhh_none"}
        )
        for method, path in MUTATING
    }

    assert {*codes(answers).values()} <= {"ERR_INVALID_CREDENTIALS", "ERR_SESSION_REQUIRED"}
    assert _without_sessions(world.rows()) == _without_sessions(before)


def _without_sessions(rows: dict[str, set[tuple[object, ...]]]) -> dict[str, set[tuple[object, ...]]]:
    """When a session or a token was seen last is written whenever somebody asks."""
    return {name: found for name, found in rows.items() if name not in {"sessions", "user_sessions", "api_tokens"}}


# ----------------------------------------------------------------------------------------------------------- names

ESCAPES = (
    *("..%2f..%2fetc%2fpasswd", "..%252f..%252fetc%252fpasswd", "%2e%2e", "%2fetc%2fpasswd", "%00", "shop%00.db"),
    *("..%5c..%5c", "%ff%fe", "%0d%0aSet-Cookie:%20stolen=1", "%ef%bb%bf", "C:%5c", "%E2%80%AE", "~root", "x" * 5000),
)


def test_no_name_in_a_path_leads_anywhere_else(world: Furnished) -> None:
    before = world.rows()
    for (method, path), name in product(WITH_PLACES, ESCAPES):
        start, _, rest = path.partition("{")
        asked = f"{start}{name}{rest.partition('}')[2]}"

        answer = world.client.request(method, asked, content="{}", headers=JSON)

        assert answer.status_code in {400, 401, 404, 405, 409, 422}, (method, asked[:80], answer.text)
        assert "stolen" not in answer.headers.get("Set-Cookie", "")
        assert "root:" not in answer.text
    assert _without_sessions(world.rows()).keys() == before.keys() - {"sessions", "user_sessions", "api_tokens"}


#: Fields of bodies that become names, places, or parts of commands.
_PATHLIKE = ("../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\0b", "file:///etc/passwd", "-rf", "$(id)", INJECTED)


def test_no_field_of_a_body_leads_anywhere_else(world: Furnished) -> None:
    for method, path in WITH_BODIES:
        body = example(method, path)
        for at, field in enumerate(name for name in body if isinstance(body[name], str)):
            value = _PATHLIKE[(at + len(path)) % len(_PATHLIKE)]

            answer = world.client.request(method, world.path(path), json={**body, field: value})

            assert answer.status_code < 500, (method, path, field, value, answer.text)
            assert "stolen" not in answer.headers.get("Set-Cookie", "")
            assert "root:" not in answer.text


# --------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("header", ["X-Request-ID", "Prefer", "Range", "If-None-Match", "If-Range", "Last-Event-ID"])
@pytest.mark.parametrize("value", [b"x\xff\xfe", b"x\x00y", b"x\x0bSet-Cookie: stolen=1", b"y" * 20_000, b"bytes=9-1"])
def test_no_header_comes_back_as_it_was_sent(world: Furnished, header: str, value: bytes) -> None:
    backup = f"/api/v1/backups/{world.ids['backup_id']}"
    for path in (backup, f"{backup}/download", f"{backup}/events"):
        answer = world.client.get(path, headers={header.encode(): value})

        assert answer.status_code < 500
        assert len(answer.headers["X-Request-ID"]) <= 64
        assert all(value not in each for pair in answer.headers.raw for each in pair)


# ------------------------------------------------------------------------------------------------------------ JSON

_DEEP = 100_000
ODD_JSON: Mapping[str, bytes] = {
    "deep arrays": b"[" * _DEEP + b"]" * _DEEP,
    "open arrays": b"[" * (1 << 20),
    "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "more than is read": b"[" * ((1 << 20) + 1),
    "not a number": b'{"limit": NaN, "name": Infinity, "target": -Infinity}',
    "a number of 5,000 digits": b'{"name": ' + b"9" * 5000 + b', "jitter_seconds": ' + b"9" * 5000 + b"}",
    "a great exponent": b'{"jitter_seconds": 1e999999999, "retries": -1e999}',
    "half a pair": b'{"name": "\\ud800", "target": "\\udfff", "\\ud800": 1}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "a NUL": b'{"name": "a\\u0000b", "target": "\\u0000", "email": "\\u0000"}',
    "twice": b'{"target": "shop", "target": ["x"], "name": "a", "name": {}}',
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "null": b"null",
    "a text": b'"x"',
    "a number": b"1",
    "a list": b"[{}]",
    "prototypes": b'{"__proto__": {"x": 1}, "__class__": "x", "constructor": 1}',
}


@pytest.mark.parametrize("body", ODD_JSON.values(), ids=ODD_JSON)
def test_odd_json_is_refused_with_an_error_of_the_one_shape(world: Furnished, body: bytes) -> None:
    harmless = {("POST", "/api/v1/backups/trigger"), ("DELETE", "/api/v1/backups/{backup_id}")}
    for method, path in WITH_BODIES:
        if (method, path) in harmless and body in (b"", b"null"):
            continue  # they need none

        answer = world.client.request(method, world.path(path), content=body, headers=JSON)

        assert answer.status_code < 500, (method, path, answer.text)


#: Each field is given two of them.
OTHERS: Sequence[Any] = ({}, [[]], {"a": {}}, True, -1, 1e308, "", "x" * 70_000, [None] * 2000)


def test_no_field_takes_another_type(world: Furnished) -> None:
    for method, path in WITH_BODIES:
        body = example(method, path)
        for at, field in enumerate([*body, *body]):
            value = OTHERS[(at + len(path)) % len(OTHERS)]

            answer = world.client.request(method, world.path(path), json={**body, field: value})

            assert answer.status_code < 500, (method, path, field, str(value)[:40], answer.text)


# ------------------------------------------------------------------------------------------------------- the rest


def test_what_is_asked_for_by_parameters_is_checked(world: Furnished) -> None:
    odd = ("", "\0", "9" * 5000, "-1", "1e9", "NaN", "[]", "%", INJECTED, "\ud7ff\uffff", "' OR 1=1--", "x" * 5000)
    for method, path, operation in OPERATIONS:
        names = [each["name"] for each in operation["parameters"] if each.get("in") == "query"]
        for at, name in enumerate([*names, *names, *names] if method == "GET" else ()):
            value = odd[(at + len(path)) % len(odd)]

            answer = world.client.get(f"{world.path(path)}?{name}={quote(value)}")

            assert answer.status_code < 500, (path, name, value, answer.text)
            assert "stolen" not in answer.headers.get("Set-Cookie", "")


def test_other_methods_are_refused(world: Furnished) -> None:
    before = world.rows()
    known = {path: {method.upper() for method in methods} for path, methods in DESCRIPTION["paths"].items()}

    answers = {
        (method, path): world.client.request(method, world.path(path)).status_code
        for path in known
        for method in {"PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "HEAD", "CONNECT", "BREW"} - known[path]
    }

    assert {asked for asked, status in answers.items() if status != 405 and not _is_of_another(*asked)} == set()
    assert max(answers.values()) < 500
    assert _without_sessions(world.rows()) == _without_sessions(before)


def _is_of_another(method: str, path: str) -> bool:
    """Whether `/backups/logs` is `/backups/{backup_id}` for that method: no backup has that id."""
    above = path.rpartition("/")[0]
    return any(
        each.rpartition("/")[0] == above and "{" in each and method.lower() in methods
        for each, methods in DESCRIPTION["paths"].items()
    )
