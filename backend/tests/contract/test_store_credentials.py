"""A store with credentials of its own sends nothing that the environment holds for others."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hhh.storages.registry import open_storage
from support.ports import LOOPBACK
from support.s3 import S3Bucket

OWN_KEY = base64.b64encode(b"o" * 32).decode()
OTHERS_KEY = base64.b64encode(b"e" * 32).decode()


@dataclass
class Listener:
    """A server that takes everything, and what it was sent."""

    url: str
    heard: list[str] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard.heard.append(f"{self.path} {json.dumps(dict(self.headers))}")
            self.send_response(200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        heard = Listener(f"http://{LOOPBACK}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield heard
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _environment_of_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://{LOOPBACK}:9"
    for name, value in {
        "AWS_ENDPOINT_URL": nowhere,
        "AWS_ENDPOINT_URL_S3": nowhere,
        "AWS_ENDPOINT": nowhere,
        "AWS_ACCESS_KEY_ID": "others-key",
        "AWS_SECRET_ACCESS_KEY": "others-secret",
        "AWS_SESSION_TOKEN": "others-token",
        "AWS_REGION": "others-1",
        "AWS_DEFAULT_REGION": "others-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REQUEST_PAYER": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": "others",
        "AZURE_STORAGE_ACCOUNT_KEY": OTHERS_KEY,
        "AZURE_STORAGE_TOKEN": "others-bearer",
        "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=others",
        "AZURE_STORAGE_ENDPOINT": nowhere,
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)


def test_s3_is_signed_with_its_own_key_alone(listener: Listener) -> None:
    own = {"access_key_id": "own-key", "secret_access_key": "own-secret", "endpoint_url": listener.url}

    open_storage("s3://bucket/p", options={**own, "region": "own-1"}, retry_seconds=1).create("k", b"x")
    open_storage("s3://bucket/p", options={**own, "session_token": "own-token"}, retry_seconds=1).create("k", b"x")

    first, second = listener.heard
    assert first.startswith("/bucket/p/k ")
    assert "Credential=own-key/" in first
    assert "/own-1/s3/" in first
    assert "security-token" not in first.lower()
    assert "own-token" in second
    assert "/us-east-1/s3/" in second
    assert "others" not in first + second
    assert "payer" not in first + second


@pytest.mark.parametrize(
    ("key", "sent"), [({"account_key": OWN_KEY}, "SharedKey own1:"), ({"sas_key": "?sv=2&sig=own"}, "sig=own")]
)
def test_azure_is_entered_with_its_own_key_alone(key: dict[str, str], sent: str, listener: Listener) -> None:
    options = {"account_name": "own1", "endpoint_url": listener.url, **key}

    open_storage("az://container/p", options=options, retry_seconds=1).create("k", b"x")

    (heard,) = listener.heard
    assert sent in heard
    assert "others" not in heard
    assert "Bearer" not in heard


def test_google_is_entered_with_its_own_key_alone(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BASE_URL", f"http://{LOOPBACK}:9")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/others.json")
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = json.dumps({"private_key": pem, "private_key_id": "1", "client_email": "own@example.com"}, indent=2)
    options = {"service_account_key": account, "endpoint_url": listener.url}

    open_storage("gs://bucket/p", options=options, retry_seconds=1).create("k", b"x")

    (heard,) = listener.heard
    token = heard.partition("Bearer ")[2].partition('"')[0]
    assert jwt.decode(token, options={"verify_signature": False})["iss"] == "own@example.com"


def test_s3_with_own_credentials_does_all_that_backups_need(s3: S3Bucket) -> None:
    options = {
        "access_key_id": s3.access_key_id,
        "secret_access_key": s3.secret_access_key,
        "endpoint_url": s3.endpoint,
    }
    storage = open_storage(s3.url("p"), options=options, retry_seconds=1)

    with storage.open_writer("a") as writer:
        writer.write(b"content")

    assert b"".join(storage.read("a")) == b"content"
    assert s3.keys() == ["p/a"]
