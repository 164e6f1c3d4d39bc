"""What the page of one backup tells: its manifest in words, who vouches for it, and what was found out about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hhh.core.errors import ConfigurationError, ManifestInvalid
from hhh.core.text import counted
from hhh.models import JobKind
from hhh.schemas.backup import BackupResource
from hhh.schemas.following import News
from hhh.schemas.recovery import RecoveryCommands
from hhh.schemas.restore import ContentsResponse, TableContents
from hhh.schemas.verification import VerificationFilter, VerificationResource
from hhh.services.container import Services
from hhh.services.job_logs import LogLine
from hhh.services.retention import NEWEST_GOOD, NEWEST_PROVEN, PINNED
from hhh.services.trust import trusted_keys

#: How thoroughly a backup can be verified, in words.
LEVELS: Mapping[str, str] = {
    "proven": "Proven: restore it",
    "readable": "Readable: read it",
    "stored": "Stored: hash it",
}
#: What protects a backup, in words.
PROTECTIONS: Mapping[str, str] = {
    PINNED: "it is pinned",
    NEWEST_GOOD: "it is the newest good backup of its database",
    NEWEST_PROVEN: "it is the newest one of its database that a restore has proven",
}
#: So many of its verifications stand on the page, the newest.
VERIFICATIONS = 20
#: So many tables stand on one page of its contents, and so many of its other entries.
TABLES_AT_ONCE = 100
_MOST_ENTRIES = 500

_CONSISTENT: Mapping[str, str] = {
    "postgresql": "All of it is as of one moment, right after it was begun: dump and facts share one transaction "
    "snapshot. Nobody who wrote was held up.",
    "sqlite": "All of it is as of one moment, right after it was begun: one transaction read the file, and whoever "
    "wrote meanwhile went on.",
}
_NAMES: Mapping[str, str] = {"server": "PostgreSQL", "sqlite": "SQLite", "apsw": "APSW", "hhh": "HHH Backup"}


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page of a backup shows."""

    backup: BackupResource
    news: News
    #: Bytes of the dump per second.
    rate: float | None
    manifest: ManifestInWords | None
    verifications: Sequence[VerificationResource]
    commands: RecoveryCommands | None
    #: Why there are no commands.
    problem: ManifestInvalid | None
    log: Sequence[LogLine]

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or waits any more."""
        return self.backup.finished_at is not None


@dataclass(frozen=True, slots=True)
class ManifestInWords:
    """What a manifest says."""

    #: ``PostgreSQL 16.4``, ``a SQLite database``
    source: str
    #: ``pg_dump 16.4, HHH Backup 0.1.0``
    made_by: str
    consistency: str
    attempt: int
    installation: str
    #: The age public keys that it is encrypted for.
    recipients: Sequence[str]
    #: Every object: what it is, its key, bytes, hash.
    objects: Sequence[tuple[str, str, int, str]]
    warnings: Sequence[str]
    signed_by: str
    #: Whose key that is, in words; and whether its signature counts here.
    signer: str
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class Tables:
    """A page of the tables of a backup."""

    found: Sequence[TableContents]
    #: How many there are of that name, and in all.
    matching: int
    total: int
    first: int
    has_more: bool
    entries: Sequence[str]
    more_entries: int


def shown(services: Services, backup_id: str) -> Shown:
    """Everything about one backup; no store is read.

    Raises:
        NotFound: no backup has that id.
    """
    backup = services.catalogue.get(backup_id)
    commands, problem = _commands(services, backup)
    verifications = services.verifications.page(
        VerificationFilter(backup_id=backup_id), cursor=None, limit=VERIFICATIONS
    )
    seconds = backup.duration_seconds
    return Shown(
        backup=backup,
        news=services.following.look(JobKind.BACKUP, backup_id).news,
        rate=backup.raw_size / seconds if backup.raw_size and seconds else None,
        manifest=_in_words(services, backup.manifest) if backup.manifest else None,
        verifications=verifications.items,
        commands=commands,
        problem=problem,
        log=services.job_logs.of(backup_id),
    )


def tables(contents: ContentsResponse, wanted: str, number: int) -> Tables:
    """A page of those tables whose name holds what is wanted.

    Args:
        contents: of the backup.
        wanted: a part of a name, in any case; empty: all.
        number: of the page, from 1.
    """
    matching = [table for table in contents.tables if wanted.lower() in full_name(table).lower()]
    first = (number - 1) * TABLES_AT_ONCE
    entries = [entry for entry in contents.entries if wanted.lower() in entry.lower()]
    return Tables(
        found=matching[first : first + TABLES_AT_ONCE],
        matching=len(matching),
        total=len(contents.tables),
        first=first,
        has_more=len(matching) > first + TABLES_AT_ONCE,
        entries=entries[:_MOST_ENTRIES],
        more_entries=max(0, len(entries) - _MOST_ENTRIES),
    )


def full_name(table: TableContents) -> str:
    """A table with its schema, where it has one."""
    return f"{table.schema_name}.{table.name}" if table.schema_name else table.name


def hashes(manifest: ManifestInWords | None) -> str:
    """The hash of each object, in lines as `sha256sum` writes them."""
    return "".join(f"{digest}  {key}\n" for _, key, _, digest in manifest.objects) if manifest else ""


def found(verification: VerificationResource) -> Sequence[str]:
    """What a verification found, in lines: what speaks against the backup, then what was lacking."""
    differences = [f"{each.name}: {each.found} instead of {each.expected}" for each in verification.differences]
    failed = [f"{each.sql}: {each.found}" for each in verification.failed_assertions]
    copies = [f"{copy.storage}: {copy.problem or copy.status}" for copy in verification.bad_copies]
    return [*verification.errors, *differences, *failed, *copies, *verification.lacking]


def _commands(services: Services, backup: BackupResource) -> tuple[RecoveryCommands | None, ManifestInvalid | None]:
    if backup.manifest is None:
        return None, None
    try:
        return services.recovery_commands.of(backup.id), None
    except ManifestInvalid as error:
        return None, error


def _in_words(services: Services, manifest: Mapping[str, Any]) -> ManifestInWords:
    # As it is stored: one that is damaged is shown as far as it goes.
    versions: Mapping[str, str] = manifest.get("versions") or {}
    engine = str(manifest.get("engine"))
    public_key = str((manifest.get("signature") or {}).get("public_key", ""))
    signer, is_trusted = _signer(services, public_key)
    return ManifestInWords(
        source=f"PostgreSQL {versions.get('server', '')}".strip() if engine == "postgresql" else "a SQLite database",
        made_by=", ".join(_tools(versions)),
        consistency=_CONSISTENT.get(engine, ""),
        attempt=int(manifest.get("attempt", 1)),
        installation=str(manifest.get("installation", "")),
        recipients=list(manifest.get("recipients") or ()),
        objects=list(_objects(manifest)),
        warnings=list(manifest.get("warnings") or ()),
        signed_by=public_key,
        signer=signer,
        is_trusted=is_trusted,
    )


def _tools(versions: Mapping[str, str]) -> Iterator[str]:
    for name, version in versions.items():
        if name == "tool":
            yield version
        elif name != "server":
            yield f"{_NAMES.get(name, name)} {version}"


def _objects(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, int, str]]:
    parts = [("dump", manifest.get("object")), ("facts", manifest.get("facts"))]
    parts += [(str(each.get("name")), each) for each in manifest.get("attachments") or ()]
    for what, part in parts:
        if part:
            yield what, str(part.get("key")), int(part.get("size", 0)), str(part.get("sha256"))


def _signer(services: Services, public_key: str) -> tuple[str, bool]:
    """Whose key it is, and whether it counts here."""
    try:
        trusted = trusted_keys(services.settings, services.identity)
        own = services.identity.signing_key.public_key
    except ConfigurationError as error:
        return f"what is trusted here can't be told: {error}", False
    if public_key == own:
        return "this service's own key", True
    if public_key in trusted:
        return f"a key that this service trusts ({counted(len(trusted), 'key', 'keys')} in all)", True
    return "a key that this service does not trust: restores of it are refused until HHH_TRUSTED_KEYS names it", False
