"""What the doctor looks at of the audit log: its newest events, and ends that backups have noted."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hhh.core.errors import StorageError
from hhh.core.text import counted
from hhh.services.audit_noted import noted_everywhere
from hhh.services.container import Services
from hhh.services.doctor_findings import Finding

#: The log may be long; `hhh audit verify` looks at all of it.
_NEWEST_EVENTS = 200
_SUBJECT = "audit log"


def audit_log(services: Services, down: Collection[str]) -> Iterator[Finding]:
    """Whether the newest events are as written, and none is missing that a backup knows of.

    Args:
        services: of the installation.
        down: stores that need not be waited for again.

    Raises:
        DatabaseUnavailable: the own database does not answer.
    """
    found = services.audit_log.verify_newest(_NEWEST_EVENTS)
    if not found.ok:
        detail = f"broken at event {found.broken_at}: {found.reason}; see `hhh audit verify`"
        yield Finding(_SUBJECT, ok=False, detail=detail)
        return
    stores = [store for store in services.stores.all() if store.name not in down]
    verdicts = [each for each in noted_everywhere(services.noted_ends, stores) if not isinstance(each, StorageError)]
    for each in verdicts:
        if not each.ok:
            yield Finding(_SUBJECT, ok=False, detail=f"{each.said}; see `hhh audit verify`")
    if all(each.ok for each in verdicts):
        checked = counted(found.events, "newest event is", "newest events are")
        noted = "; it has what backups of the own database noted" if verdicts else ""
        yield Finding(_SUBJECT, ok=True, detail=f"the {checked} as written; it ends at {found.head}{noted}")
