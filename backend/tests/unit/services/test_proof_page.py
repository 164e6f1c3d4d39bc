"""Proof reports and their pages: nothing of them can be changed unseen, and nothing in them commands a browser."""

import hashlib
import html
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hhh.core import signed_json
from hhh.core.errors import ReportInvalid
from hhh.core.signing import SigningKey
from hhh.schemas.proof_report import ProofReport
from hhh.services import proof_report
from hhh.services.proof_page import content_security_policy, signed_data, title_of

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
KEYS = {KEY.public_key}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOSTILE = "\u202e</pre><script>alert(1)</script>\x00\u200b&amp;'\""


def report(**more: Any) -> ProofReport:
    """Of a drill that went well; `more` are other members."""
    verification = {
        "id": "6f1f2f0e-0000-4000-8000-000000000001",
        "level": "proven",
        "reached": "proven",
        "status": "success",
        "requested_by": "admin@example.com",
        "created_at": NOON,
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=95),
        "duration_milliseconds": 95_123,
        "reason": None,
    }
    manifest = {
        "engine": "postgresql",
        "finished_at": NOON,
        "attempt": 1,
        "object": {
            "key": "i/shop/b.sql.1.zst",
            "size": 1234,
            "sha256": "ab" * 32,
            "raw_size": 56_789,
            "compression": "zstd",
            "encryption": None,
        },
        "recipients": [],
        "versions": {"server": "16.9", "hhh": "0.1.0"},
        "signed_by": KEY.public_key,
        "signature": KEY.sign(b"manifest"),
    }
    known: dict[str, Any] = {
        "installation": "5f1f2f0e-0000-4000-8000-000000000000",
        "product_version": "0.1.0",
        "verification": verification,
        "backup": {"id": "7f", "target": "shop", "backup_file": "b.sql", "created_at": NOON, "manifest": manifest},
        "restore": {
            "place": "PostgreSQL 16.9, a throw-away server",
            "restored_from": "default",
            "isolation": ["no network"],
            "milliseconds": 41_234,
            "raw_bytes": 56_789,
            "bytes_per_second": 1377,
        },
        "copies": [{"storage": "default", "status": "good", "size": 1300, "problem": None}],
        "checks": [{"name": "free_space", "status": "ok", "message": "enough"}],
        "compared": ["2 tables, 7 rows"],
        "tables": [table("public.orders", 5), table("public.items", 2)],
        "differences": [],
        "assertions": [{"sql": "SELECT true", "holds": True, "found": "true", "milliseconds": 3}],
        "errors": [],
        "lacking": [],
        "warnings": [],
    }
    found = {**verification, **more.pop("verification", {})}
    return ProofReport.model_validate(known | {"verification": found} | more)


def table(name: str, expected: int | None, found: int | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "rows_expected": expected,
        "rows_found": expected if found is None else found,
        "fingerprint": None,
    }


def signed(what: ProofReport, key: SigningKey = KEY) -> bytes:
    return signed_json.sign(what.model_dump(mode="json"), key)


def page(what: ProofReport) -> str:
    return proof_report.page(signed(what)).decode()


def seen(what: ProofReport) -> str:
    """What is read on the page."""
    visible = page(what).partition('<pre id="signed-report"')[0].partition("<body")[2]
    return html.unescape(re.sub(r"<[^>]*>", " ", visible))


def test_both_forms_read_back_as_what_they_report() -> None:
    content = signed(report())
    assert proof_report.check(content, KEYS) == report()
    assert proof_report.check(proof_report.page(content), KEYS) == report()
    assert signed_data(proof_report.page(content)) == content


def test_the_page_tells_what_was_restored_from_which_object_when_and_how_long_it_took() -> None:
    text = seen(report())
    for told in (
        "PROVEN RESTORABLE",
        "shop",
        "i/shop/b.sql.1.zst",
        "ab" * 32,
        "1,234 bytes stored (zstd, not encrypted)",
        "2026-11-23 12:00:00 UTC to 2026-11-23 12:01:35 UTC, 1 min 35 s",
        "41.234 s",
        "PostgreSQL 16.9, a throw-away server , from the store default",
        "no network",
        "2 tables, 7 rows",
        "SELECT true",
        "public.orders",
        KEY.public_key,
    ):
        assert re.sub(r"\s+", " ", told) in re.sub(r"\s+", " ", text), told


@pytest.mark.parametrize(
    ("verification", "title"),
    [
        ({}, "PROVEN RESTORABLE"),
        ({"level": "readable", "reached": "readable"}, "READABLE, NOT RESTORED"),
        ({"level": "stored", "reached": "stored"}, "STORED, NOT RESTORED"),
        ({"status": "failed", "reason": "rows of x: 5 expected, 4 found"}, "VERIFICATION FAILED"),
        ({"status": "inconclusive", "reason": "no PostgreSQL 18"}, "INCONCLUSIVE: NOTHING IS PROVEN"),
    ],
)
def test_the_title_tells_what_it_came_to_and_the_reason_stands_below(verification: dict[str, Any], title: str) -> None:
    what = report(verification=verification)
    assert title_of(what) == title
    assert f"<h1>{title}</h1>" in page(what)
    assert (verification.get("reason") or "") in seen(what)


