"""Multipart uploads that a killed process left: obstore neither lists them nor drops one that is not its own.

S3 keeps them, and bills their parts, until somebody aborts them; so they are asked for with botocore, which is loaded
only then. The others need nothing of us: Azure Blob Storage drops blocks that were not committed within a week. Google
Cloud Storage does so where the bucket has a lifecycle rule ``AbortIncompleteMultipartUpload``, which is to be set once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hhh.core.errors import StorageUnavailable
from hhh.storages.base import Unfinished
from hhh.storages.options import Options, endpoint_of, has_own_credentials

if TYPE_CHECKING:
    from botocore.client import BaseClient

_DEFAULT_REGION = "us-east-1"
_CONNECT_SECONDS = 10
#: What botocore would read beside what obstore reads: profiles, and files in the home folder.
_NOT_READ = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class S3Uploads:
    """The unfinished multipart uploads of one bucket. Thread-safe.

    Args:
        bucket: of the store.
        prefix: that its keys are below; may be empty.
        options: who may enter, as `hhh.storages.options` has them; what they leave open is read from the environment.
        request_seconds: for one request.
    """

    def __init__(self, bucket: str, prefix: str, options: Options, request_seconds: float) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._request_seconds = request_seconds

    def list(self, folder: str) -> Iterator[Unfinished]:
        """All under a folder of the store; ``""`` for all.

        Raises:
            StorageUnavailable: the store does not answer, or does not let us see them.
        """
        with self._asking("listing unfinished uploads") as client:
            below = f"{self._prefix}{folder}/" if folder else self._prefix
            for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=below):
                for each in page.get("Uploads", ()):
                    yield Unfinished(each["Key"].removeprefix(self._prefix), each["Initiated"], each["UploadId"])

    def abort(self, upload: Unfinished) -> None:
        """Drops one with its parts; a no-op if it has ended.

        Raises:
            StorageUnavailable: the store does not answer, or keeps it.
        """
        with self._asking("aborting an upload") as client:
            try:
                client.abort_multipart_upload(
                    Bucket=self._bucket, Key=f"{self._prefix}{upload.key}", UploadId=upload.upload
                )
            except client.exceptions.NoSuchUpload:
                return

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._client()
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(
                f"s3://{self._bucket}/{self._prefix}: {doing}: {error}",
                hint="the store's user needs s3:ListBucketMultipartUploads and s3:AbortMultipartUpload",
            ) from error

    def _client(self) -> BaseClient:
        import botocore.session
        from botocore.config import Config

        session = botocore.session.Session(session_vars=_NOT_READ)
        region = self._options.get("region") or _variable("AWS_REGION", "AWS_DEFAULT_REGION") or _DEFAULT_REGION
        endpoint, virtual = self._endpoint(region)
        own = has_own_credentials(self._options)
        return session.create_client(
            "s3",
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=self._options["access_key_id"] if own else None,
            aws_secret_access_key=self._options["secret_access_key"] if own else None,
            aws_session_token=self._options.get("session_token") if own else None,
            config=Config(
                connect_timeout=min(_CONNECT_SECONDS, self._request_seconds),
                read_timeout=self._request_seconds,
                retries={"mode": "standard", "total_max_attempts": 3},
                s3={"addressing_style": "virtual" if virtual else "path"},
            ),
        )

    def _endpoint(self, region: str) -> tuple[str, bool]:
        """The server, and whether the bucket is a part of its name: obstore is told it so, and botocore is not."""
        asked = self._options.get("virtual_hosted_style_request")
        if asked is None and not has_own_credentials(self._options):
            asked = _variable("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
        endpoint = endpoint_of("s3", self._options) or f"https://s3.{region}.amazonaws.com"
        return endpoint.replace(f"://{self._bucket}.", "://", 1), (asked or "").lower() == "true"


def _variable(*names: str) -> str | None:
    return next(filter(None, map(os.environ.get, names)), None)
