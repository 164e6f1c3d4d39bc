import pytest
from starlette.exceptions import HTTPException

from hhh.web.ranges import asked_range, is_known

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=0-9", (0, 9)),
        ("bytes=3-", (3, 9)),
        ("bytes=3-5", (3, 5)),
        ("bytes=3-500", (3, 9)),
        ("bytes=9-9", (9, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-300", (0, 9)),
        ("Bytes= 3-5 ", (3, 5)),
    ],
)
def test_one_range_is_answered(asked: str, answered: tuple[int, int]) -> None:
    assert asked_range({"range": asked}, ETAG, 10) == answered


@pytest.mark.parametrize(
    "asked",
    ["", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-3", "bytes=0-1,3-4", "lines=0-1", "bytes 0-1", "bytes=²-³", "0-1"],
)
def test_what_is_no_single_range_is_answered_with_all(asked: str) -> None:
    assert asked_range({"range": asked}, ETAG, 10) is None
    assert asked_range({}, ETAG, 10) is None


@pytest.mark.parametrize(
    ("asked", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_behind_the_end_is_refused_with_the_size(asked: str, size: int) -> None:
    with pytest.raises(HTTPException) as raised:
        asked_range({"range": asked}, ETAG, size)

    assert raised.value.status_code == 416
    assert raised.value.headers == {"Content-Range": f"bytes */{size}"}


@pytest.mark.parametrize(
    ("version", "answered"),
    [(ETAG, (3, 5)), ('"other"', None), ('W/"abc"', None), ("Wed, 01 Jan 2025 12:00:00 GMT", None)],
)
def test_a_range_of_another_version_is_answered_with_all(version: str, answered: tuple[int, int] | None) -> None:
    assert asked_range({"range": "bytes=3-5", "if-range": version}, ETAG, 10) == answered


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (ETAG, True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ("*", True),
        ('"abcd"', False),
        ("abc", False),
        ("", False),
    ],
)
def test_what_the_client_has_is_recognised(header: str, *, known: bool) -> None:
    assert is_known({"if-none-match": header}, ETAG) is known
