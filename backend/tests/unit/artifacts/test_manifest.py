import base64
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

import hhh
from hhh.artifacts.manifest import (
    Manifest,
    StoredAttachment,
    StoredObject,
    parse_manifest,
    sign_manifest,
)
from hhh.core.errors import ManifestInvalid
from hhh.core.signed_json import canonical
from hhh.core.signing import SigningKey
from hhh.engines.base import EngineKind

KEY = SigningKey(Ed25519PrivateKey.generate())
STRANGER = SigningKey(Ed25519PrivateKey.generate())
DOCUMENTATION = Path(hhh.__file__).parents[3] / "docs" / "manifest.md"


def stored(name: str) -> dict[str, Any]:
    return {
        "key": f"installation/app/{name}",
        "size": 123,
        "sha256": "ab" * 32,
        "raw_size": 9_007_199_254_740_991,
        "compression": "zstd",
        "encryption": "age",
    }


def manifest(**changed: Any) -> Manifest:
    known: dict[str, Any] = {
        "installation": "installation",
        "backup_id": "5f1f2f0e-0000-4000-8000-000000000000",
        "target": "app",
        "backup_file": "backup_20250101_120000.sql",
        "attempt": 1,
        "engine": EngineKind.POSTGRESQL,
        "created_at": datetime(2025, 1, 1, 12, 0, 0, 5, tzinfo=UTC),
        "finished_at": datetime(2025, 1, 1, 12, 0, 9, tzinfo=UTC),
        "object": StoredObject(**stored("dump")),
        "facts": StoredObject(**stored("facts")),
        "attachments": (StoredAttachment(name="schema.dump", **stored("schema")),),
        "recipients": ("age1qqq",),
        "versions": {"server": "16.4", "tool": "pg_dump 16.4", "hhh": "0.1.0"},
        "warnings": ('a "tool" said: \x7f \x01 \\ / \u2028 Grüße 🗝',),
    }
    return Manifest(**(known | changed))


def changed(content: bytes, **members: Any) -> bytes:
    return json.dumps(json.loads(content) | members).encode()


def signed(document: dict[str, Any]) -> bytes:
    """A document of any form, with a signature that holds."""
    signature = {"algorithm": "ed25519", "public_key": KEY.public_key, "value": KEY.sign(canonical(document))}
    return json.dumps(document | {"signature": signature}).encode()


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(sign_manifest(manifest(), KEY))
    del loaded["signature"]
    return loaded


def test_a_manifest_reads_back_as_it_was() -> None:
    read = parse_manifest(sign_manifest(manifest(), KEY), {KEY.public_key})

    assert read == manifest()
    assert read.created_at == datetime(2025, 1, 1, 12, tzinfo=UTC)
    assert parse_manifest(sign_manifest(manifest(), KEY), None) == manifest()


def test_it_is_text_for_people_with_times_as_the_runbook_prints_them() -> None:
    content = sign_manifest(manifest(), KEY)

    assert content.endswith(b"}\n")
    assert b'\n  "format": "hhh-backup-manifest"' in content
    assert json.loads(content)["created_at"] == "2025-01-01T12:00:00+00:00"


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing() -> None:
    content = sign_manifest(manifest(), KEY)

    for position in range(len(content)):
        for bit in (0, 5):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            try:
                read = parse_manifest(bytes(damaged), {KEY.public_key})
            except ManifestInvalid:
                continue
            assert read == manifest(), position


def test_a_manifest_that_ends_early_is_found() -> None:
    content = sign_manifest(manifest(), KEY)

    for length in range(0, len(content) - 2, 7):
        with pytest.raises(ManifestInvalid):
            parse_manifest(content[:length], None)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"no JSON", b"[]", b"null", b"{}", b'"text"', b"[" * 100_000, b'{"format": "other"}', b"1e999"],
)
def test_what_is_no_manifest_is_told_so(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        parse_manifest(content, None)


def test_an_unknown_version_is_told_before_anything_else_is_looked_at() -> None:
    with pytest.raises(ManifestInvalid, match="version is 2, known is 1"):
        parse_manifest(
            b'{"format": "hhh-backup-manifest", "version": 2, "anything": 1.5e3}'.replace(b"1.5e3", b"1"), None
        )


def test_a_signature_of_somebody_else_counts_only_where_everybody_is_trusted() -> None:
    content = sign_manifest(manifest(), STRANGER)

    with pytest.raises(ManifestInvalid, match="not trusted"):
        parse_manifest(content, {KEY.public_key})
    assert parse_manifest(content, None) == manifest()


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "text",
        {},
        {"algorithm": "none", "public_key": KEY.public_key, "value": ""},
        {"algorithm": "ed25519", "public_key": KEY.public_key, "value": ""},
        {"algorithm": "ed25519", "public_key": KEY.public_key, "value": "no base64!"},
        {"algorithm": "ed25519", "public_key": "AAAA", "value": KEY.sign(b"")},
        {"algorithm": "ed25519", "public_key": KEY.public_key, "value": KEY.sign(b"something else")},
    ],
)
def test_a_signature_that_is_none_is_refused(signature: object) -> None:
    with pytest.raises(ManifestInvalid, match="signature"):
        parse_manifest(changed(sign_manifest(manifest(), KEY), signature=signature), None)


