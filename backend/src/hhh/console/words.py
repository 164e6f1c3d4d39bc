"""Sizes, times and rates as people read them; the exact figure is in the title."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from markupsafe import Markup, escape

from hhh.core.clock import utcnow
from hhh.core.text import counted, harmless

_UNITS = ("kB", "MB", "GB", "TB", "PB")
_STEP = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
#: Below these a figure has one decimal.
_FEW_UNITS, _FEW_SECONDS = 100, 10
#: Such as those of checks: ``… 307200 bytes are needed in …, 54656700416 are free``.
_BYTES_IN_TEXT = re.compile(r"(?<!pages of )\b(\d{4,18})(?: bytes\b|(?= are free\b))")
_NONE = Markup('<span class="none">–</span>')


def bytes_in_words(count: float) -> str:
    """``1.4 GB``; of thousands, as disks and clouds count."""
    if count < _STEP:
        return counted(int(count), "byte", "bytes")
    unit, count = "", float(count)
    for unit in _UNITS:  # noqa: B007  the last one where none is large enough
        count /= _STEP
        if round(count, 1) < _STEP:
            break
    return f"{count:.1f} {unit}" if round(count, 1) < _FEW_UNITS else f"{count:.0f} {unit}"


def seconds_in_words(seconds: float) -> str:
    """``0.4 s``, ``40 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < _FEW_SECONDS:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _with_rest(whole // _MINUTE, "min", whole % _MINUTE, "s")
    if whole < _DAY:
        return _with_rest(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")
    return _with_rest(whole // _DAY, "d", whole % _DAY // _HOUR, "h")


def age_in_words(moment: datetime, now: datetime) -> str:
    """``just now``, ``3 h ago``, ``9 days ago``, ``in 2 h``."""
    seconds = (now - moment).total_seconds()
    span = abs(seconds)
    if span < _MINUTE:
        return "just now"
    if span < _HOUR:
        told = f"{span // _MINUTE:.0f} min"
    elif span < 2 * _DAY:
        told = f"{span // _HOUR:.0f} h"
    else:
        told = f"{span // _DAY:.0f} days"
    return f"{told} ago" if seconds > 0 else f"in {told}"


def size(count: float | None) -> Markup:
    """Bytes, exact on hover."""
    if count is None:
        return _NONE
    return Markup('<data value="{0}" title="{0:,} bytes">{1}</data>').format(int(count), bytes_in_words(count))


def rate(per_second: float | None) -> Markup:
    """Bytes a second."""
    return _NONE if per_second is None else Markup("{}/s").format(bytes_in_words(per_second))


def span(seconds: float | None) -> Markup:
    """A duration, its seconds on hover."""
    if seconds is None:
        return _NONE
    return Markup('<span title="{} seconds">{}</span>').format(round(seconds, 3), seconds_in_words(seconds))


def moment(at: datetime | None) -> Markup:
    """A moment: in UTC, which the script tells in local time, with UTC on hover."""
    if at is None:
        return _NONE
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        _exact(utc), _shown(utc), f"{utc:%Y-%m-%d %H:%M} UTC"
    )


def instant(at: datetime | None) -> Markup:
    """A moment to the second, as a log has it."""
    if at is None:
        return _NONE
    utc = at.astimezone(UTC)
    return Markup('<time class="exact" datetime="{}" title="{}">{}</time>').format(
        _exact(utc), _shown(utc), _shown(utc)
    )


def ago(at: datetime | None) -> Markup:
    """How long ago, the moment on hover."""
    if at is None:
        return _NONE
    utc = at.astimezone(UTC)
    told = age_in_words(utc, utcnow())
    return Markup('<time class="ago" datetime="{}" title="{}">{}</time>').format(_exact(utc), _shown(utc), told)


def short_hash(digest: str | None) -> Markup:
    """The beginning of a hash, all of it on hover."""
    return _NONE if not digest else Markup('<code title="{}">{}…</code>').format(digest, digest[:12])


def sentence(told: str) -> Markup:
    """A message with its full stop; what it has in back quotes is code."""
    told = harmless(told).strip()
    parts = told.split("`") if told.count("`") % 2 == 0 else [told]
    quoted = (Markup("<code>{}</code>").format(each) if at % 2 else escape(each) for at, each in enumerate(parts))
    whole = Markup().join(quoted)
    return whole if not told or told.endswith((".", "?", "!", "…")) else whole + "."


def advice(told: str) -> Markup:
    """A hint as a sentence of its own: with a capital in front, if it begins with a word."""
    first = told.partition(" ")[0]
    return sentence(told[:1].upper() + told[1:] if first.isalpha() else told)


def with_sizes(text: str) -> Markup:
    """A message of the service with its bytes as `size` tells them."""
    text, told, end = harmless(text), Markup(), 0
    for found in _BYTES_IN_TEXT.finditer(text):
        told += escape(text[end : found.start()]) + size(int(found[1]))
        end = found.end()
    return told + escape(text[end:])


def shown(value: object) -> object:
    """What is written of a value before it is escaped; what is escaped already is as it should be."""
    return value if hasattr(value, "__html__") else harmless(str(value))


def exact(value: object) -> Markup:
    """A value that is to come back as it is: that of a field."""
    return escape("" if value is None else value)


def or_none(value: object) -> object:
    """What is there, or a dash."""
    return _NONE if value is None or value == "" else value


def _with_rest(count: int, unit: str, rest: int, of_rest: str) -> str:
    return f"{count} {unit} {rest} {of_rest}" if rest else f"{count} {unit}"


def _exact(utc: datetime) -> str:
    return f"{utc:%Y-%m-%dT%H:%M:%S}Z"


def _shown(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC"


#: As templates name them.
FILTERS: Mapping[str, Callable[..., object]] = {
    "size": size,
    "rate": rate,
    "span": span,
    "moment": moment,
    "instant": instant,
    "ago": ago,
    "short_hash": short_hash,
    "or_none": or_none,
    "exact": exact,
    "with_sizes": with_sizes,
    "sentence": sentence,
    "advice": advice,
    "counted": counted,
}
