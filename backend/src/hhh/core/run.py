"""What long work needs from whoever runs it: a place to report progress, and the news that it was cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

#: Every `Progress.stage`, as people are told of it.
_STAGES: Mapping[str, str] = {
    "snapshot": "taking the snapshot",
    "inspect": "counting rows",
    "stream": "storing",
    "finalise": "storing the facts",
    "checks": "checking",
    "read": "reading it to its end",
    "download": "downloading",
    "restore": "restoring",
    "compare": "comparing",
    "swap": "putting it in place",
    "copy": "copying",
    "prune": "removing",
    "sweep": "sweeping",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    #: What is being done now. Of a backup: ``snapshot``, ``stream``, ``finalise``; of an import the same, and before
    #: ``stream`` ``inspect``, where the rows of a dump are counted; of a restore: ``checks``, ``download``,
    #: ``restore``, ``compare``, ``swap``; of a verification ``checks``, where copies are read back, ``read``,
    #: ``download``, ``restore``, ``compare``; of a repair ``copy``.
    stage: str
    #: Bytes of the dump read so far; of a restore, of its object in the store.
    raw_bytes: int = 0
    #: Bytes written to the stores so far.
    stored_bytes: int = 0
    #: Estimated bytes of the whole dump; None where nothing is known.
    expected_bytes: int | None = None


def stage_in_words(stage: str) -> str:
    """What a run is at; a stage of another version as it is."""
    return _STAGES.get(stage, stage)


class Run(Protocol):
    """One run of a job, as the services see it."""

    def report(self, progress: Progress) -> None:
        """Takes progress. Cheap: may be called for every chunk; the receiver thins it out."""

    def raise_if_cancelled(self) -> None:
        """Raises `Cancelled` once the run was cancelled, and `LeaseLost` once it belongs to somebody else."""


class Unattended:
    """A run that nobody watches and nobody can cancel."""

    def report(self, progress: Progress) -> None:
        """Drops it."""

    def raise_if_cancelled(self) -> None:
        """Never raises."""
