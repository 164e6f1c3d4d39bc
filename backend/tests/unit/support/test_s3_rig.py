import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import S3Store

from support.faulty_proxy import FaultyS3, any_upload, completion, part_upload
from support.s3 import S3Bucket

MEBIBYTE = 1024 * 1024


def store_of(bucket: S3Bucket, *, retries: int = 3) -> S3Store:
    """A store as the service makes it: all but the bucket from the environment's variables."""
    known = bucket.environment()
    return S3Store(
        bucket.name,
        endpoint=known["AWS_ENDPOINT_URL"],
        access_key_id=known["AWS_ACCESS_KEY_ID"],
        secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
        region=known["AWS_REGION"],
        client_options={"allow_http": known["AWS_ALLOW_HTTP"] == "true", "timeout": "30s"},
        retry_config={"max_retries": retries},
    )


def upload_in_parts(store: S3Store, key: str, size: int) -> bytes:
    content = os.urandom(size)
    obstore.put(store, key, content, use_multipart=True, chunk_size=5 * MEBIBYTE, max_concurrency=1)
    return content


def test_the_variables_are_all_that_a_store_needs(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    store = S3Store.from_url(s3.url("some/prefix"))
    obstore.put(store, "key", b"content")
    assert s3.keys() == ["some/prefix/key"]
    assert s3.read("some/prefix/key") == b"content"


def test_each_test_has_a_bucket_of_its_own(s3: S3Bucket) -> None:
    assert s3.keys() == []
    s3.write("key", b"content")
    assert (s3.keys(), s3.keys("other")) == (["key"], [])


def test_an_upload_that_nobody_finished_is_seen(s3: S3Bucket) -> None:
    assert s3.unfinished_uploads() == []
    s3.client().create_multipart_upload(Bucket=s3.name, Key="half")
    assert s3.unfinished_uploads() == ["half"]
    assert s3.keys() == []


def test_of_two_conditional_creates_the_server_refuses_the_second(s3: S3Bucket) -> None:
    store = store_of(s3)
    obstore.put(store, "manifest", b"first", mode="create", use_multipart=False)
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "manifest", b"second", mode="create", use_multipart=False)
    assert s3.read("manifest") == b"first"


def test_the_proxy_forwards_objects_and_parts_unchanged(faulty_s3: FaultyS3) -> None:
    store = store_of(faulty_s3.bucket)
    content = upload_in_parts(store, "od d/kéy+%41", 12 * MEBIBYTE)
    assert bytes(obstore.get(store, "od d/kéy+%41").bytes()) == content
    assert faulty_s3.bucket.read("od d/kéy+%41") == content
    assert faulty_s3.proxy.count(part_upload) == 3
    assert faulty_s3.proxy.count(completion) == 1


def test_the_proxy_answers_who_waits_for_it_before_sending_a_body(faulty_s3: FaultyS3) -> None:
    through_proxy = replace(faulty_s3.bucket, server_endpoint=faulty_s3.bucket.endpoint)
    through_proxy.write("key", b"content" * 50_000)  # boto3 asks for `100 Continue`
    assert faulty_s3.bucket.read("key") == b"content" * 50_000


def test_the_proxy_forwards_chunked_bodies(faulty_s3: FaultyS3) -> None:
    pieces = [b"content" * 20_000, b"x", b"more"]
    bucket = faulty_s3.bucket
    with httpx.Client(trust_env=False) as client:
        url = bucket.client().generate_presigned_url("put_object", {"Bucket": bucket.name, "Key": "key"})
        url = url.replace(bucket.server_endpoint, bucket.endpoint)
        client.put(url, content=iter(pieces)).raise_for_status()
    assert bucket.read("key") == b"".join(pieces)


@pytest.mark.parametrize("status", [500, 503])
def test_a_fault_strikes_as_often_as_asked_and_retries_get_through(faulty_s3: FaultyS3, status: int) -> None:
    fault = faulty_s3.proxy.answer(status, where=part_upload, times=2)
    content = upload_in_parts(store_of(faulty_s3.bucket), "key", 6 * MEBIBYTE)
    assert fault.hits == 2
    assert faulty_s3.proxy.count(part_upload) == 4
    assert faulty_s3.bucket.read("key") == content


def test_a_fault_without_a_limit_strikes_until_it_is_cleared(faulty_s3: FaultyS3) -> None:
    faulty_s3.proxy.answer(500)
    store = store_of(faulty_s3.bucket, retries=0)
    with pytest.raises(GenericError, match="500"):
        obstore.put(store, "key", b"content")
    assert faulty_s3.bucket.keys() == []
    faulty_s3.proxy.clear()
    obstore.put(store, "key", b"content")
    assert faulty_s3.bucket.keys() == ["key"]


def test_a_connection_dropped_in_a_body_leaves_no_object(faulty_s3: FaultyS3) -> None:
    fault = faulty_s3.proxy.drop(after_bytes=MEBIBYTE, where=part_upload)
    with pytest.raises(GenericError):
        upload_in_parts(store_of(faulty_s3.bucket, retries=0), "key", 6 * MEBIBYTE)
    assert fault.hits >= 1
    assert faulty_s3.bucket.keys() == []


def test_a_stalled_upload_goes_on_when_it_is_released(faulty_s3: FaultyS3) -> None:
    fault = faulty_s3.proxy.stall(where=any_upload)
    with ThreadPoolExecutor() as pool:
        upload = pool.submit(obstore.put, store_of(faulty_s3.bucket), "key", b"content")
        fault.wait_for_hit()
        assert not upload.done()
        assert faulty_s3.bucket.keys() == []
        fault.release()
        upload.result(timeout=30)
    assert faulty_s3.bucket.read("key") == b"content"
