"""A backup read to its end as what it is, without restoring it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hhh.artifacts.retrieval import StoredBackup
from hhh.core.errors import ArtifactDamaged, EngineError
from hhh.core.run import Progress, Run
from hhh.engines.base import Workplace
from hhh.engines.proving import Prover
from hhh.engines.registry import prover_for
from hhh.services.findings import Findings


def read_through(backup: StoredBackup, workplace: Workplace, run: Run) -> Findings:
    """Opens every object of a copy and reads it once: its hash is compared on the way.

    Raises:
        StorageError: the copy is not what was stored, or can't be reached.
        IdentityMissing, ScratchError: it can't be opened, or held, here; it may not have been read to its end.
        Cancelled, LeaseLost: the run is over.
    """
    manifest, prover = backup.manifest, prover_for(backup.manifest.engine)
    run.report(Progress("checks"))
    findings = Findings(raw_bytes=manifest.object.raw_size)
    findings.warnings += manifest.warnings
    backup.facts()
    for attachment in manifest.attachments:
        for _ in backup.plain(attachment, run):
            run.raise_if_cancelled()
    with contextlib.closing(backup.plain(manifest.object, run)) as stored:
        pieces = _Pieces(stored, manifest.object.raw_size, run)
        _read(pieces, prover, manifest.object.raw_size, workplace, findings, run)
    return findings


def _read(pieces: _Pieces, prover: Prover, size: int, workplace: Workplace, findings: Findings, run: Run) -> None:
    try:
        read = prover.read_through(pieces, size, workplace, run)
        pieces.read_to_the_end()
    except (EngineError, ArtifactDamaged) as error:
        pieces.read_to_the_end()  # a copy that is damaged says so
        findings.note_failure(error, prover)
    else:
        findings.reached = "readable"
        findings.compared.append(read)


class _Pieces(Iterator[bytes]):
    """The pieces of a dump; remembers what their reader raised, whoever took them."""

    def __init__(self, pieces: Iterator[bytes], size: int, run: Run) -> None:
        self._pieces = pieces
        self._size = size
        self._run = run
        self._count = 0
        self._error: BaseException | None = None

    def __next__(self) -> bytes:
        self._run.raise_if_cancelled()
        try:
            piece = next(self._pieces)
        except StopIteration:
            raise
        except BaseException as error:
            self._error = error
            raise
        self._count += len(piece)
        self._run.report(Progress("read", self._count, expected_bytes=self._size))
        return piece

    def read_to_the_end(self) -> None:
        """Reads what is left; raises what their reader raised, now or before."""
        if self._error is not None:
            raise self._error
        for _ in self:
            pass
