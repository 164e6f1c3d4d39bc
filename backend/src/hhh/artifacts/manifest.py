"""The manifest: what a backup consists of, signed. `docs/manifest.md` describes it for people."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from hhh.core import signing
from hhh.core.clock import isoformat
from hhh.core.errors import ManifestInvalid
from hhh.engines.base import EngineKind

FORMAT: Final = "hhh-backup-manifest"
VERSION: Final = 1
_SIGNATURE = "signature"

#: Beyond 2^53 tools that hold numbers as doubles (jq, JavaScript) would print another number.
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
#: To the second, in UTC, ending in ``+00:00``.
Moment = Annotated[
    AwareDatetime,
    AfterValidator(lambda moment: moment.astimezone(UTC).replace(microsecond=0)),
    PlainSerializer(isoformat, return_type=str),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredObject(_Model):
    """One object of the backup."""

    #: Its key below the store's prefix.
    key: str
    #: Bytes in the store.
    size: Count
    #: Of the bytes in the store.
    sha256: Sha256
    #: Bytes before compression and encryption.
    raw_size: Count
    compression: Literal["zstd"] | None
    encryption: Literal["age"] | None


class StoredAttachment(StoredObject):
    """A further file of the engine."""

    #: Its suffix, such as ``schema.dump``.
    name: str


class Manifest(_Model):
    """All that is known of a backup without its key. It tells nothing of the content."""

    format: Literal["hhh-backup-manifest"] = FORMAT
    version: Literal[1] = VERSION
    #: Which service took it.
    installation: str
    backup_id: str
    target: str
    backup_file: str
    #: Which attempt at this backup the objects are of.
    attempt: Annotated[Count, Field(ge=1)]
    engine: EngineKind
    created_at: Moment
    finished_at: Moment
    #: The dump.
    object: StoredObject
    #: The facts of the source that a restore is compared with.
    facts: StoredObject
    #: Further files of the engine.
    attachments: tuple[StoredAttachment, ...] = ()
    #: The age public keys that it is encrypted for; none: it is not encrypted.
    recipients: tuple[str, ...]
    #: Versions that a restore must know: ``server``, ``tool``, ``library``, and ``hhh``, our own.
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()


def canonical(document: Mapping[str, Any]) -> bytes:
    r"""The bytes that are signed: those of ``jq -cS``, without its newline.

    Sorted keys, no spaces, UTF-8, only control characters (DEL among them), ``"`` and ``\`` escaped.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("\x7f", "\\u007f").encode()


def sign_manifest(manifest: Manifest, key: signing.SigningKey) -> bytes:
    """The manifest as it is stored: JSON for people to read, with its signature, ending in a newline."""
    document = manifest.model_dump(mode="json")
    signature = {"algorithm": "ed25519", "public_key": key.public_key, "value": key.sign(canonical(document))}
    return (json.dumps(document | {_SIGNATURE: signature}, indent=2, ensure_ascii=False) + "\n").encode()


def parse_manifest(content: bytes, trusted_keys: Collection[str] | None) -> Manifest:
    """Reads a stored manifest and checks its signature.

    Args:
        content: as `sign_manifest` made it.
        trusted_keys: the public keys (base64) whose signature counts; None takes the one that it names itself, which
            proves that it is undamaged, but not whose it is.

    Raises:
        ManifestInvalid: it is no manifest, of a version that is not known here, damaged, or not signed by these keys.
    """
    document = _loaded(content)
    if document.get("format") != FORMAT:
        raise ManifestInvalid(f"This is no manifest: its format is not {FORMAT!r}")
    if document.get("version") != VERSION:
        raise ManifestInvalid(
            f"The manifest's version is {document.get('version')!r}, known is {VERSION}", hint="use a newer release"
        )
    signature = document.pop(_SIGNATURE, None)
    _check_signature(signature, canonical(document), trusted_keys)
    try:
        return Manifest.model_validate_json(canonical(document), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ManifestInvalid(f"The manifest does not fit its format: {place}: {problem['msg']}") from None


def _loaded(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode(), object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
        canonical({"": document})  # a lone surrogate can be written in JSON, but not in UTF-8
    except (ValueError, RecursionError):
        raise ManifestInvalid("The manifest is not the JSON that a manifest is made of; it may be damaged") from None
    if not isinstance(document, dict):
        raise ManifestInvalid("The manifest is not a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a member stands there twice")
    return document


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no integer")


def _check_signature(signature: object, message: bytes, trusted_keys: Collection[str] | None) -> None:
    match signature:
        case {"algorithm": "ed25519", "public_key": str(public_key), "value": str(value), **more} if not more:
            pass
        case _:
            raise ManifestInvalid("The manifest has no signature of a known form")
    if not (_is_base64(public_key) and _is_base64(value) and signing.holds(public_key, message, value)):
        raise ManifestInvalid("The manifest's signature does not hold: it was changed after it was signed")
    if trusted_keys is not None and public_key not in trusted_keys:
        raise ManifestInvalid(
            f"The manifest is signed by a key that is not trusted here: {public_key}",
            hint="if it is of another installation of yours, trust that key first",
        )


def _is_base64(text: str) -> bool:
    """Whether it is the one right way to write its bytes; others would decode to the same."""
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except (binascii.Error, ValueError):
        return False
