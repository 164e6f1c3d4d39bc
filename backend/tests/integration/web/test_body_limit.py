"""Nobody fills the service's memory with a request."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from hhh.web.body_limit import LARGEST_BODY
from support.sign_in import EMAIL, LOGIN, PASSWORD

JSON = {"Content-Type": "application/json"}


def padded(size: int) -> bytes:
    """A request to sign in that is that long."""
    return f'{{"email": "{EMAIL}", "password": "{PASSWORD}"}}'.encode().ljust(size)


def without_a_length(body: bytes) -> Iterator[bytes]:
    """As a client sends it that does not tell the size beforehand."""
    yield body[: LARGEST_BODY // 2]
    yield body[LARGEST_BODY // 2 :]


def test_the_largest_body_is_taken(client: TestClient) -> None:
    assert client.post(LOGIN, content=padded(LARGEST_BODY), headers=JSON).status_code == 200


@pytest.mark.parametrize("framed", [bytes, without_a_length], ids=["with-length", "chunked"])
def test_a_larger_one_is_refused(client: TestClient, framed: type[bytes]) -> None:
    answer = client.post(LOGIN, content=framed(padded(LARGEST_BODY + 1)), headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "ERR_HTTP_413"
    assert "larger than 1048576 bytes" in answer.json()["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
