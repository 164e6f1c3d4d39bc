"""What is wrong: what there is to judge by, what is found, and how the same trouble is known again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hhh.models import AlertKind
from hhh.repositories.troubles import FailedPrune, Lacking, Lost
from hhh.services.recovery_state import Known, Verified
from hhh.storages.room import Room

#: What differs from one time to the next though the same is wrong: numbers, ids, hashes, names
#: of temporary files.
_FLEETING = re.compile(r"[0-9a-f]{8,}(?:-[0-9a-f]{4,})*|\w*\d\w*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """A backup that a verification speaks against."""

    target: str
    backup_id: str
    backup_file: str
    verified: Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is judged by."""

    now: datetime
    #: By target: how it stands.
    known: Mapping[str, Known]
    #: By target: since when it could have been backed up.
    since: Mapping[str, datetime] = field(default_factory=dict)
    #: By target: when the oldest of its backups was begun.
    first_stored: Mapping[str, datetime] = field(default_factory=dict)
    #: The newest first.
    faults: Sequence[Fault] = ()
    #: By target: of its newest backups, the newest first.
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lacking: Sequence[Lacking] = ()
    #: By store: why it can't be opened, or does not answer.
    failing: Mapping[str, str] = field(default_factory=dict)
    #: By store: of those that are folders.
    rooms: Mapping[str, Room] = field(default_factory=dict)
    undeletable: Sequence[Lacking] = ()
    failed_prunes: Sequence[FailedPrune] = ()
    lost: Sequence[Lost] = ()
    #: What was told before: it takes less for something to go on being wrong than to begin to be.
    told: Collection[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that is wrong."""

    kind: AlertKind
    #: The target, store or worker.
    subject: str
    #: The target that it is about, where it is about one.
    target: str | None
    #: In a few words, for the subject of a mail.
    title: str
    #: What is wrong, in a sentence or two.
    what: str
    #: What the tool said last.
    said: str = ""
    #: What to do next.
    advice: str
    #: What makes it another trouble when it changes, beside `said`.
    same: str = ""

    @property
    def fingerprint(self) -> str:
        """What is the same while the same is wrong; numbers in what a tool said don't count."""
        return hashlib.sha256(f"{self.same}\n{_FLEETING.sub('#', self.said)}".encode()).hexdigest()
