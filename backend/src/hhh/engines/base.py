"""What every database engine can do."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hhh.core.run import Run
from hhh.schemas.facts import Facts
from hhh.schemas.policy import Fingerprint


class EngineKind(StrEnum):
    """The kinds of database, as a manifest names them."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class DumpForm(StrEnum):
    """What a dump is made of."""

    #: The rows of tables, one after the other.
    ROWS = "rows"
    #: The pages of a database file.
    PAGES = "pages"


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a dump may work."""

    #: A private, empty folder (0700) of this run alone; whoever made it removes it.
    scratch: Path
    #: A folder with PostgreSQL's programs, searched before all others.
    pg_bin_dir: Path | None = None
    #: The account that throw-away servers run as where this process is root; None: ``postgres``, else ``nobody``.
    drill_user: str | None = None
    #: Files and folders that code of a dump may not see, beside the folder that `scratch` is in.
    hidden: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a look at a target tells."""

    #: For people: ``PostgreSQL 16.4``, ``SQLite, 12 tables``.
    description: str
    #: Bytes of the database as its server counts them; None where unknown.
    size: int | None
    #: Of the server, ``16.4``; empty where there is none.
    version: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A further file of the backup, beside the dump."""

    #: Its place in the object's key: ``<backup_file>.<attempt>.<suffix>.zst``, e.g. ``schema.dump``.
    suffix: str
    #: The file, in the scratch of the run.
    path: Path


@dataclass(frozen=True, slots=True)
class DumpResult:
    """What is known once the dump is whole."""

    facts: Facts
    #: Versions that a restore must know, in clear in the manifest: ``server``, ``tool``, ``library``.
    versions: Mapping[str, str]
    attachments: tuple[Attachment, ...] = ()
    #: Told to the operator and kept in the manifest, in clear: they name nothing of the content. What does so goes into
    #: the facts' own warnings.
    warnings: tuple[str, ...] = ()


def facts_warning(count: int) -> tuple[str, ...]:
    """What the manifest says of warnings that are told in the facts, where they may be encrypted."""
    return (f"There are warnings in the facts of this backup: {count}",) if count else ()


class Dump(ABC):
    """A dump under way."""

    #: What `stdout` gives.
    form = DumpForm.ROWS

    @property
    @abstractmethod
    def stdout(self) -> io.RawIOBase:
        """The bytes of the dump; its end alone proves nothing (see `finish`)."""

    @property
    @abstractmethod
    def expected_size(self) -> int | None:
        """An estimate of the bytes to come, for progress and part sizes; None where nothing is known."""

    @abstractmethod
    def finish(self) -> DumpResult:
        """Waits, after the end of `stdout`, until the tool has ended well and all facts are there.

        Raises:
            EngineError: the tool or the facts failed; what was read from `stdout` is no dump.
        """


class Engine(ABC):
    """One kind of database. Engines hold no state; a URL with its password is handed to each call."""

    #: The kind, as the registry and the manifest name it.
    kind: EngineKind

    @abstractmethod
    def validate(self, url: str) -> str:
        """Checks the form of a target's URL without opening anything.

        Returns:
            The URL in its normal form.

        Raises:
            InvalidInput: not a URL of this engine; the message does not repeat a password.
        """

    @abstractmethod
    def inspect(self, url: str, workplace: Workplace) -> SourceInfo:
        """Looks at the target: can it be reached, read, and dumped with the programs that are here?

        Raises:
            EngineError: it can't, and why.
        """

    @abstractmethod
    def dump(
        self, url: str, workplace: Workplace, run: Run, *, fingerprint: Fingerprint = "off"
    ) -> AbstractContextManager[Dump]:
        """Starts a consistent dump and the taking of its facts.

        Whatever ends the block, every process is gone and every connection closed when it is left. ``run`` is asked
        for cancellation while the dump is being prepared; whoever reads `Dump.stdout` asks it afterwards.

        Args:
            url: of the target, with its password.
            workplace: where to work.
            run: who may cancel.
            fingerprint: of which rows of each table. One that can't be taken fails nothing: the facts are without it.

        Raises:
            EngineError: on entry or in `Dump.finish`.
        """
