"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hhh.core.errors import HHHError
from hhh.core.text import minute

#: How findings about stores begin.
STORE = "store "


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    #: What was looked at, e.g. ``store default``; one step of it: ``store default: write``.
    subject: str
    ok: bool
    #: What was found, or what is wrong and what to do.
    detail: str
    #: What was done about it; empty: nothing.
    done: str = ""

    @property
    def is_step(self) -> bool:
        """Whether a later finding says the same of the whole."""
        return self.ok and ": " in self.subject


def store_that_is_down(finding: Finding) -> str | None:
    """The store that a finding tells to be down: it need not be waited for again."""
    subject, _, step = finding.subject.partition(": ")
    is_down = not finding.ok and subject.startswith(STORE) and step in {"", "write"}
    return subject.removeprefix(STORE) if is_down else None


def attempted(subject: str, look: Callable[[], str]) -> Finding:
    """What a look at something gives, or why it failed."""
    try:
        return Finding(subject, ok=True, detail=look())
    except HHHError as error:
        return Finding(subject, ok=False, detail=str(error))


def when(moment: datetime | None) -> str:
    """A moment as findings tell it; ``never`` for none."""
    return minute(moment) if moment is not None else "never"
