"""The manifest: what a backup consists of, signed. `docs/manifest.md` describes it for people."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from hhh.core import signed_json, signing
from hhh.core.clock import isoformat
from hhh.core.errors import ManifestInvalid
from hhh.engines.base import EngineKind

FORMAT: Final = "hhh-backup-manifest"
VERSION: Final = 1

#: Beyond 2^53 tools that hold numbers as doubles (jq, JavaScript) would print another number.
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _to_the_second(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError:  # the first or last hours of the calendar, with an offset
        raise ValueError("a moment that UTC has no date for") from None


#: To the second, in UTC, ending in ``+00:00``.
Moment = Annotated[
    AwareDatetime,
    AfterValidator(_to_the_second),
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

    @property
    def objects(self) -> tuple[StoredObject, ...]:
        """All that a backup consists of, beside this."""
        return (self.object, self.facts, *self.attachments)


_FORM = signed_json.Form("manifest", FORMAT, VERSION, Manifest, ManifestInvalid)


def sign_manifest(manifest: Manifest, key: signing.SigningKey) -> bytes:
    """The manifest as it is stored: JSON for people to read, with its signature, ending in a newline."""
    return signed_json.sign(manifest.model_dump(mode="json"), key)


def parse_manifest(content: bytes, trusted_keys: Collection[str] | None) -> Manifest:
    """Reads a stored manifest and checks its signature.

    Args:
        content: as `sign_manifest` made it.
        trusted_keys: the public keys (base64) whose signature counts; None takes the one that it names itself, which
            proves that it is undamaged, but not whose it is.

    Raises:
        ManifestInvalid: it is no manifest, of a version that is not known here, damaged, or not signed by these keys.
    """
    return signed_json.read(content, _FORM, trusted_keys)