def test_a_missing_signature_is_refused() -> None:
    with pytest.raises(ManifestInvalid, match="no signature"):
        parse_manifest(json.dumps(document()).encode(), None)


def test_signed_but_of_another_form_is_refused_with_the_place() -> None:
    cases: dict[str, dict[str, Any]] = {
        "surprise": document() | {"surprise": 1},
        "object.surprise": document() | {"object": stored("dump") | {"surprise": 1}},
        "attempt": document() | {"attempt": "1"},
        "object.size": document() | {"object": stored("dump") | {"size": -1}},
        "object.sha256": document() | {"object": stored("dump") | {"sha256": "short"}},
        "engine": document() | {"engine": "oracle"},
        "created_at": document() | {"created_at": "9999-12-31T23:59:59-23:59"},
        "finished_at": document() | {"finished_at": "0001-01-01T00:00:00+23:00"},
    }
    for place, wrong in cases.items():
        with pytest.raises(ManifestInvalid, match=f"{re.escape(place)}:"):
            parse_manifest(signed(wrong), None)


def test_numbers_with_a_fraction_and_members_that_stand_twice_are_refused() -> None:
    content = sign_manifest(manifest(), KEY)

    for wrong in (
        content.replace(b'"attempt": 1,', b'"attempt": 1.0,'),
        content.replace(b'"attempt": 1,', b'"attempt": 1, "attempt": 1,'),
        content.replace(b'"attempt": 1,', b'"attempt": NaN,'),
    ):
        assert wrong != content
        with pytest.raises(ManifestInvalid, match="not the JSON"):
            parse_manifest(wrong, None)


def test_a_number_that_other_tools_would_print_otherwise_is_not_written() -> None:
    with pytest.raises(ValidationError):
        StoredObject(**stored("dump") | {"size": 1 << 53})


def test_the_signed_bytes_are_those_that_jq_prints() -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    content = sign_manifest(manifest(), KEY)

    printed = subprocess.run(["jq", "-cS", "del(.signature)"], input=content, capture_output=True, check=True).stdout

    assert printed == canonical(document()) + b"\n"


def documented_commands() -> str:
    found = re.search(r"```sh\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert found
    return found[1]


def verified_by_hand(folder: Path, content: bytes) -> subprocess.CompletedProcess[bytes]:
    (folder / "manifest.json").write_bytes(content)
    script = ["bash", "-e", "-o", "pipefail", "-c", documented_commands()]
    return subprocess.run(script, cwd=folder, capture_output=True, check=False)


def test_the_documented_commands_verify_a_manifest_and_find_a_changed_one(tmp_path: Path) -> None:
    for tool in ("jq", "openssl", "base64"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    content = sign_manifest(manifest(), KEY)

    good = verified_by_hand(tmp_path, content)
    bad = verified_by_hand(tmp_path, changed(content, target="other"))

    assert b"Signature Verified Successfully" in good.stdout, good.stderr
    assert good.returncode == 0
    assert bad.returncode != 0
    assert base64.b64decode(KEY.public_key) == (tmp_path / "key.der").read_bytes()[12:]


def test_every_field_is_documented_and_nothing_else() -> None:
    documented = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \|", DOCUMENTATION.read_text(), re.MULTILINE)

    assert documented == [*_fields(), "signature.algorithm", "signature.public_key", "signature.value"]


def _fields() -> list[str]:
    names: list[str] = []
    for name in Manifest.model_fields:
        below = {"object": StoredObject, "attachments": StoredAttachment}.get(name)
        names.append(f"{name}[]" if below is StoredAttachment else name)
        if name == "object":
            names += [f"object.{each}" for each in StoredObject.model_fields]
        if name == "attachments":
            names.append("attachments[].name")
    return names
