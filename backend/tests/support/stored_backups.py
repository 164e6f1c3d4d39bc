"""Backups in a store that no service took: made of bytes, with a manifest that holds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyrage
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest, StoredAttachment, StoredObject, sign_manifest
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.signing import SigningKey
from hhh.engines.base import EngineKind
from hhh.schemas.facts import Facts, SqliteFacts
from hhh.storages.base import Storage

#: Of an empty database.
FACTS = SqliteFacts(
    sqlite_version="3.54.0",
    page_size=4096,
    page_count=2,
    journal_mode="wal",
    encoding="UTF-8",
    user_version=0,
    application_id=0,
    auto_vacuum=0,
    integrity_check="ok",
    quick_check="ok",
    tables=[],
    objects=[],
)


def zstd(content: bytes, *, level: int = 1) -> bytes:
    """One frame, as a backup has it."""
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)


@dataclass
class BackupMaker:
    """Puts backups into a store, of whatever content a test wants to have there."""

    storage: Storage
    encrypted: bool = False
    identity: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)
    signing_key: SigningKey = field(default_factory=lambda: SigningKey(Ed25519PrivateKey.generate()))
    target: str = "app"
    backup_file: str = "backup_20250101_120000.sql"

    @property
    def keys(self) -> ArtifactKeys:
        """The keys of the next backup."""
        return ArtifactKeys("installation", self.target, self.backup_file, 1, self.encrypted)

    @property
    def identities(self) -> Identities:
        """Those that open it."""
        return Identities([str(self.identity)])

    def store(self, content: bytes, attachments: Mapping[str, bytes] | None = None, facts: Facts = FACTS) -> Manifest:
        """A whole backup."""
        stored = {
            suffix: self.put(self.keys.attachment(suffix), zstd(each), len(each))
            for suffix, each in (attachments or {}).items()
        }
        raw_facts = facts.model_dump_json().encode()
        manifest = Manifest(
            installation="installation",
            backup_id="5f1f2f0e-0000-4000-8000-000000000000",
            target=self.target,
            backup_file=self.backup_file,
            attempt=1,
            engine=EngineKind(facts.engine),
            created_at=datetime(2025, 1, 1, 12, tzinfo=UTC),
            finished_at=datetime(2025, 1, 1, 12, 0, 9, tzinfo=UTC),
            object=self.put(self.keys.object, zstd(content), len(content)),
            facts=self.put(self.keys.facts, raw_facts, len(raw_facts), compressed=False),
            attachments=tuple(StoredAttachment(name=suffix, **each.model_dump()) for suffix, each in stored.items()),
            recipients=self._recipients.names,
            versions={"server": "3.54.0", "hhh": "0.1.0"},
        )
        self.storage.create(self.keys.manifest, sign_manifest(manifest, self.signing_key))
        return manifest

    def put(self, key: str, packed: bytes, raw_size: int, *, compressed: bool = True) -> StoredObject:
        """One object, encrypted if all are, as a manifest describes it; `packed` need not be what it should be."""
        content = self._recipients.encrypt(packed) if self.encrypted else packed
        self.replace(key, content)
        return StoredObject(
            key=key,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            raw_size=raw_size,
            compression="zstd" if compressed else None,
            encryption="age" if self.encrypted else None,
        )

    def replace(self, key: str, content: bytes) -> None:
        """Puts something else in the place of an object."""
        with self.storage.open_writer(key) as writer:
            writer.write(content)

    def opened(self, manifest: Manifest, identities: Identities | None = None) -> StoredBackup:
        """The backup as a restore sees it."""
        return StoredBackup(self.storage, manifest, self.identities if identities is None else identities)

    @property
    def _recipients(self) -> Recipients:
        return Recipients([str(self.identity.to_public())] if self.encrypted else [])
