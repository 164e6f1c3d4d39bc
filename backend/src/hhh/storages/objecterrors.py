"""obstore's errors, turned into ours. The only place that knows them.

obstore (0.12) raises its own tree (`obstore.exceptions`), and beside it FileNotFoundError, NotImplementedError,
ValueError for paths, and OSError for all that happens while a writer is closed. Its texts hold whole answers of
servers, and URLs that may be signed: only status, code and message of an answer are passed on.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

from hhh.core.errors import ObjectExists, ObjectMissing, StorageError, StorageFull, StorageUnavailable

#: What raises them; PyO3's own panics are bugs and pass.
OBSTORE_ERRORS = (BaseError, OSError, ValueError, NotImplementedError)

#: They say that the call was wrong, not the store.
_CALLERS = (ValueError, NotImplementedError)

_STATUS = re.compile(r"status code: (\d{3} [A-Za-z -]+)")
_XML = re.compile(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", re.DOTALL)
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")
_SYSTEM = re.compile(r'message: "([^"]*)"|\bkind: (TimedOut)\b|inner: (TimedOut)|source: (TimedOut)')
_NO_PLACE = re.compile(r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist", re.IGNORECASE)
_FULL = re.compile(
    "status code: 507|no space left|disk full|StorageFull|InsufficientStorage|QuotaExceeded|exceeds quota"
    "|EntityTooLarge",
    re.IGNORECASE,
)
_METADATA_SERVICE = ("169.254.169.254", "metadata.google.internal")
_CREDENTIALS = "check the credentials (AWS_…, AZURE_…, GOOGLE_…) and what they are allowed to do"


@contextlib.contextmanager
def mapped_errors(doing: str, *, missing: str | None = None) -> Iterator[None]:
    """Raises a `StorageError` for whatever obstore raises.

    Args:
        doing: what was tried, and where: ``s3://bucket: writing 'a/b'``.
        missing: the message of `ObjectMissing`, where "not found" is about the object. Without it, it is about the
            bucket or an upload, and so a failure of the store.
    """
    try:
        yield
    except OBSTORE_ERRORS as error:
        raise _ours(error, doing, missing) from None


def may_pass(error: Exception) -> bool:
    """Whether the same request may work later: the server was at fault or was not reached, and did not refuse it."""
    status = _STATUS.search(_text(error))
    refused = isinstance(error, (PermissionDeniedError, UnauthenticatedError, FileNotFoundError, *_CALLERS))
    return not refused and (status is None or status[1].startswith(("5", "408", "409", "429")))


def _ours(error: Exception, doing: str, missing: str | None) -> StorageError:
    text = str(error)
    if isinstance(error, AlreadyExistsError):
        return ObjectExists(f"{doing}: there is one already")
    if isinstance(error, FileNotFoundError) and missing and not _NO_PLACE.search(text):
        return ObjectMissing(missing)
    message = f"{doing} failed: {_said(error)}"
    if _FULL.search(text):
        return StorageFull(message, hint="make room, or raise the quota")
    return StorageUnavailable(message, hint=_hint(error))


def _hint(error: Exception) -> str | None:
    text = str(error)
    if any(host in text for host in _METADATA_SERVICE):
        return "no credentials are set, so the cloud's metadata service was asked; set AWS_…, AZURE_… or GOOGLE_…"
    if _NO_PLACE.search(text):
        return "make the bucket, or correct the storage URL"
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or re.search("status code: 40[13]", text):
        return _CREDENTIALS
    if "error sending request" in text:
        return "the server was not reached: check the network, and the endpoint (AWS_ENDPOINT_URL) if one is set"
    return None


def _said(error: Exception) -> str:
    """What the server said, in a line: its status, code and message; or why it was not reached."""
    text = _text(error)
    status = _STATUS.search(text)
    if answer := _XML.search(text):
        said = f"{answer[1]}: {answer[2]}" if answer[2] else answer[1]
    else:
        said = "" if status else _QUERY.sub(r"\1", text.rpartition(" - ")[2])
    causes = [next(filter(None, match)) for match in _SYSTEM.findall(str(error))]
    return ", ".join(filter(None, (status[1].strip() if status else "", _line(said), *causes[-1:])))


def _text(error: Exception) -> str:
    return str(error).partition("\n\nDebug source:")[0]


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
