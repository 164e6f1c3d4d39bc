"""Whether the audit log is as it was written: the chain of its hashes, and the signature of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from hhh.core import signing
from hhh.core.errors import InvalidInput
from hhh.core.text import counted, listed
from hhh.repositories.audit import NO_EVENT, Head, Kept
from hhh.schemas.audit import AuditVerdict

#: What is signed begins with this: the key signs manifests and reports as well.
_SIGNED = b"hhh audit event\n"
_HASH_LENGTH = 64
#: No event has a number of more.
_MOST_DIGITS = 18


class Event(Protocol):
    """An event, as the database or an exported file has it."""

    # Properties, so that a value of another, narrower type fits.
    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor_kind(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def token(self) -> str | None: ...
    @property
    def address(self) -> str | None: ...
    @property
    def action(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def target(self) -> str | None: ...
    @property
    def result(self) -> str: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def detail(self) -> str: ...
    @property
    def previous_hash(self) -> str: ...
    @property
    def hash(self) -> str: ...
    @property
    def signature(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold."""

    #: Of the event, or of the first one that is missing.
    seq: int
    #: What is wrong, as a sentence.
    reason: str


@dataclass(slots=True)
class Chain:
    """A chain that is being checked, from its first event on.

    Args:
        keys: the public keys whose signatures count.
        has_gaps: whether events may be missing, which is noted as `gap`: of a filtered export most are.
        noted: ends that the chain had, as somebody noted them elsewhere.
        head: where the events before the first one end.
    """

    keys: Collection[str]
    has_gaps: bool = False
    noted: Collection[Head] = ()
    head: Head = NO_EVENT
    #: How many events are as they should be, up to that end.
    checked: int = 0
    #: Where events are missing first, if that may be.
    gap: Break | None = None

    def first_break(self, events: Iterable[Event]) -> Break | None:
        """Goes on with events in the order of their numbers, up to the first one that is not as it should be.

        Raises:
            TypeError: the next one holds what is none of its values.
        """
        for event in events:
            if (reason := self._reason_against(event)) is not None:
                return reason
            self.head = Head(event.seq, event.hash)
            self.checked += 1
        return None

    def broken_end(self, head: Head, kept: Kept | None = None) -> Break | None:
        """What is wrong with the end of the chain, and with how the database keeps it.

        Args:
            head: where it ends by what is kept beside it.
            kept: of a chain that was checked from its first event on.
        """
        return self._cut(head) or (self._ill_kept(kept) if kept is not None else None)

    def _cut(self, head: Head) -> Break | None:
        if head.seq > self.head.seq:
            return Break(self.head.seq + 1, f"the last events, up to {head.seq}, are missing")
        if head != self.head:
            return Break(self.head.seq, f"the end of the chain is noted as {head}, which is another")
        for noted in self.noted:
            if noted.seq > self.head.seq:
                return Break(self.head.seq + 1, f"the last events, up to {noted.seq}, which you noted, are missing")
        return None

    def unreadable(self) -> Break:
        """The next event can't even be read."""
        return Break(self.head.seq + 1, "what stands there was never written by the service")

    def _ill_kept(self, kept: Kept) -> Break | None:
        if kept.heads != 1:
            return Break(self.head.seq, "what notes the end of the chain is missing, or there twice")
        if kept.events != self.checked:
            more = counted(kept.events - self.checked, "row", "rows")
            return Break(self.head.seq, f"{more} of the log have no number, so that they are no part of the chain")
        if kept.missing_rules:
            return Break(
                self.head.seq,
                "the events hold, but somebody has taken away what keeps them from being changed: the triggers "
                f"{listed(kept.missing_rules)} of the database",
            )
        return None

    def _reason_against(self, event: Event) -> Break | None:
        return self._misplaced(event) or self._forged(event) or self._renewed(event)

    def _misplaced(self, event: Event) -> Break | None:
        expected = self.head.seq + 1
        if event.seq < expected:
            return Break(event.seq, "it is there before the first event, or twice")
        if event.seq > expected:
            missing = Break(expected, f"it is missing; the next one there is {event.seq}")
            if not self.has_gaps:
                return missing
            self.gap = self.gap or missing
        elif event.previous_hash != self.head.hash:
            return Break(
                event.seq, f"it does not follow on event {self.head.seq}: one of the two was put in, or replaced"
            )
        return None

    def _forged(self, event: Event) -> Break | None:
        if event_hash(event) != event.hash:
            return Break(event.seq, "what it says was changed: its hash is another")
        if not event.signature:
            return Break(event.seq, "it is not signed")
        if not is_genuine(event, self.keys):
            return Break(
                event.seq,
                "no key that is trusted here has signed it: it was forged, or is another installation's, or an older "
                "key of yours has signed it, which HHH_TRUSTED_KEYS has to name",
            )
        return None

    def _renewed(self, event: Event) -> Break | None:
        for noted in self.noted:
            if noted.seq == event.seq and noted.hash != event.hash:
                return Break(event.seq, "its hash is not the one that you noted: the chain was written anew")
        return None


def verdict(chain: Chain, broken: Break | None) -> AuditVerdict:
    """What came of checking a chain."""
    if broken is None:
        return AuditVerdict(ok=True, events=chain.checked, head=str(chain.head))
    return AuditVerdict(
        ok=False, events=chain.checked, head=str(chain.head), broken_at=broken.seq, reason=broken.reason
    )


def is_genuine(event: Event, keys: Collection[str]) -> bool:
    """Whether an event by itself is what the holder of one of these keys wrote."""
    message = signed_message(event.hash)
    return event_hash(event) == event.hash and any(signing.holds(key, message, event.signature) for key in keys)


def event_hash(event: Event) -> str:
    """SHA-256 (hexadecimal) over all that an event tells, and the hash of the one before it."""
    told = [
        event.previous_hash,
        event.seq,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.actor_kind,
        event.actor,
        event.token,
        event.address,
        event.action,
        event.subject,
        event.target,
        event.result,
        event.request_id,
        event.detail,
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def signed_message(hashed: str) -> bytes:
    """What the signature of an event is of."""
    return _SIGNED + hashed.encode()


def parse_head(text: str) -> Head:
    """A noted end of the chain, ``SEQ:HASH``.

    Raises:
        InvalidInput: it is none.
    """
    seq, _, hashed = text.partition(":")
    is_hash = len(hashed) == _HASH_LENGTH and set(hashed) <= set("0123456789abcdef")
    if text == str(NO_EVENT):
        return NO_EVENT
    if not (seq.isascii() and seq.isdecimal() and len(seq) <= _MOST_DIGITS and int(seq) and is_hash):
        raise InvalidInput("The end of the chain is not of the form SEQ:HASH", hint="as `hhh audit verify` printed it")
    return Head(int(seq), hashed)
