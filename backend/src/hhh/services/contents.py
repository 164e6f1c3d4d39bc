"""What is in a backup, without restoring it: from its facts, and from the small archive of its schema."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from hhh.artifacts.retrieval import StoredBackup
from hhh.core.config import Settings
from hhh.core.run import Unattended
from hhh.core.scratch import scratch_folder
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.contents import contents, definitions
from hhh.engines.restoring import SCHEMA_DUMP
from hhh.schemas.facts import Facts, SqliteFacts
from hhh.schemas.restore import ContentsResponse, TableContents
from hhh.services.copies import Copies, first_that_answers


class Contents:
    """Looks into backups."""

    def __init__(self, settings: Settings, copies: Copies) -> None:
        self._settings = settings
        self._copies = copies

    def of(self, backup_id: str) -> ContentsResponse:
        """Its tables with their rows and definitions. The dump itself is not read.

        Raises:
            NotFound, ManifestInvalid, ConfigurationError: see `Copies.of`.
            IdentityMissing: it is encrypted, and no identity is here that opens it.
            ObjectMissing, ArtifactDamaged, StorageUnavailable: no copy is what was stored.
            ScratchError: there is no place to work.
        """
        return first_that_answers(self._copies.of(backup_id), self._look)

    def _look(self, copy: StoredBackup) -> ContentsResponse:
        manifest, facts = copy.manifest, copy.facts()
        with self._schema(copy) as archive:
            defined = definitions(archive) if archive else _definitions(facts)
            return ContentsResponse(
                backup_id=manifest.backup_id,
                engine=manifest.engine,
                raw_size=manifest.object.raw_size,
                stored_size=manifest.object.size,
                facts=facts.model_dump(mode="json", exclude={"tables", "definitions"}),
                tables=[
                    TableContents(
                        schema_name=table.schema_name,
                        name=table.name,
                        rows=table.rows,
                        definition=defined.get((table.schema_name, table.name)),
                    )
                    for table in facts.tables
                ],
                entries=_entries(facts, archive),
            )

    @contextlib.contextmanager
    def _schema(self, copy: StoredBackup) -> Iterator[Archive | None]:
        """The archive without rows that stands beside a dump of PostgreSQL; imports have none."""
        stored = next((each for each in copy.manifest.attachments if each.name == SCHEMA_DUMP), None)
        if stored is None:
            yield None
            return
        with scratch_folder(self._settings.scratch_dir, "peek") as scratch:
            path: Path = scratch / SCHEMA_DUMP
            copy.fetch(stored, path, Unattended())
            yield Archive.read(path)


def _definitions(facts: Facts) -> Mapping[tuple[str, str], str]:
    """Those that stand in the facts themselves."""
    known = (facts.definitions or []) if isinstance(facts, SqliteFacts) else []
    return {("", name): sql for kind, name, _, sql in known if kind == "table" and sql}


def _entries(facts: Facts, archive: Archive | None) -> list[str]:
    if archive:
        return [f"{what}, {owner}" if owner else what for what, owner in contents(archive)]
    return [f"{kind} {name}" for kind, name in facts.objects] if isinstance(facts, SqliteFacts) else []
