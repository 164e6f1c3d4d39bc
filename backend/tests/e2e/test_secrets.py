"""One run through everything that knows a secret: none of them comes out where it should not."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pyotp
import pytest
from fastapi.routing import APIRoute
from pyrage import x25519

from hhh.console.routes import ROUTERS
from support.ports import free_port
from support.postgres import PostgresServer
from support.receivers import WebHook, a_web_hook
from support.s3 import S3Bucket
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.waiting import wait_until

#: What a service is told and must not repeat, by what it is.
TOLD = {
    "secret key": "canary-secret-key-0123456789abcdef0123456789",
    "database password": "canary-database-pässword/@:",
    "wrong database password": "canary-wrong-database-password",
    "store key": "canary-store-secret-key",
    "wrong store key": "canary-wrong-store-secret-key",
    "channel": "canary-channel-token",
    "heartbeat": "canary-heartbeat-token",
    "password typed as an e-mail": "canary-typed-into-the-wrong-field",
    "wrong password": "canary-wrong-password",
    "password of a user": "canary quartz ferry lantern",
    "admin's password": ADMIN_PASSWORD,
}
#: Pages that make a secret, which is shown once.
_MAKES = {"/first-steps/key", "/settings/health"}
API = "/api/v1"


class ArgumentWatch(threading.Thread):
    """Looks at the arguments of every process of the machine, again and again, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.005):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))

    def stop(self) -> set[str]:
        self._is_over.set()
        self.join()
        return self.seen


class Eavesdropper:
    """A client that keeps all that it is answered, but for what `once` takes."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, str]] = []

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 500 or answer.json()["error"]["code"] == "ERR_BACKUP_FAILED", answer.text
        self.heard.append((f"{method} {path}", f"{answer.headers.multi_items()} {answer.text}"))
        return answer

    def once(self, method: str, path: str, body: object = None) -> httpx.Response:
        """What is told is a secret, which may stand in this answer alone."""
        return self.client.request(method, path, json=body).raise_for_status()

    def ended(self, path: str) -> None:
        """Waits for the end of a job, and keeps how it ended."""
        wait_until(lambda: self._has_ended(path), seconds=60, what=f"the end of {path}")
        self.ask("GET", path)

    def _has_ended(self, path: str) -> bool:
        return self.client.get(path).json()["status"] not in {"queued", "running"}


@pytest.fixture
def identity() -> x25519.Identity:
    return x25519.Identity.generate()


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with a_web_hook() as hook:
        yield hook


@pytest.fixture
def service(
    tmp_path: Path, any_postgres: PostgresServer, identity: x25519.Identity, hook: WebHook
) -> Iterator[Service]:
    identity_file = tmp_path / "identity.txt"
    identity_file.write_text(str(identity))
    identity_file.chmod(0o600)
    settings = {
        "env": "production",
        "cookie_secure": "false",
        "secret_key": TOLD["secret key"],
        "age_recipients": str(identity.to_public()),
        "age_identity_file": identity_file,
        "heartbeat_url": f"http://127.0.0.1:{hook.port}/{TOLD['heartbeat']}",
        "metrics_port": free_port(),
        "scratch_dir": tmp_path,
        "pg_bin_dir": any_postgres.bin_dir,
    }
    folder = tmp_path / "service"
    folder.mkdir()
    with Service(folder, settings) as running:
        yield running


@pytest.fixture
def database_url(any_postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database whose owner signs in with a password."""
    name = any_postgres.create_database()
    password = TOLD["database password"].replace("'", "''")
    any_postgres.execute(f"CREATE ROLE canary LOGIN SUPERUSER PASSWORD '{password}'")
    any_postgres.execute("CREATE TABLE goods (id int PRIMARY KEY)", database=name)
    yield any_postgres.url(name, user="canary", password=TOLD["database password"])
    any_postgres.drop_database(name)
    any_postgres.execute("DROP ROLE canary")


@pytest.fixture
def store_options(s3: S3Bucket) -> dict[str, str]:
    return {"access_key_id": "canary-id", "secret_access_key": TOLD["store key"], "endpoint_url": s3.endpoint}


def test_no_secret_comes_out(
    service: Service,
    database_url: str,
    s3: S3Bucket,
    store_options: dict[str, str],
    hook: WebHook,
    identity: x25519.Identity,
) -> None:
    watch = ArgumentWatch()
    watch.start()
    with service.signed_in_client() as client:
        somebody = Eavesdropper(client)
        made = {"age identity": str(identity)}
        made |= {f"cookie {name}": value for name, value in client.cookies.items() if name != "hhh_csrf"}
        _set_up(somebody, database_url, s3, store_options, hook)
        _work(somebody)
        made |= _sign_in_in_every_way(somebody, service)
        wait_until(lambda: any(TOLD["heartbeat"] in path for path in hook.paths), seconds=90, what="a heartbeat")
        _see_everything(somebody)
    arguments = watch.stop()
    service.terminate()

    secrets = {name: _spellings(value) for name, value in (TOLD | made).items()}
    places = [*somebody.heard, *((f"arguments: {each}", each) for each in arguments), ("log", service.log())]
    assert _leaks(secrets, places) == []
    assert _leaks(secrets, _files(service.folder)) == []


