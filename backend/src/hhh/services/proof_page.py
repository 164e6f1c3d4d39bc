"""A proof report as a page that prints on paper, drawn from its signed data, which is in the page as well.

The page is self-contained: no script, nothing from elsewhere. A page is checked by drawing it again from the data that
it holds, so that the template of a version of the report is never changed.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from hhh.core import signed_json
from hhh.core.errors import ReportInvalid
from hhh.schemas.proof_report import ProofReport, ReportedTable

if TYPE_CHECKING:
    from jinja2 import Template

#: Tables that are shown one by one, of each other list its first lines, and of a text its beginning; all of it is in
#: the data.
_MOST_TABLES = 20
_MOST_LINES = 10
_MOST_CHARACTERS = 300
_BEGIN, _END = '<pre id="signed-report" hidden>', "</pre>"
_TEMPLATES = resources.files(__package__) / "templates"
#: What turns the direction of what is read, or is not seen at all; first and last. Written out, since Python's own
#: table grows with its releases, and an old page has to be drawn as it was.
_UNSEEN = (
    *((0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160)),
    *((0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3)),
    *((0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_VISIBLE = {code: f"⟨U+{code:04X}⟩" for first, last in _UNSEEN for code in range(first, last + 1)}


class _Verdict(NamedTuple):
    #: The class of the page's body.
    look: str
    title: str
    said: str


_NOT_RESTORED = "Nothing was restored: this does not prove that it can be."
_REACHED = {
    "proven": _Verdict(
        "success",
        "PROVEN RESTORABLE",
        "This backup was restored into a throw-away database, and compared there with the facts that were recorded "
        "with it. Nothing differs.",
    ),
    "readable": _Verdict(
        "partly",
        "READABLE, NOT RESTORED",
        f"Every copy of this backup is what was stored, and it was opened and read to its end. {_NOT_RESTORED}",
    ),
    "stored": _Verdict(
        "partly",
        "STORED, NOT RESTORED",
        f"Every copy of this backup was read back, and is what was stored. {_NOT_RESTORED}",
    ),
}
_FAILED = _Verdict("failed", "VERIFICATION FAILED", "This backup is not what it should be.")
_INCONCLUSIVE = _Verdict(
    "inconclusive",
    "INCONCLUSIVE: NOTHING IS PROVEN",
    "It could not be found out what this backup is good for. Nothing is said against it.",
)


def content_security_policy() -> str:
    """What a browser may do with a page: use its one style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def title_of(report: ProofReport) -> str:
    """What it comes to, in the few words that stand above it."""
    return _verdict(report).title


def draw(content: bytes, report: ProofReport) -> bytes:
    """The page of a report.

    Args:
        content: its signed data.
        report: the same, read from it.
    """
    verdict = _verdict(report)
    tables = sorted(report.tables, key=_by_size)
    page = _template().render(
        report=report,
        look=verdict.look,
        title=verdict.title,
        said=verdict.said,
        signed_by=signed_json.signer(content),
        policy=content_security_policy(),
        style=_style(),
        content=content.decode(),
        lists=[
            ("What speaks against it", report.errors),
            ("What was lacking", report.lacking),
            ("Warnings", _warnings(report)),
        ],
        most_lines=_MOST_LINES,
        largest=tables[:_MOST_TABLES],
        half=_MOST_TABLES // 2,
        smaller=tables[_MOST_TABLES:],
    )
    return page.encode()


def signed_data(page: bytes) -> bytes:
    """The signed data that a page holds.

    Raises:
        ReportInvalid: there is none.
    """
    try:
        _, found, rest = page.decode().partition(_BEGIN)
    except UnicodeDecodeError:
        raise ReportInvalid("The proof report is not text; it may be damaged") from None
    data, ended, _ = rest.partition(_END)
    if not found or not ended:
        raise ReportInvalid("This page holds no signed data: it is no proof report, or was saved without it")
    return html.unescape(data).encode()


def _verdict(report: ProofReport) -> _Verdict:
    match report.verification.status:
        case "success":
            return _REACHED[report.verification.level]
        case "failed":
            return _FAILED
        case _:
            return _INCONCLUSIVE


def _warnings(report: ProofReport) -> list[str]:
    looked_at = [f"{each.name}: {each.message}" for each in report.checks if each.status != "ok"]
    return [*looked_at, *report.warnings]


def _by_size(table: ReportedTable) -> tuple[bool, int, str]:
    return not _differs(table), -max(table.rows_expected or 0, table.rows_found or 0), table.name


def _differs(table: ReportedTable) -> bool:
    return table.rows_expected != table.rows_found


@cache
def _style() -> str:
    return (_TEMPLATES / "proof_report_1.css").read_text()


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # few commands draw a page

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finished, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"moment": _moment, "number": _number, "span": _span, "short": _short, "total": _total}
    environment.tests["differing"] = _differs
    return environment.from_string((_TEMPLATES / "proof_report_1.html.j2").read_text())


def _finished(value: object) -> object:
    """What is written of a value, before it is escaped: a database may be somebody else's, and its names hostile."""
    if hasattr(value, "__html__"):  # escaped already, in the template's own words
        return value
    return str(value).translate(_VISIBLE)


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "–"


def _number(number: int | None) -> str:
    return f"{number:,}" if number is not None else "–"


def _span(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours or minutes:
        return f"{hours} h {minutes:02} min {seconds:02} s" if hours else f"{minutes} min {seconds:02} s"
    return f"{seconds}.{rest:03} s"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _total(tables: Iterable[ReportedTable], member: str) -> int:
    return sum(getattr(table, member) or 0 for table in tables)
