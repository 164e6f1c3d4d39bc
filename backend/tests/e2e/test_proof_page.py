"""docs/proof.md: each command as it stands there, and what is inconclusive in the words of the page."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from hhh.engines.postgresql.lacks import lacking
from support.documentation import PROOF, Operator, is_documented, require_programs
from support.postgres import PostgresServer
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service, ServiceFactory

SHOP = """
CREATE TABLE customers (id integer PRIMARY KEY, name text);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, total numeric);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace');
INSERT INTO orders VALUES (1, 1, 12.50), (2, 2, 0);
"""


@pytest.fixture(autouse=True)
def _programs() -> None:
    require_programs("bash", "curl", "grep", "awk")


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """The URL of a file."""
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.executescript(SHOP)
    connection.close()
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def at_the_file(service: Service, shop: str, tmp_path: Path) -> Operator:
    """Somebody with a backup of a SQLite file."""
    return with_a_backup(service, tmp_path, shop)


@pytest.fixture
def at_the_server(any_postgres: PostgresServer, service_factory: ServiceFactory, tmp_path: Path) -> Iterator[Operator]:
    """Somebody with a backup of a PostgreSQL database, and a target `staging` on the same server."""
    name = any_postgres.create_database()
    any_postgres.execute(SHOP, database=name)
    operator = with_a_backup(service_factory(pg_bin_dir=any_postgres.bin_dir), tmp_path, any_postgres.url(name))
    must(operator, "printf '%s\\n' \"$SHOP_URL\" | hhh target add staging -")
    yield operator
    any_postgres.drop_database(name)


def with_a_backup(service: Service, folder: Path, url: str) -> Operator:
    """Somebody with a service that has one backup of the shop, whose id is in their shell."""
    operator = Operator(folder, service, page=PROOF)
    operator.environment["SHOP_URL"] = url
    must(operator, "printf '%s\\n' \"$SHOP_URL\" | hhh target add shop -")
    operator.environment["BACKUP_ID"] = json.loads(must(operator, "hhh backup run shop --json"))["id"]
    return operator


def must(operator: Operator, script: str) -> str:
    done = operator.run_script(script)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def note_verification(operator: Operator) -> None:
    """Takes the id of the newest one into their shell."""
    [found] = json.loads(must(operator, "hhh backup verifications --target shop --limit 1 --json"))
    operator.environment["VERIFICATION_ID"] = found["id"]


# ------------------------------------------------------------------------------------------ on the command line


def test_a_backup_is_proven_shown_and_reported(at_the_file: Operator) -> None:
    proven = at_the_file.must_run("prove")
    assert "Compared with the source: 2 tables, 4 rows." in proven
    assert re.search(r"^shop +healthy ", proven, re.MULTILINE)
    note_verification(at_the_file)
    assert at_the_file.environment["VERIFICATION_ID"] in at_the_file.must_run("look")

    at_the_file.must_run("report")
    key = at_the_file.environment["SIGNING_KEY"] = at_the_file.must_run("key").split()[-1]

    assert "PROVEN RESTORABLE" in at_the_file.must_run("check")
    require_programs("jq", "openssl")
    by_hand = at_the_file.must_run("check-by-hand")
    assert by_hand.splitlines() == ["Signature Verified Successfully", key]


@pytest.mark.soak
@pytest.mark.postgres
def test_a_drill_uses_the_server_that_is_named_and_then_none(at_the_server: Operator) -> None:
    at_the_server.environment["COLUMNS"] = "200"

    printed = at_the_server.must_run("drill-server")

    assert "the server that is named for drills" in printed
    assert printed.rstrip().endswith("a throw-away server\n  demanded    nothing")
    proven = at_the_server.must_run("prove")
    assert "a throw-away server, in " in proven


@pytest.mark.soak
def test_what_happens_by_itself_is_set_and_shown(at_the_file: Operator) -> None:
    at_the_file.must_run("after-each")
    assert "verifies the newest backup: proven" in at_the_file.must_run("schedule")
    at_the_file.must_run("fingerprint")
    at_the_file.must_run("assertions")
    assert at_the_file.run("status").returncode == 1  # `app` has no backup yet
    shown = must(at_the_file, "hhh target show shop")
    for said in (
        "after each backup: stored",
        "sampled, of each table's rows",
        "proven within 7 days, backed up within 26 hours",
        "SELECT count(*) > 0 FROM customers",
        "SELECT max(id) > 0 FROM orders",
    ):
        assert said in shown
    assert "NOT EXISTS" not in shown  # one pair of assertions takes the place of the other


@pytest.mark.soak
def test_assertions_of_the_page_hold_and_one_that_does_not_says_what_to_do(at_the_file: Operator) -> None:
    at_the_file.run_script(at_the_file.block("assertions").rpartition("hhh target set")[0])
    assert must(at_the_file, 'hhh backup verify "$BACKUP_ID"').count("The assertion holds") == 2

    must(at_the_file, "hhh target set shop --assertion 'SELECT count(*) > 9 FROM customers'")
    failed = at_the_file.run_script('hhh backup verify "$BACKUP_ID"')

    assert failed.returncode == 1
    assert "SELECT count(*) > 9 FROM customers: it gave 0" in failed.stderr
    assert "Or is an assertion wrong? Change it (hhh target set shop)" in failed.stderr


@pytest.mark.soak
def test_cron_hears_of_what_is_not_healthy_and_else_of_nothing(at_the_file: Operator) -> None:
    assert "unproven" in at_the_file.must_run("cron")
    must(at_the_file, 'hhh backup verify "$BACKUP_ID"')
    taken = json.loads(must(at_the_file, "hhh backup run app --json"))["id"]
    must(at_the_file, f"hhh backup verify {taken}")
    assert at_the_file.must_run("cron") == ""


# --------------------------------------------------------------------------------------------------- over HTTP


@pytest.mark.soak
def test_over_http_it_is_asked_for_followed_shown_and_reported(at_the_file: Operator, service: Service) -> None:
    assert Operator(at_the_file.folder, service).sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).status == 200

    accepted = at_the_file.curl("http-verify")

    assert (accepted.status, accepted.body["status"]) == (202, "queued")
    at_the_file.environment["VERIFICATION_ID"] = accepted.body["verification_id"]
    assert "event: end" in at_the_file.must_run("http-events")
    shown = at_the_file.curl("http-show").body
    assert (shown["status"], shown["reached"]) == ("success", "proven")
    at_the_file.must_run("http-report")
    assert "PROVEN RESTORABLE" in must(at_the_file, "hhh backup check-report report.html")
    status = at_the_file.curl("http-status").body
    assert (status["state"], status["last_proven"]["backup_id"]) == ("healthy", shown["backup_id"])


# ------------------------------------------------------------------------------------------------ inconclusive


@pytest.mark.soak
def test_without_the_identity_only_what_is_stored_is_found_out_and_told_as_documented(
    service_factory: ServiceFactory, shop: str, tmp_path: Path
) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    operator = with_a_backup(service_factory(age_recipients=recipient), tmp_path, shop)

    assert documented(operator, 'hhh backup verify "$BACKUP_ID"')
    must(operator, 'hhh backup verify "$BACKUP_ID" --level stored')


@pytest.mark.postgres
@pytest.mark.soak
def test_without_the_server_of_that_major_the_package_is_named_as_documented(
    at_the_server: Operator, any_postgres: PostgresServer, tmp_path: Path
) -> None:
    client = tmp_path / "client"
    client.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (client / name).symlink_to(any_postgres.bin_dir / name)
    at_the_server.environment["HHH_PG_BIN_DIR"] = str(client)

    assert documented(at_the_server, 'hhh backup verify "$BACKUP_ID"')


@pytest.mark.parametrize(
    "said",
    [
        'extension "postgis" is not available',
        'extension "postgis" has no installation script nor update path for version "9.9"',
        'could not load library "/usr/lib/postgresql/16/lib/postgis-3.so"',
        'could not create locale "xx_YY"',
        'could not open stop-word file "/usr/share/klingon.stop"',
        "pg_cron can only be loaded via shared_preload_libraries",
        "could not extend file: No space left on device",
        "out of memory",
        'could not connect to server "elsewhere"',
        'COPY failed for table "owners": ERROR:  role "boss" does not exist',
        "server closed the connection unexpectedly",
    ],
)
def test_what_a_server_lacks_stands_on_the_page_with_what_to_do(said: str) -> None:
    told = lacking(f"ERROR:  {said}")

    assert told is not None
    assert is_documented(told, PROOF), told


def documented(operator: Operator, command: str) -> bool:
    """Whether the command comes to nothing for a reason that stands on the page."""
    done = operator.run_script(command)
    assert "The verification is inconclusive" in done.stderr, done.stdout + done.stderr
    [reason] = re.findall(r"^Not found out here: (.+?)$(?=\n  →|\nNote:)", done.stderr, re.MULTILINE | re.DOTALL)
    return is_documented(" ".join(reason.split()), PROOF)
