import builtins

import obstore.exceptions
import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from hhh.core.errors import ObjectExists, ObjectMissing, StorageError, StorageFull, StorageUnavailable
from hhh.storages.objecterrors import mapped_errors, may_pass

OBSTORES_OWN = [each for each in vars(obstore.exceptions).values() if isinstance(each, type)]
BESIDE_THEM = [FileNotFoundError, NotImplementedError, ValueError, OSError, TimeoutError, PermissionError]


def mapped(error: Exception, *, missing: str | None = None) -> StorageError:
    with pytest.raises(StorageError) as raised, mapped_errors("s3://bucket: reading 'a'", missing=missing):
        raise error
    return raised.value


def answer(status: str, body: str = "") -> str:
    return (
        "Generic S3 error: Error performing PUT https://host/bucket/a?partNumber=1&sig=very-secret in 2.2s, after 3 "
        f"retries, max_retries: 9, retry_timeout: 2s  - Server returned non-2xx status code: {status}: {body}"
        "\n\nDebug source:\nGeneric { secrets: very-secret }"
    )


@pytest.mark.parametrize("kind", [*OBSTORES_OWN, *BESIDE_THEM])
def test_no_error_of_obstore_passes_unmapped(kind: type[Exception]) -> None:
    assert mapped(kind("a reason")).message.startswith("s3://bucket: reading 'a'")


def test_the_tree_of_obstore_is_the_one_that_was_read() -> None:
    assert len(OBSTORES_OWN) == 12
    assert all(issubclass(each, BaseError) for each in OBSTORES_OWN)
    assert all(getattr(builtins, each.__name__) is each for each in BESIDE_THEM)


def test_what_is_there_and_what_is_missing_are_told_apart() -> None:
    assert isinstance(mapped(AlreadyExistsError("x")), ObjectExists)
    assert isinstance(mapped(FileNotFoundError("x"), missing="no object 'a'"), ObjectMissing)
    assert isinstance(mapped(FileNotFoundError("<Code>NoSuchBucket</Code>"), missing="x"), StorageUnavailable)
    assert isinstance(mapped(FileNotFoundError("x")), StorageUnavailable)


def test_an_answer_is_told_by_its_status_code_and_message() -> None:
    body = "<Error><Code>SlowDown</Code><Message>Reduce\nyour rate</Message><HostId>x</HostId></Error>"

    error = mapped(GenericError(answer("503 Service Unavailable", body)))

    assert error.message == "s3://bucket: reading 'a' failed: 503 Service Unavailable, SlowDown: Reduce your rate"


def test_a_connection_that_was_refused_is_told_as_that() -> None:
    text = (
        "Generic S3 error: Error performing PUT http://127.0.0.1:1/b/k in 2.0s, after 7 retries, max_retries: 10, "
        'retry_timeout: 2s  - HTTP error: error sending request\n\nDebug source:\nOs { message: "Connection refused" }'
    )

    error = mapped(GenericError(text))

    assert error.message.endswith("failed: HTTP error: error sending request, Connection refused")
    assert "AWS_ENDPOINT_URL" in (error.hint or "")


def test_no_url_and_no_debug_text_is_passed_on() -> None:
    for error in (
        GenericError(answer("500 Internal Server Error")),
        GenericError("Error performing GET https://host/c?sig=very-secret - failed at https://host/c?sig=very-secret"),
        OSError(answer("403 Forbidden", "<Code>AuthFailed</Code><StringToSign>very-secret</StringToSign>")),
    ):
        assert "very-secret" not in str(mapped(error))


@pytest.mark.parametrize(
    "text",
    [
        answer("507 Insufficient Storage"),
        answer("413 Content Too Large", "<Code>EntityTooLarge</Code><Message>Upload exceeds quota.</Message>"),
        answer("500 Internal Server Error", "<Code>XMinioStorageFull</Code>"),
        "No space left on device",
    ],
)
def test_a_full_store_is_told_as_full(text: str) -> None:
    assert isinstance(mapped(GenericError(text)), StorageFull)
    assert isinstance(mapped(OSError(text)), StorageFull)


def test_refusals_say_that_credentials_are_to_be_checked() -> None:
    for error in (PermissionDeniedError("x"), UnauthenticatedError("x"), OSError(answer("403 Forbidden"))):
        assert "credentials" in str(mapped(error).hint)
    asked = GenericError("Error performing PUT http://169.254.169.254/latest/api/token in 2ms - HTTP error: x")
    assert "no credentials are set" in str(mapped(asked).hint)


def test_only_what_the_server_or_the_way_to_it_is_at_fault_for_may_pass() -> None:
    assert may_pass(GenericError(answer("503 Service Unavailable")))
    assert may_pass(GenericError("HTTP error: error sending request"))
    assert may_pass(OSError(answer("429 Too Many Requests")))
    assert not may_pass(GenericError(answer("400 Bad Request")))
    assert not may_pass(PermissionDeniedError("x"))
    assert not may_pass(FileNotFoundError("x"))
    assert not may_pass(ValueError("a path"))
