"""Drills of backups that are made of a dump and facts, which need not be of the same moment."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from hhh.artifacts.retrieval import StoredBackup
from hhh.core.run import Run, Unattended
from hhh.core.scratch import scratch_folder
from hhh.engines.base import DumpResult, EngineKind
from hhh.engines.sqlite.url import path_in
from hhh.schemas.facts import Facts
from hhh.schemas.policy import ProofFields
from hhh.schemas.verification import CheckedCopy, VerificationResult
from hhh.services.drill import Drill
from hhh.services.proof import verdict
from hhh.storages.local import LocalStorage
from support.engine_rigs import EngineRig
from support.proving import changing
from support.stored_backups import BackupMaker


class Drilling:
    """Backups of a rig's database, and what a drill finds of them."""

    def __init__(self, folder: Path, rig: EngineRig) -> None:
        self.rig = rig
        self._folder = folder
        self._count = 0
        #: Where drills work.
        self.scratch_dir = folder / "drills"
        self.workplace = rig.workplace
        #: The server that is named for drills; None is one that is thrown away.
        self.server_url: str | None = None

    def execute(self, *statements: str) -> None:
        """Changes the database."""
        if self.rig.kind is EngineKind.SQLITE:
            with changing(path_in(self.rig.url)) as file:
                for statement in statements:
                    file.execute(statement)
        else:
            with psycopg.connect(self.rig.url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

    def take(self, *, fingerprint: Any = "off") -> "Taken":
        """A dump and its facts as they are now."""
        try:
            content, result = self.rig.take_dump(fingerprint=fingerprint)
            attachments = {each.suffix: each.path.read_bytes() for each in result.attachments}
        finally:
            for file in self.rig.workplace.scratch.iterdir():
                file.unlink()
        return Taken(content, result, attachments)

    def stores(self) -> list[Path]:
        """The files of all backups."""
        return [path for path in self._folder.glob("store*/**/*") if path.is_file()]

    def store(self, dump: "Taken", facts: "Taken | None" = None) -> StoredBackup:
        """A backup with the dump of one moment, and the facts and the schema of another."""
        self._count += 1
        of = facts or dump
        maker = BackupMaker(LocalStorage(self._folder / f"store{self._count}"))
        return maker.opened(maker.store(dump.content, of.attachments, of.facts))

    def drill(
        self,
        backup: StoredBackup,
        run: Run | None = None,
        *,
        policy: Mapping[str, Any] | None = None,
    ) -> VerificationResult:
        """What a drill finds; nothing is left of it."""
        demand = ProofFields.model_validate(dict(policy or {}))
        try:
            with scratch_folder(self.scratch_dir, "test") as scratch:
                workplace = replace(self.workplace, scratch=scratch)
                found = Drill(backup, demand, self.server_url, workplace, run or Unattended()).perform()
        finally:
            assert list(self.scratch_dir.iterdir()) == []
        return found.result([CheckedCopy(storage="default", status="good", size=1)])

    def drill_of(self, dump: "Taken", facts: "Taken | None" = None, **policy: Any) -> VerificationResult:
        """What a drill finds of a backup of that dump with those facts."""
        return self.drill(self.store(dump, facts), policy=policy)


class Taken:
    """A dump, and what is known of it."""

    def __init__(self, content: bytes, result: DumpResult, attachments: Mapping[str, bytes]) -> None:
        self.content = content
        self.facts: Facts = result.facts
        self.attachments = attachments

    def with_facts(self, **changed: Any) -> "Taken":
        """The same with other facts."""
        other = copy.copy(self)
        other.facts = self.facts.model_copy(update=changed)
        return other


def status_of(result: VerificationResult) -> str:
    """What it comes to where a proof was asked for."""
    return verdict(result, "proven")[0].value


def told(result: VerificationResult) -> dict[str, tuple[str, str]]:
    """The differences by their names: what was expected, and what was found."""
    return {each.name: (each.expected, each.found) for each in result.differences}
