"""What is told of a trouble: what is wrong, what the tool said, what there is to go back to, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from hhh.core.text import age, counted, harmless, minute
from hhh.models import AlertChannel, AlertDelivery, AlertEvent, AlertKind, Trouble
from hhh.services.recovery_state import Known, Seen
from hhh.services.trouble_rules import OVER
from hhh.services.troubles import Found

#: Messages for one channel at once; of more, one message tells all.
AT_ONCE = 10
#: Lines of that one: receivers cut off what is too long for them.
_LISTED = 30
_PRODUCT = "HHH Backup: "
#: The kind of a message that tells of several troubles.
SEVERAL = "several"
#: What targets may fail for, or tells of several.
_CAUSES = frozenset({AlertKind.STORE_FAILING, AlertKind.STORE_NEARLY_FULL, AlertKind.WORKER_LOST, SEVERAL})
#: Of a title that many receivers put into one line.
_LONGEST_TITLE = 200
_LONGEST_SAID = 500


class Told(NamedTuple):
    """A message, before it is known to whom."""

    event: AlertEvent
    kind: str
    subject: str
    target: str | None
    #: What is told in a few words, without the name of the service.
    head: str
    body: str

    @property
    def title(self) -> str:
        """The subject of a mail."""
        return f"{_PRODUCT}{self.head}"


class Teller:
    """Puts messages together.

    Args:
        known: how each target stands.
        now: when.
        public_url: of the console; empty: nobody knows.
    """

    def __init__(self, known: Mapping[str, Known], now: datetime, public_url: str) -> None:
        self._known = known
        self._now = now
        self._public_url = public_url.rstrip("/")

    def begun(self, found: Found, *, changed: bool) -> Told:
        """Of something that is wrong, for the first time or in another way than before."""
        lines = [found.what]
        if found.said:
            lines.append(f"It said: {found.said[:_LONGEST_SAID]}")
        lines += ["", *self._newest(found.target), "", f"What to do: {found.advice}", *self._link(found.target)]
        event = AlertEvent.CHANGED if changed else AlertEvent.BEGUN
        return _told(event, found.kind, found.subject, found.target, found.title, lines)

    def ended(self, row: Trouble) -> Told:
        """Of something that is over."""
        kind, message = AlertKind(row.kind), row.message
        lines = [
            f"It is over. Since {minute(row.since)} it was: {message['what']}",
            "",
            *self._newest(row.target),
            *self._link(row.target),
        ]
        return _told(AlertEvent.ENDED, kind, row.subject, row.target, OVER[kind].format(row.subject), lines)

    def _newest(self, target: str | None) -> Sequence[str]:
        if target is not None:
            known = self._known.get(target)
            good, proven = (known.good, known.proven) if known is not None else (None, None)
            return [
                f"Newest good backup: {self._shown(good)}",
                f"Newest proven backup: {self._shown(proven)}",
            ]
        every = [*self._known.values()]
        return [
            self._of_all("good", [each.good for each in every if each.good]),
            self._of_all("proven", [each.proven for each in every if each.proven]),
        ]

    def _of_all(self, which: str, backups: Sequence[Seen]) -> str:
        of = f"{len(backups)} of {counted(len(self._known), 'database has one', 'databases have one')}"
        newest = max(backups, key=lambda each: each.created_at, default=None)
        return f"Newest {which} backup: {self._shown(newest)} ({of})"

    def _shown(self, backup: Seen | None) -> str:
        if backup is None:
            return "none"
        return f"{backup.backup_file}, of {minute(backup.created_at)} ({age(self._now - backup.created_at)} old)"

    def _link(self, target: str | None) -> Sequence[str]:
        if not self._public_url:
            return []
        return [f"In the console: {self._public_url}{f'/targets/{target}' if target is not None else '/alerts'}"]


def wants(channel: AlertChannel, told: Told) -> bool:
    """Whether a message is for a channel."""
    if channel.kinds is not None and told.kind not in channel.kinds:
        return False
    if told.target is None or channel.targets is None:
        return True
    return any(fnmatchcase(told.target, pattern) for pattern in channel.targets)


def combined(messages: Sequence[Told], *, most: int = AT_ONCE) -> Sequence[Told]:
    """The messages for one channel: of more than `most`, such as when a store is down, one that tells all.

    What is wrong comes before what is over, and what may be the cause, such as a store, before the targets. Of what
    began and ended again and again the last is told.
    """
    if len(messages) <= most:
        return messages
    last = {(each.kind, each.subject) if each.kind != SEVERAL else each: each for each in messages}
    changes = sorted(last.values(), key=lambda each: (each.event is AlertEvent.ENDED, each.kind not in _CAUSES))
    first = changes[0]
    if len(changes) == 1:
        return changes
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in Counter(each.kind for each in changes).items())
    more = [f"- and {len(changes) - _LISTED:,} more"] if len(changes) > _LISTED else []
    lines = [kinds, "", *(f"- {each.head}" for each in changes[:_LISTED]), *more]
    lines += ["", "All that is wrong now: hhh alerts list", "", "The first of them:", "", first.body]
    title = f"{len(changes):,} changes: {first.head} and more"
    return [_told(first.event, SEVERAL, "", None, title, lines)]


def written(row: AlertDelivery) -> Told:
    """A message as it was written for a channel."""
    head = row.title.removeprefix(_PRODUCT)
    return Told(AlertEvent(row.event), row.kind, row.subject, None, head, row.body)


def message_of(found: Found) -> dict[str, str]:
    """What is kept of a trouble, to be shown."""
    said = found.said[:_LONGEST_SAID]
    return {"title": found.title, "what": found.what, "said": said, "advice": found.advice}


def _told(event: AlertEvent, kind: str, subject: str, target: str | None, title: str, lines: Sequence[str]) -> Told:
    head = " ".join(harmless(title).split())[:_LONGEST_TITLE]
    return Told(event, kind, subject, target, head, harmless("\n".join(lines)))