def _set_up(somebody: Eavesdropper, database_url: str, s3: S3Bucket, options: dict[str, str], hook: WebHook) -> None:
    wrong = database_url.replace(quote(TOLD["database password"], safe=""), TOLD["wrong database password"])
    assert wrong != database_url
    somebody.ask("POST", f"{API}/storages", {"name": "s3", "url": s3.url("x"), "options": options})
    refused = options | {"secret_access_key": TOLD["wrong store key"]}
    somebody.ask("POST", f"{API}/storages", {"name": "refused", "url": "s3://nowhere/y", "options": refused})
    for name, url in (("shop", database_url), ("wrong", wrong)):
        target = {"name": name, "url": url, "storages": ["s3"] if name == "shop" else []}
        assert somebody.ask("POST", f"{API}/targets", target).status_code == 201
        somebody.ask("POST", f"{API}/targets/{name}/test")
    channel = {"name": "hook", "url": f"json://user:{TOLD['channel']}@127.0.0.1:{hook.port}/{TOLD['channel']}"}
    assert somebody.ask("POST", f"{API}/alerts/channels", channel).status_code == 201
    gone = {"name": "gone", "url": f"json://user:{TOLD['channel']}@127.0.0.1:9/{TOLD['channel']}"}
    somebody.ask("POST", f"{API}/alerts/channels", gone)
    for name in ("hook", "gone"):
        somebody.ask("POST", f"{API}/alerts/channels/{name}/test")
    for name in ("s3", "refused"):
        somebody.ask("POST", f"{API}/storages/{name}/test")


def _work(somebody: Eavesdropper) -> None:
    answer = somebody.ask("POST", f"{API}/backups/trigger", {"target": "shop"})
    assert answer.status_code == 200, answer.text
    backup = answer.json()["backup_id"]
    somebody.ask("POST", f"{API}/backups/trigger", {"target": "wrong"})
    somebody.ask("POST", f"{API}/backups/trigger")
    accepted = somebody.ask("POST", f"{API}/backups/{backup}/verify", {"level": "readable"})
    somebody.ended(accepted.headers["Location"])
    order = {"backup_id": backup, "mode": "new", "destination": "canary_restored", "dry_run": True}
    accepted = somebody.ask("POST", f"{API}/restores", order)
    somebody.ended(accepted.headers["Location"])
    wrong = order | {"target": "wrong", "dry_run": False}
    accepted = somebody.ask("POST", f"{API}/restores", wrong)
    if accepted.status_code == 202:
        somebody.ended(accepted.headers["Location"])


def _sign_in_in_every_way(somebody: Eavesdropper, service: Service) -> dict[str, str]:
    """What was made on the way."""
    made = {}
    present = {"current_password": ADMIN_PASSWORD}
    token = somebody.once("POST", f"{API}/tokens", {"name": "canary", "scopes": ["backup:read"]}).json()["token"]
    made["API token"] = token
    user = {"email": "member@example.com", "role": "SUPER_ADMIN", "password": TOLD["password of a user"], **present}
    assert somebody.ask("POST", f"{API}/users", user).status_code == 201
    with service.client() as other:
        nobody = Eavesdropper(other)
        nobody.ask("GET", f"{API}/backups/stats", None)
        other.headers["Authorization"] = f"Bearer {token}"
        assert nobody.ask("GET", f"{API}/backups/stats").status_code == 200
        nobody.ask("DELETE", f"{API}/targets/shop")
        nobody.ask("GET", "/metrics")
        del other.headers["Authorization"]
        nobody.ask("POST", f"{API}/auth/login", {"email": TOLD["password typed as an e-mail"], "password": "x" * 12})
        nobody.ask("POST", f"{API}/auth/login", {"email": ADMIN_EMAIL, "password": TOLD["wrong password"]})
        service.sign_in(other, email="member@example.com", password=TOLD["password of a user"])
        current = {"current_password": TOLD["password of a user"]}
        begun = nobody.once("POST", f"{API}/auth/second-factor", current).json()
        made["TOTP secret"] = begun["secret"]
        code = {"code": pyotp.TOTP(begun["secret"]).now()}
        codes = nobody.once("POST", f"{API}/auth/second-factor/confirm", code).json()["recovery_codes"]
        made |= {f"recovery code {number}": each for number, each in enumerate(codes)}
        nobody.ask("GET", f"{API}/auth/me")
        somebody.heard += nobody.heard
    return made


def _see_everything(somebody: Eavesdropper) -> None:
    """Every page and list of the console and the API that needs no id, and those of what is there."""
    described = somebody.ask("GET", "/openapi.json").json()["paths"]
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    paths = {route.path for route in routes if route.methods == {"GET"}}
    paths |= {path for path, operations in described.items() if "get" in operations}
    for path in sorted(path for path in paths - _MAKES if "{" not in path):
        somebody.ask("GET", path)
    for name in ("shop", "wrong"):
        _see_each(somebody, name, "/targets/{}", "/targets/{}/edit", f"{API}/targets/{{}}")
    for name in ("s3", "refused"):
        _see_each(somebody, name, "/stores/{}", "/stores/{}/edit", f"{API}/storages/{{}}")
    for backup in somebody.ask("GET", f"{API}/backups").json()["items"]:
        commands = f"{API}/backups/{{}}/recovery-commands"
        _see_each(somebody, backup["id"], "/backups/{}", f"{API}/backups/{{}}", commands)
    somebody.ask("GET", "/nowhere")


def _see_each(somebody: Eavesdropper, name: str, *paths: str) -> None:
    for path in paths:
        somebody.ask("GET", path.format(name))


def _spellings(value: str) -> set[str]:
    """As it is, and as a URL has it."""
    return {value, quote(value), quote(value, safe="")}


def _leaks(secrets: dict[str, set[str]], places: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, place[:300])
        for place, text in places
        for name, spellings in secrets.items()
        if any(each in text for each in spellings)
    ]


def _files(folder: Path) -> list[tuple[str, str]]:
    """What the service has written, but for the key that it was given to keep."""
    files = [each for each in folder.rglob("*") if each.is_file()]
    assert any(each.suffix == ".db" for each in files)
    return [(str(each), each.read_bytes().decode("utf-8", "replace")) for each in files]
