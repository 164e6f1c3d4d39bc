"""A restore drill: a backup is restored into a throw-away place, compared there with its source, and thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hhh.artifacts.retrieval import StoredBackup
from hhh.artifacts.stream import PIECE
from hhh.core.errors import ArtifactDamaged, EngineError, ScratchError
from hhh.core.run import Progress, Run
from hhh.core.text import counted
from hhh.engines import registry
from hhh.engines.base import Workplace
from hhh.engines.proving import Place, Prover
from hhh.engines.restoring import Built, Destination, Restorer, RestoreSource
from hhh.schemas.facts import Facts, PostgresqlFacts
from hhh.schemas.policy import ProofFields
from hhh.schemas.restore import Check
from hhh.services.beside import Beside
from hhh.services.comparison import compare, compared_contents, compared_tables
from hhh.services.findings import Findings
from hhh.services.restoration import acknowledge

#: What engines raise where they can't go on; `ArtifactDamaged` where the dump itself is not what it should be.
_FAILURES: Final = (EngineError, ArtifactDamaged, ScratchError)


@dataclass(frozen=True, slots=True)
class Drill:
    """What is drilled, and how."""

    backup: StoredBackup
    policy: ProofFields
    #: Of a server that the operator names, with its password; None: a throw-away one.
    server_url: str | None
    workplace: Workplace
    run: Run

    def perform(self) -> Findings:
        """Reads every object of the copy once, restores, compares and asks.

        What speaks against the backup, and what is lacking for a restore, is in the findings.

        Raises:
            StorageError: the copy is not what was stored, or can't be reached.
            IdentityMissing, ScratchError: it can't be opened, or held, here; it may not have been read to its end.
            Cancelled, LeaseLost: the run is over.
        """
        findings = Findings(raw_bytes=self.backup.manifest.object.raw_size)
        clock = _Clock()
        source = self._source()
        findings.warnings += [*self.backup.manifest.warnings, *_warnings(source.facts)]
        path = self.workplace.scratch / "dump"
        with Beside(lambda run: self._fetch(path, run, clock), self.run) as download:
            try:
                with self._prover.throw_away(source, self.server_url, self.workplace, self.run) as place:
                    download.wait()
                    self._drill(place, replace(source, dump=path), findings, clock)
            except (EngineError, ScratchError) as error:
                findings.note_failure(error, self._prover, of_the_machine=True)
            _finish(download, findings)
        if findings.reached == "stored" and not findings.speak_against_content and path.exists():
            self._read_through(path, findings)
        return findings

    def _source(self) -> RestoreSource:
        """All but the dump, which are small."""
        manifest = self.backup.manifest
        self.run.report(Progress("checks"))
        facts, attachments = self.backup.facts(), {}
        for number, stored in enumerate(manifest.attachments):
            # Not under its own name: a manifest may be anybody's.
            attachments[stored.name] = path = self.workplace.scratch / f"attachment-{number}"
            path.unlink(missing_ok=True)  # of a copy that was not good
            self.backup.fetch(stored, path, self.run, stage="checks")
        return RestoreSource(facts, manifest.versions, manifest.object.raw_size, attachments)

    def _fetch(self, path: Path, run: Run, clock: _Clock) -> None:
        path.unlink(missing_ok=True)
        self.backup.fetch(self.backup.manifest.object, path, run)
        clock.pause()

    def _drill(self, place: Place, source: RestoreSource, findings: Findings, clock: _Clock) -> None:
        findings.place, findings.isolation = place.description, list(place.isolation)
        findings.warnings += place.warnings
        accepted = place.destination.acknowledged.union(self.policy.drill_acknowledge)
        destination = replace(
            place.destination,
            with_fingerprints=True,
            with_statistics=bool(self.policy.assertions),  # nobody else plans a query there
            acknowledged=accepted,
        )
        if not self._is_fit(source, destination, findings):
            return
        try:
            built = self._build(source, destination, findings, clock)
        except _FAILURES as error:
            findings.note_failure(error, self._prover)
            return
        if built.errors:
            return
        findings.reached = "readable"
        try:
            self._compare(place, source, built, findings)
        except ArtifactDamaged as error:
            findings.note_failure(error, self._prover)
        except (EngineError, ScratchError) as error:
            # All of it came back. That it can't be looked at is not its fault.
            findings.note_failure(error, self._prover, of_the_machine=True)
        else:
            findings.reached = "readable" if findings.speak_against_content else "proven"

    def _is_fit(self, source: RestoreSource, destination: Destination, findings: Findings) -> bool:
        """Whether nothing stands against a restore there; what does, is the place's."""
        found = self._restorer.checks(source, destination, self.workplace)
        findings.checks = [acknowledge(check, destination.acknowledged) for check in found]
        unsafe = [check for check in findings.checks if check.status == "unsafe"]
        findings.lacking += map(_reason, unsafe)
        return not unsafe

    def _build(self, source: RestoreSource, destination: Destination, findings: Findings, clock: _Clock) -> Built:
        self.run.report(Progress("restore"))
        clock.go_on()
        built = self._restorer.build(source, destination, self.workplace, self.run)
        seconds = findings.restore_seconds = clock.seconds
        findings.restore_bytes_per_second = source.raw_size / seconds
        findings.warnings += built.warnings
        findings.tables = compared_tables(source.facts, built.facts, of=built.facts)
        findings.note_errors(built.errors, self._prover)
        return built

    def _compare(self, place: Place, source: RestoreSource, built: Built, findings: Findings) -> None:
        self.run.report(Progress("compare"))
        findings.differences += compare(source.facts, built.facts)
        findings.compared += _in_words(source.facts, built.facts)
        prover, workplace, run = self._prover, self.workplace, self.run
        definitions, differences = prover.compare_schemas(source, built, place, workplace, run)
        findings.compared.append(definitions)
        findings.differences += differences
        findings.assertions += prover.ask(self.policy.assertions, built, place, workplace, run)

    def _read_through(self, path: Path, findings: Findings) -> None:
        """What the dump tells without a restore, where there could be none."""
        size = self.backup.manifest.object.raw_size
        try:
            read = self._prover.read_through(_pieces(path), size, self.workplace, self.run)
        except _FAILURES as error:
            findings.note_failure(error, self._prover)
        else:
            findings.reached = "readable"
            findings.compared.append(read)

    @property
    def _prover(self) -> Prover:
        return registry.prover_for(self.backup.manifest.engine)

    @property
    def _restorer(self) -> Restorer:
        return registry.restorer_for(self.backup.manifest.engine)


