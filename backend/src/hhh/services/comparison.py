"""What was restored, compared with the facts of its backup: a restore or a drill counts only without a difference."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hhh.schemas.facts import Facts
from hhh.schemas.restore import Difference


def compare(expected: Facts, found: Facts, *, only: Collection[str] | None = None) -> Sequence[Difference]:
    """The differences; none means that everything that the facts tell is there.

    Args:
        expected: of the backup.
        found: of what was restored, in the same form.
        only: tables (``schema.name``) that were to be restored; None means all.
    """
    raise NotImplementedError
