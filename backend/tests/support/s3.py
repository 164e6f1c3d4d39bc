"""S3 over HTTP on loopback (moto's server), a fresh bucket for each test."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.ports import LOOPBACK
from support.session import current_session


@dataclass(frozen=True)
class S3Bucket:
    """A bucket, where it is, and who may enter."""

    #: Where a store is to send its requests; a proxy's where one stands in front.
    endpoint: str
    #: The server itself, for looking at what a store has done.
    server_endpoint: str
    name: str
    access_key_id: str = "test-access-key"
    secret_access_key: str = field(default="test-secret-key", repr=False)
    region: str = "us-east-1"

    def url(self, prefix: str = "") -> str:
        """The storage URL: s3://bucket or s3://bucket/prefix."""
        return f"s3://{self.name}/{prefix}".rstrip("/")

    def environment(self) -> dict[str, str]:
        """The variables from which obstore (and the service) learn all but the bucket."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def client(self) -> Any:
        """A boto3 client straight to the server, for looking and for tampering."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.server_endpoint,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}),
        )

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects, sorted."""
        return [each["Key"] for each in self._list("list_objects_v2", "Contents", prefix)]

    def unfinished_uploads(self, prefix: str = "") -> list[str]:
        """The keys of multipart uploads that were neither completed nor aborted."""
        return [each["Key"] for each in self._list("list_multipart_uploads", "Uploads", prefix)]

    def read(self, key: str) -> bytes:
        """The whole object. botocore's NoSuchKey where there is none."""
        body: bytes = self.client().get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def write(self, key: str, content: bytes) -> None:
        """Put an object there, over the one that is there."""
        self.client().put_object(Bucket=self.name, Key=key, Body=content)

    def remove(self) -> None:
        """Remove the bucket with all that is in it."""
        client = self.client()
        for each in self._list("list_multipart_uploads", "Uploads"):
            client.abort_multipart_upload(Bucket=self.name, Key=each["Key"], UploadId=each["UploadId"])
        for key in self.keys():
            client.delete_object(Bucket=self.name, Key=key)
        client.delete_bucket(Bucket=self.name)

    def _list(self, operation: str, member: str, prefix: str = "") -> list[dict[str, Any]]:
        pages = self.client().get_paginator(operation).paginate(Bucket=self.name, Prefix=prefix)
        return [each for page in pages for each in page.get(member, [])]


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of the session's S3 server."""
    log = (current_session().folder / "s3.log").open("wb")
    program = Path(__file__).with_name("moto_process.py")  # not imported: moto takes its time
    server = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    with log, server:
        assert server.stdout is not None
        port = server.stdout.readline()
        if not port:
            pytest.fail(f"the S3 server did not start; see {log.name}")
        yield f"http://{LOOPBACK}:{int(port)}"
        server.kill()


@pytest.fixture
def s3(s3_endpoint: str) -> Iterator[S3Bucket]:
    """A fresh bucket, removed with all that is in it."""
    bucket = S3Bucket(endpoint=s3_endpoint, server_endpoint=s3_endpoint, name=f"bucket-{uuid.uuid4().hex[:12]}")
    bucket.client().create_bucket(Bucket=bucket.name)
    yield bucket
    bucket.remove()
