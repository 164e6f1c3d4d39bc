"""JSON documents that are signed: manifests and reports. Anybody can check one with ``jq`` and ``openssl``."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from hhh.core import signing
from hhh.core.errors import HHHError

_SIGNATURE = "signature"
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Form(Generic[_Model]):
    """One kind of document."""

    #: What it is called in messages.
    noun: str
    #: Its members ``format`` and ``version``.
    format: str
    version: int
    #: What it holds beside its signature.
    model: type[_Model]
    #: What is raised for one that can't be used.
    invalid: type[HHHError]


def canonical(document: Mapping[str, Any]) -> bytes:
    r"""The bytes that are signed: those of ``jq -cS``, without its newline.

    Sorted keys, no spaces, UTF-8, only control characters (DEL among them), ``"`` and ``\`` escaped.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("\x7f", "\\u007f").encode()


def sign(document: Mapping[str, Any], key: signing.SigningKey) -> bytes:
    """The document with its signature: JSON for people to read, ending in a newline. It has no fractions."""
    signature = {"algorithm": "ed25519", "public_key": key.public_key, "value": key.sign(canonical(document))}
    return (json.dumps({**document, _SIGNATURE: signature}, indent=2, ensure_ascii=False) + "\n").encode()


def read(content: bytes, form: Form[_Model], trusted_keys: Collection[str] | None) -> _Model:
    """Reads a signed document and checks its signature.

    Args:
        content: as `sign` made it.
        form: what it should be.
        trusted_keys: the public keys (base64) whose signature counts; None takes the one that it names itself, which
            proves that it is undamaged, but not whose it is.

    Raises:
        HHHError: that of the form: it is not of it, of a version that is not known here, damaged, or not signed by
            these keys.
    """
    document = _loaded(content, form)
    if document.get("format") != form.format:
        raise form.invalid(f"This is no {form.noun}: its format is not {form.format!r}")
    if document.get("version") != form.version:
        raise form.invalid(
            f"The {form.noun}'s version is {document.get('version')!r}, known is {form.version}",
            hint="use a newer release",
        )
    signature = document.pop(_SIGNATURE, None)
    _check_signature(signature, canonical(document), form, trusted_keys)
    try:
        return form.model.model_validate_json(canonical(document), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise form.invalid(f"The {form.noun} does not fit its format: {place}: {problem['msg']}") from None


def signer(content: bytes) -> str:
    """The public key (base64) that a document, which `read` took, is signed by."""
    return str(json.loads(content)[_SIGNATURE]["public_key"])


def _loaded(content: bytes, form: Form[Any]) -> dict[str, Any]:
    try:
        document = json.loads(content.decode(), object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
        canonical({"": document})  # a lone surrogate can be written in JSON, but not in UTF-8
    except (ValueError, RecursionError):
        raise form.invalid(
            f"The {form.noun} is not the JSON that a {form.noun} is made of; it may be damaged"
        ) from None
    if not isinstance(document, dict):
        raise form.invalid(f"The {form.noun} is not a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a member stands there twice")
    return document


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no integer")


def _check_signature(signature: object, message: bytes, form: Form[Any], trusted_keys: Collection[str] | None) -> None:
    match signature:
        case {"algorithm": "ed25519", "public_key": str(public_key), "value": str(value), **more} if not more:
            pass
        case _:
            raise form.invalid(f"The {form.noun} has no signature of a known form")
    if not (_is_base64(public_key) and _is_base64(value) and signing.holds(public_key, message, value)):
        raise form.invalid(f"The {form.noun}'s signature does not hold: it was changed after it was signed")
    if trusted_keys is not None and public_key not in trusted_keys:
        raise form.invalid(
            f"The {form.noun} is signed by a key that is not trusted here: {public_key}",
            hint="trust that key only if you know from elsewhere that it is of an installation of yours",
        )


def _is_base64(text: str) -> bool:
    """Whether it is the one right way to write its bytes; others would decode to the same."""
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except (binascii.Error, ValueError):
        return False
