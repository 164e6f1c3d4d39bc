"""An exported audit log: lines of JSON, which can be checked without the service, by its public key alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from hhh.core import signing
from hhh.core.errors import InvalidInput
from hhh.core.signing import SigningKey
from hhh.core.text import counted, harmless_json
from hhh.repositories.audit import Head
from hhh.schemas.audit import AuditEventResource, AuditExportEnd, AuditHeadResource, AuditVerdict
from hhh.schemas.base import ApiModel
from hhh.services.audit_chain import Break, Chain, verdict

_Model = TypeVar("_Model", bound=ApiModel)
#: What is signed begins with this: the key signs manifests, reports and events as well.
_SIGNED = b"hhh audit export\n"
#: What the last line has beside its signature.
_UNSIGNED = "signature"


@dataclass(frozen=True, slots=True)
class _Exported:
    """An event of a file, as `hhh.services.audit_chain` checks it."""

    seq: int
    at: datetime
    actor_kind: str
    actor: str
    token: str | None
    address: str | None
    action: str
    subject: str
    target: str | None
    result: str
    request_id: str | None
    detail: str
    previous_hash: str
    hash: str
    signature: str


class Tally:
    """Which events an export has, in their order."""

    def __init__(self) -> None:
        self.events = 0
        self._hashes = hashlib.sha256()

    def count(self, hashed: str) -> None:
        """One more, by its hash."""
        self.events += 1
        self._hashes.update(hashed.encode())

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of all."""
        return self._hashes.hexdigest()


def last_line(key: SigningKey, tally: Tally, head: Head, narrowed_to: Mapping[str, str], now: datetime) -> bytes:
    """The line that says that an export is whole, and how far the log went then."""
    end = AuditExportEnd(
        events=tally.events,
        digest=tally.digest,
        head=AuditHeadResource(seq=head.seq, hash=head.hash),
        narrowed_to=dict(narrowed_to),
        exported_at=now,
        public_key=key.public_key,
        signature="",
    )
    signed = end.model_copy(update={_UNSIGNED: key.sign(_message(end))})
    return f'{{"end":{harmless_json(signed.model_dump_json())}}}\n'.encode()


def check_file(lines: Iterable[str], keys: Collection[str], noted: Collection[Head] = ()) -> AuditVerdict:
    """Checks an exported log.

    Of one that was narrowed each event is checked by itself, and all of them by the digest in the last line: what was
    left out on purpose can't be told otherwise from what was taken out later.

    Args:
        lines: of the file.
        keys: the public keys whose signatures count.
        noted: ends that the chain had, as somebody noted them elsewhere.

    Raises:
        InvalidInput: a line is none of an exported log.
    """
    chain, broken, end, there = Chain(keys, has_gaps=True, noted=noted), None, None, Tally()
    for number, line in enumerate(lines, start=1):
        if end is not None:
            raise InvalidInput(f"Line {number} comes after the last line of an export", hint="check one file at a time")
        parsed = _parsed(line, number)
        if isinstance(parsed, AuditExportEnd):
            end = parsed
        else:
            there.count(parsed.hash)
            broken = broken or chain.first_break([parsed])
    whole = _broken_as_a_whole(chain, end, keys, there)
    if broken is None or (whole is not None and whole.seq < broken.seq):
        broken = whole
    return verdict(chain, broken)


def _broken_as_a_whole(chain: Chain, end: AuditExportEnd | None, keys: Collection[str], there: Tally) -> Break | None:
    if end is None:
        return Break(chain.head.seq + 1, "the file is not whole: its last line is missing")
    if end.public_key not in keys or not signing.holds(end.public_key, _message(end), end.signature):
        return Break(chain.head.seq + 1, "no key that is trusted here has signed the last line of the file")
    if not end.narrowed_to:
        return chain.gap or chain.broken_end(Head(end.head.seq, end.head.hash))
    return _other_than_exported(chain, end, there)


def _other_than_exported(chain: Chain, end: AuditExportEnd, there: Tally) -> Break | None:
    """What is wrong with events that were narrowed, all together."""
    for noted in chain.noted:
        if noted.seq > end.head.seq:
            return Break(end.head.seq + 1, f"the last events, up to {noted.seq}, which you noted, are missing")
    if there.events != end.events:
        said = f"{counted(end.events, 'event was', 'events were')} exported, and {there.events} are there"
        return Break(chain.head.seq + 1, said)
    if there.digest != end.digest:
        return Break(chain.head.seq, "it, or one before it, was not exported, and stands there instead of another")
    return None


def _message(end: AuditExportEnd) -> bytes:
    told = end.model_dump(mode="json", exclude={_UNSIGNED})
    return _SIGNED + json.dumps(told, sort_keys=True).encode()


def _parsed(line: str, number: int) -> _Exported | AuditExportEnd:
    try:
        read: Any = json.loads(line, object_pairs_hook=_unique)
        if isinstance(read, dict) and read.keys() == {"end"}:
            return _exactly(AuditExportEnd, read["end"])
        event = _exactly(AuditEventResource, read)
    except (ValueError, RecursionError):
        raise InvalidInput(
            f"Line {number} is none of an exported audit log", hint="check a file of `hhh audit export`"
        ) from None
    told = event.model_dump(exclude={"at", "detail"})
    # As `hhh.services.audit` wrote it: the same mapping has the same text.
    return _Exported(**told, at=event.at, detail=json.dumps(event.detail, sort_keys=True))


def _exactly(model: type[_Model], read: object) -> _Model:
    """What is only understood as something else would be read otherwise by other tools: it is refused."""
    found = model.model_validate(read)
    if found.model_dump(mode="json") != read:
        raise ValueError("it says more, or something else, than what is checked")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a member stands there twice")
    return document
