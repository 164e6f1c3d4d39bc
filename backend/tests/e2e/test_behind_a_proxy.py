"""The service behind real proxies as docs/behind-a-proxy.md sets them up; without nginx or Caddy their tests skip."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.documentation import DOCS
from support.ports import LOOPBACK, free_port
from support.service import HEALTH, Service
from support.session import current_session
from support.waiting import wait_until

PAGE = DOCS / "behind-a-proxy.md"
#: Where the client is; the proxies are at LOOPBACK.
CLIENT = "127.0.0.2"
SPOOFED = "203.0.113.9"
TRIGGER = "/api/v1/backups/trigger"
MEGABYTE = 1 << 20


def documented(language: str) -> str:
    """The one block of that language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


def documented_settings() -> dict[str, str]:
    """The block of settings that comes first, as `Service` takes them."""
    block = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    lines = re.findall(r"^HHH_(\w+)=(.*)$", block, re.MULTILINE)
    return {name.lower(): value for name, value in lines}


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "certificate.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def nginx(program: str, folder: Path, behind: int, tls: int, plain: int) -> list[str]:
    """The command of nginx with the documented servers."""
    certificate, key = make_certificate(folder)
    servers = re.sub(r" *listen \[::\].*\n", "", documented("nginx"))
    servers = servers.replace("listen 443", f"listen {LOOPBACK}:{tls}").replace(
        "listen 80;", f"listen {LOOPBACK}:{plain};"
    )
    servers = servers.replace("127.0.0.1:8000", f"{LOOPBACK}:{behind}").replace("backup.example.com;", "localhost;")
    servers = servers.replace("/etc/ssl/backup.example.com.pem", str(certificate))
    servers = servers.replace("/etc/ssl/backup.example.com.key", str(key))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{servers}}}"
    )
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(program: str, folder: Path, behind: int, tls: int, plain: int) -> list[str]:
    """The command of Caddy with the documented site."""
    certificate, key = make_certificate(folder)
    site = documented("caddy").replace("127.0.0.1:8000", f"{LOOPBACK}:{behind}")
    site = site.replace(
        "backup.example.com {", f"https://localhost:{tls} {{\n\ttls {certificate} {key}\n\tbind {LOOPBACK}"
    )
    options = f"{{\n\tadmin off\n\thttp_port {plain}\n\thttps_port {tls}\n}}\n"
    (folder / "Caddyfile").write_text(options + site)
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    folder = current_session().new_folder("behind-a-proxy")
    with Service(folder, {**documented_settings(), "secret_key": "not-a-real-one-" * 4}) as running:
        yield running


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, service: Service) -> Iterator[tuple[str, str]]:
    """The addresses of a proxy before the service: with TLS, and without."""
    name = request.param.__name__
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    folder, tls, plain = current_session().new_folder(name), free_port(), free_port()
    command = request.param(program, folder, service.port, tls, plain)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    current_session().watch(process)
    address = f"https://localhost:{tls}"
    try:
        wait_until(lambda: process.poll() is not None or answers(address), seconds=30, what=f"{name} to answer")
        assert process.poll() is None, (folder / "log").read_text()
        yield address, f"http://localhost:{plain}"
    finally:
        process.kill()
        process.wait()
        current_session().release(process)


def answers(address: str) -> bool:
    with contextlib.suppress(httpx.TransportError), browser(address) as client:
        return client.get(HEALTH).status_code == 200
    return False


def browser(address: str) -> httpx.Client:
    """A client at another address than the proxy, who says that they are at a third."""
    transport = httpx.HTTPTransport(verify=False, local_address=CLIENT)
    spoofing = {"X-Forwarded-For": SPOOFED, "X-Forwarded-Proto": "http"}
    return httpx.Client(base_url=address, transport=transport, headers=spoofing, timeout=60, trust_env=False)


def logged(service: Service, request_id: str) -> dict[str, object]:
    """The line of the service's log about a request."""
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith("{") and request_id in line]
    return next((line for line in lines if line["event"] == "request"), {})


def test_who_asks_is_known_by_their_address_and_not_by_what_they_say(service: Service, proxy: tuple[str, str]) -> None:
    with browser(proxy[0]) as client:
        answer = client.get(HEALTH)
    line = wait_until(lambda: logged(service, answer.headers["X-Request-ID"]), what="the line of the log")
    assert line["client"] == CLIENT


def test_cookies_and_answers_are_for_https_only(service: Service, proxy: tuple[str, str]) -> None:
    with browser(proxy[0]) as client:
        answer = client.get(HEALTH)
        assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
        assert "Secure" in answer.headers["Set-Cookie"]
        service.sign_in(client)
        assert client.get("/").status_code == 200


def test_who_comes_without_tls_is_led_to_it(proxy: tuple[str, str]) -> None:
    with browser(proxy[1]) as client:
        answer = client.get("/sign-in")
    assert answer.status_code in {301, 308}
    assert answer.headers["Location"].startswith("https://localhost")


def test_a_backup_is_followed_to_its_end(service: Service, proxy: tuple[str, str]) -> None:
    with browser(proxy[0]) as client:
        service.sign_in(client)
        accepted = client.post(TRIGGER, headers={"Prefer": "respond-async"})
        assert accepted.status_code == 202
        with client.stream("GET", f"{accepted.headers['Location']}/events") as events:
            told = list(events.iter_lines())
        assert "event: end" in told
        downloaded = client.get(f"{accepted.headers['Location']}/download")
    assert downloaded.status_code == 200
    assert len(downloaded.content) == int(downloaded.headers["Content-Length"])


def test_a_body_that_is_too_large_is_refused(proxy: tuple[str, str]) -> None:
    with browser(proxy[0]) as client, contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):
        # Or the connection is closed on whoever goes on sending, before they read the answer: Caddy then says 502.
        assert client.post("/api/v1/auth/login", content=b"x" * (2 * MEGABYTE)).status_code in {413, 502}
