from pathlib import Path

import pytest

from hhh.core.errors import InvalidInput
from hhh.storages.connections import connection_to
from hhh.storages.local import LocalStorage
from hhh.storages.objectstore import ObjectStorage
from hhh.storages.registry import open_storage


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    storage = open_storage(f"file://{tmp_path}/with%20space")

    assert isinstance(storage, LocalStorage)
    storage.create("a", b"1")
    assert (tmp_path / "with space" / "a").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("gs://bucket/prefix", "gs://bucket/prefix"),
        ("az://container/prefix", "az://container/prefix"),
    ],
)
def test_object_stores_are_a_bucket_and_a_prefix(url: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")

    storage = open_storage(url)

    assert isinstance(storage, ObjectStorage)
    assert storage.address == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/just/a/path",
        "ftp://host/folder",
        "S4://bucket",
        "file://relative/path",
        "file://",
        "file:///a/../b",
        "file:///a%00b",
        "s3://",
        "s3:///prefix",
        "s3://bucket:443/prefix",
        "s3://evil.example.com\\bucket/prefix",
        "s3://bücket/prefix",
        "s3://bucket/a//b",
        "s3://bucket/../other",
        "s3://bucket/%2e%2e/other",
        "s3://[bucket/prefix",
        "s3://bucket/prefix?region=x",
        "s3://bucket/prefix#x",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        open_storage(url)


def test_an_unknown_kind_is_told_what_is_known() -> None:
    with pytest.raises(InvalidInput, match=r"'ftp'.*file:///folder, s3://bucket/prefix, az://.*gs://"):
        open_storage("ftp://host/folder")


def test_a_folder_without_its_kind_is_told_how_to_write_it() -> None:
    with pytest.raises(InvalidInput, match=r"names no kind of store.*a folder is file:///folder"):
        open_storage("/srv/backups")


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidInput) as raised:
        open_storage("s3://the-key:the-secret@bucket/prefix")

    assert "the-secret" not in str(raised.value)
    assert "the-key" not in str(raised.value)


@pytest.mark.parametrize(("endpoint", "plain"), [("http://127.0.0.1:9000", True), ("https://s3.example.org", False)])
def test_plain_http_is_spoken_only_where_the_endpoint_says_so(
    endpoint: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"access_key_id": "key", "secret_access_key": "secret", "endpoint_url": endpoint}
    assert connection_to("s3", "bucket", own).plain_http is plain
    assert not connection_to("s3", "bucket", {}).plain_http
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert connection_to("s3", "bucket", {}).plain_http is plain