class _Clock:
    """Measures a restore: from the first byte read to the last row there, without the making of the place."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._passed = 0.0

    def pause(self) -> None:
        self._passed = time.monotonic() - self._begun

    def go_on(self) -> None:
        self._begun = time.monotonic() - self._passed

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun


def _finish(download: Beside, findings: Findings) -> None:
    """Whatever became of the place, the copy is read to its end."""
    try:
        download.wait()
    except ScratchError as error:  # the place tells of all that it needs, the download of its own part
        raise ScratchError(findings.lacking[0] if findings.lacking else str(error)) from error


def _reason(check: Check) -> str:
    if check.acknowledge is None:
        return check.message
    return f"{check.message} (to drill all the same: hhh target set … --drill-acknowledge {check.acknowledge})"


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _warnings(facts: Facts) -> list[str]:
    return list(facts.warnings) if isinstance(facts, PostgresqlFacts) else []


def _in_words(expected: Facts, found: Facts) -> list[str]:
    """What of the facts was compared."""
    tables = compared_tables(expected, found)
    rows = counted(sum(table.rows for table in tables), "row", "rows")
    said = [f"{counted(len(tables), 'table', 'tables')}, {rows}"]
    if contents := compared_contents(expected, found):
        said.append(f"the content of {counted(contents, 'table', 'tables')}")
    if isinstance(expected, PostgresqlFacts):
        objects = counted(expected.large_objects.count, "large object", "large objects")
        said.append(f"{counted(len(expected.sequences), 'sequence', 'sequences')}, {objects}")
    return said