def test_whatever_is_changed_on_a_page_is_found() -> None:
    genuine = page(report())
    for was, is_now in (
        ("PROVEN RESTORABLE</h1>", "PROVEN  RESTORABLE</h1>"),
        (">5</td>", ">6</td>"),
        ("2026-11-23 12:01:35", "2026-11-24 12:01:35"),
        ("ab" * 32, "ab" * 31 + "cd"),
        ("</main>", "</main><p>Approved</p>"),
        ("</html>", "</html><!-- -->"),
        ("base-uri ", "style-src * "),
        (".failed h1 { background: #a4161a; }", ".failed h1 { display: none; }"),
        (" hidden>", ">"),
    ):
        changed = genuine.replace(was, is_now)
        assert changed != genuine, was
        with pytest.raises(ReportInvalid):
            proof_report.check(changed.encode(), KEYS)


def test_a_flipped_bit_anywhere_in_a_page_is_found() -> None:
    genuine = page(report()).encode()
    for position in range(0, len(genuine), 7):
        damaged = bytearray(genuine)
        damaged[position] ^= 1 << position % 7
        with pytest.raises(ReportInvalid):
            proof_report.check(bytes(damaged), KEYS)


def test_whatever_is_changed_in_the_json_is_found() -> None:
    document = json.loads(signed(report()))
    for changed in (
        document | {"tables": []},
        document | {"surprise": 1},
        document | {"verification": document["verification"] | {"status": "failed"}},
        {name: value for name, value in document.items() if name != "signature"},
    ):
        with pytest.raises(ReportInvalid):
            proof_report.check(json.dumps(changed).encode(), KEYS)


def test_a_page_that_somebody_else_signed_is_not_genuine() -> None:
    stranger = SigningKey(Ed25519PrivateKey.generate())
    content = signed(report(), stranger)
    for either in (content, proof_report.page(content)):
        with pytest.raises(ReportInvalid, match="not trusted"):
            proof_report.check(either, KEYS)
        assert proof_report.check(either, {stranger.public_key}) == report()


@pytest.mark.parametrize("content", [b"", b"<", b"<html></html>", b"\xff", b"{}", b"<\xff>", b"no report"])
def test_what_is_no_report_is_told_so(content: bytes) -> None:
    with pytest.raises(ReportInvalid):
        proof_report.check(content, KEYS)


def test_hostile_names_are_shown_and_do_nothing() -> None:
    what = report(
        verification={"status": "failed", "reason": HOSTILE, "requested_by": HOSTILE},
        tables=[table(HOSTILE, 5, 4)],
        differences=[{"name": HOSTILE, "expected": HOSTILE, "found": HOSTILE}],
        assertions=[{"sql": HOSTILE, "holds": False, "found": HOSTILE, "milliseconds": 1}],
        copies=[{"storage": HOSTILE, "status": HOSTILE, "size": 1, "problem": HOSTILE}],
        compared=[HOSTILE, HOSTILE],
        **{name: [HOSTILE] for name in ("errors", "lacking", "warnings")},
    )
    drawn = page(what)
    assert "<script" not in drawn
    assert drawn.count("</pre>") == 1
    shown = seen(what)
    assert "\u202e" not in shown
    assert "\u200b" not in shown
    assert "\x00" not in drawn
    assert shown.count("⟨U+202E⟩</pre><script>alert(1)</script>⟨U+0000⟩⟨U+200B⟩&amp;'\"") > 10
    assert proof_report.check(drawn.encode(), KEYS) == what


def test_the_page_needs_nothing_from_elsewhere_and_its_policy_allows_its_own_style_alone() -> None:
    drawn = page(report())
    assert not re.search(r"<(script|link|img|iframe|object|form|a)\b|\bsrc=|\bhref=|@import|url\(", drawn)
    assert html.escape(content_security_policy(), quote=True) in drawn.replace("&#39;", "&#x27;")
    assert "unsafe" not in content_security_policy()


def test_of_many_tables_those_that_differ_and_the_largest_are_shown_and_the_others_as_a_sum() -> None:
    tables = [table(f"t{number:03}", number) for number in range(100)] + [table("small", 1, 0)]
    text = re.sub(r"\s+", " ", seen(report(tables=tables)))
    assert "t081" in text
    assert "t080" not in text
    assert "small" in text
    assert "… and 81 with fewer rows: 3,240 expected, 3,240 found. All 101: 4,951 rows expected, 4,950 found" in text
    assert "t000" in signed(report(tables=tables)).decode()


def test_long_lists_and_texts_are_cut_on_the_page_and_whole_in_the_data() -> None:
    what = report(errors=["x" * 5000] * 30)
    assert seen(what).count("x" * 300 + "…") == 10
    assert "… and 20 more, in the signed data of this file" in seen(what)
    assert proof_report.check(proof_report.page(signed(what)), KEYS) == what


def test_a_report_whose_backup_is_gone_says_so() -> None:
    gone = {"id": "7f", "target": "shop", "backup_file": "b.sql", "created_at": NOON, "manifest": None}
    assert "no longer in the catalogue" in seen(report(backup=gone))


def test_a_page_of_version_1_is_drawn_as_it_always_was() -> None:
    """Change neither its template nor what draws it: reports of years ago are checked by drawing them again."""
    drawn = [page(report()), page(report(verification={"status": "failed", "reason": HOSTILE}))]
    assert hashlib.sha256("".join(drawn).encode()).hexdigest() == (
        "a7dd5d882962a740a7ef591d423447c37ae84309c47929c68a7203c2797db1e9"
    )
