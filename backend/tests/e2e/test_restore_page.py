"""docs/restore.md and the runbook's own restore: each command as it stands there, each message in its words."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from hhh.schemas.restore import CheckStatus, Receipt, RestoreRequest
from support.backing_up import hhh
from support.documentation import KEYS, RESTORE, RUNBOOK, Answer, Operator, is_documented, require_programs
from support.postgres import PostgresServer
from support.postgres_dumps import dump_by_hand
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service, ServiceFactory
from support.shops import PostgresqlShop, Shop, SqliteShop, postgresql_shop, shop, sqlite_shop
from support.sqlite_data import make_corrupt
from support.waiting import wait_until

__all__ = ["postgresql_shop", "shop", "sqlite_shop"]

NO_ID = "5f1f2f0e-0000-4000-8000-000000000000"
#: The first column of a table: one name or several.
_NAMED = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)


#: The same restores of PostgreSQL are in test_restore.py, and its commands in integration/cli.
EACH_SHOP = pytest.mark.parametrize(
    "shop",
    ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.soak])],
    indirect=True,
)


@pytest.fixture(autouse=True)
def _programs() -> None:
    require_programs("bash", "curl", "grep", "awk")


def operator_of(service: Service, folder: Path, shop: Shop, *, name: str = "shop") -> Operator:
    """Somebody with a service that has one backup of the shop, whose id is in their shell."""
    operator = Operator(folder, service, page=RESTORE)
    operator.environment |= {"SHOP_URL": shop.url, "BACKUP_ID": ""}
    must(operator, f"printf '%s\\n' \"$SHOP_URL\" | hhh target add {name} -")
    operator.environment["BACKUP_ID"] = json.loads(must(operator, f"hhh backup run {name} --json"))["id"]
    return operator


def must(operator: Operator, script: str) -> str:
    done = operator.run_script(script)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def restores(operator: Operator) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(must(operator, "hhh restore list --json"))
    return listed


@pytest.fixture
def service(service_factory: ServiceFactory, any_postgres: PostgresServer) -> Service:
    """One that has PostgreSQL's programs."""
    return service_factory(pg_bin_dir=any_postgres.bin_dir)


@pytest.fixture
def at_the_shop(service: Service, shop: Shop, tmp_path: Path) -> Operator:
    """An operator of each kind of database in turn."""
    return operator_of(service, tmp_path, shop)


@pytest.fixture
def at_the_file(service: Service, sqlite_shop: SqliteShop, tmp_path: Path) -> Operator:
    """An operator of a SQLite file."""
    return operator_of(service, tmp_path, sqlite_shop)


@pytest.fixture
def at_the_server(service: Service, postgresql_shop: PostgresqlShop, tmp_path: Path) -> Iterator[Operator]:
    """An operator of a PostgreSQL database, on each server in turn."""
    yield operator_of(service, tmp_path, postgresql_shop)
    for name in ("shop_restored", "shop_some", "shop_again"):
        postgresql_shop.server.drop_database(name)


def brought(operator: Operator, shop: Shop) -> str:
    """Where `--to shop_restored` has gone."""
    return str(operator.folder / "shop_restored") if isinstance(shop, SqliteShop) else "shop_restored"


def drop(shop: Shop, *names: str) -> None:
    if isinstance(shop, PostgresqlShop):
        for name in names:
            shop.server.drop_database(name)


# ---------------------------------------------------------------------------------------- on the command line


@pytest.mark.soak
@EACH_SHOP
@pytest.mark.parametrize(
    ("page", "plan", "new", "replace", "undo"),
    [
        pytest.param(RUNBOOK, "restore-plan", "restore-new", "restore-replace", "restore-undo", id="the runbook"),
        pytest.param(RESTORE, "plan", "new", "replace", "undo", id="the page"),
    ],
)
def test_the_commands_plan_restore_replace_and_take_back(
    at_the_shop: Operator, shop: Shop, page: Path, plan: str, new: str, replace: str, undo: str
) -> None:
    operator = Operator(at_the_shop.folder, page=page)
    operator.environment = at_the_shop.environment
    then = shop.rows()
    try:
        assert "The restore would" in operator.must_run(plan)
        assert {each["dry_run"] for each in restores(operator)} == {True}
        operator.must_run(new)
        assert shop.rows(brought(operator, shop)) == then
    finally:
        drop(shop, "shop_restored")
    shop.change()
    changed = shop.rows()
    printed = operator.must_run(replace)
    assert shop.rows() == then
    (operator.environment["RESTORE_ID"],) = re.findall(
        r"^To take it back: hhh restore undo (\S+)$", printed, re.MULTILINE
    )
    kept = restores(operator)[0]["kept"]
    assert re.fullmatch(
        r"(.*/)?" + re.escape(Path(restores(operator)[0]["destination"]).name) + r"[._]before_\w{8}", kept
    )
    assert operator.environment["RESTORE_ID"] in must(operator, 'hhh restore show "$RESTORE_ID"')
    operator.must_run(undo)
    assert shop.rows() == changed
    told = operator.run_script('hhh restore undo "$RESTORE_ID"').stderr
    assert is_documented(told.strip().rpartition(": ")[2], RESTORE)


@pytest.mark.soak
@pytest.mark.postgres
def test_tables_come_back_alone(at_the_server: Operator, postgresql_shop: PostgresqlShop) -> None:
    at_the_server.must_run("tables")

    assert postgresql_shop.rows("shop_some") == postgresql_shop.rows()


@pytest.mark.postgres
@pytest.mark.soak
def test_a_dropped_table_goes_back_and_one_that_is_there_is_not_overwritten(
    at_the_server: Operator, postgresql_shop: PostgresqlShop
) -> None:
    then, name = postgresql_shop.rows(), postgresql_shop.name
    into = f"hhh restore latest --target shop --tables public.customers --to {name}"
    assert documented_reasons(at_the_server, into) == ["tables"]
    postgresql_shop.server.execute("DROP TABLE customers CASCADE", database=name)

    must(at_the_server, into)

    assert postgresql_shop.rows() == then


@pytest.mark.postgres
@pytest.mark.soak
def test_a_role_that_only_reads_is_refused_and_another_one_restores(
    at_the_server: Operator, postgresql_shop: PostgresqlShop
) -> None:
    server, name = postgresql_shop.server, postgresql_shop.name
    server.execute("DROP ROLE IF EXISTS hhh_reader")
    server.execute("CREATE ROLE hhh_reader LOGIN PASSWORD 'a long random one'")
    server.execute("GRANT pg_read_all_data TO hhh_reader")
    try:
        reader = server.url(name, user="hhh_reader", password="a long random one")
        at_the_server.environment |= {"READER_URL": reader, "ADMIN_URL": postgresql_shop.url}
        must(at_the_server, 'echo "$READER_URL" | hhh target add reader -')
        refused = documented_reasons(at_the_server, 'hhh restore "$BACKUP_ID" --target reader --to shop_restored')
        assert refused == ["permissions"]

        at_the_server.must_run("other-role")

        assert postgresql_shop.rows("shop_restored") == postgresql_shop.rows()
    finally:
        server.execute("DROP ROLE hhh_reader")


@pytest.mark.soak
def test_the_own_database_comes_back_and_everybody_signs_in_again(
    service_factory: ServiceFactory, own: dict[str, Any], tmp_path: Path
) -> None:
    service = service_factory(**own)
    operator = Operator(tmp_path, service, page=RESTORE)
    with service.signed_in_client() as client:
        must(operator, "hhh backup run app")
        must(operator, f"echo sqlite:///{tmp_path}/late.db | hhh target add late -")

        operator.must_run("own")

        assert client.get("/api/v1/backups/stats").status_code == 401
    with service.signed_in_client() as client:
        assert [target["name"] for target in client.get("/api/v1/targets").json()] == ["app"]
        assert client.get("/api/v1/backups/stats").json()["successful_backups"] == 1
        (restore,) = client.get("/api/v1/restores").json()["items"]
    operator.environment["RESTORE_ID"] = restore["id"]
    operator.must_run("undo")
    with service.signed_in_client() as client:
        assert [target["name"] for target in client.get("/api/v1/targets").json()] == ["app", "late"]


# ------------------------------------------------------------------------------------------- without the service


@pytest.fixture
def from_store(at_the_shop: Operator, service: Service) -> Operator:
    """An operator with what stands in a recovery kit, and the address of a store; nothing of the installation."""
    operator = Operator(at_the_shop.folder, page=RESTORE)
    identity = operator.folder / "identity.key"
    keys = Operator(at_the_shop.folder, service, page=KEYS)
    made = must(at_the_shop, f"age-keygen -o {identity} && age-keygen -y {identity}").split()[-1]
    at_the_shop.environment["HHH_AGE_RECIPIENTS"] = made
    for name in ("shop", "notes"):
        must(
            at_the_shop,
            f'echo "$SHOP_URL" | hhh target add {name} - ; hhh backup run {name}'
            if name == "notes"
            else f"hhh backup run {name}",
        )
    operator.environment |= {
        "STORE_URL": (service.data_dir / "backups").as_uri(),
        "KEY": str(identity),
        "SIGNING_KEY": str(json.loads(must(keys, "hhh keys show --json"))["signing_key"]),
        "HHH_PG_BIN_DIR": at_the_shop.environment["HHH_PG_BIN_DIR"],
    }
    service.terminate()
    return operator


@pytest.mark.soak
def test_a_store_and_the_kit_are_enough(from_store: Operator, shop: Shop) -> None:
    require_programs("age-keygen")
    if isinstance(shop, PostgresqlShop):
        from_store.environment["RESTORE_URL"] = shop.server.url(shop.elsewhere)
        from_store.must_run("from-store-server")
        assert shop.rows(shop.elsewhere) == shop.rows()
        return
    from_store.must_run("from-store-file")
    assert shop.rows(str(from_store.folder / "notes-restored.db")) == shop.rows()
    unknown = 'hhh restore --from "$STORE_URL" --target notes --to other.db --identity "$KEY" --plan'
    assert documented_reasons(from_store, unknown) == ["signature"]
    unreadable = 'hhh restore --from "$STORE_URL" --target notes --to other.db --trusted-key "$SIGNING_KEY" --plan'
    assert documented_reasons(from_store, unreadable) == ["identity"]


# ------------------------------------------------------------------------------------------------------ over HTTP


def signed_in(operator: Operator, service: Service) -> Operator:
    """The same, with a session in their cookie jar."""
    entering = Operator(operator.folder, service)
    assert entering.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).status == 200
    return operator


def ended(operator: Operator, answer: Answer) -> dict[str, Any]:
    """The restore that was asked for, as it ended; its id is in the operator's shell."""
    assert answer.status == 202, answer
    operator.environment["RESTORE_ID"] = answer.body["restore_id"]
    assert answer.headers["location"] == f"/api/v1/restores/{answer.body['restore_id']}"
    wait_until(lambda: operator.curl("http-show").body["status"] not in {"queued", "running"}, what="its end")
    restore: dict[str, Any] = operator.curl("http-show").body
    return restore


def after_csrf(operator: Operator, name: str) -> Answer:
    """A block that uses the variable which the plan's block has set."""
    extract = operator.block("http-plan").split("\n", 1)[0]
    return operator.curl_script(f"{extract}\n{operator.block(name)}")


@EACH_SHOP
def test_the_calls_plan_restore_replace_and_take_back(at_the_shop: Operator, service: Service, shop: Shop) -> None:
    operator = signed_in(at_the_shop, service)
    backup_id = operator.environment.pop("BACKUP_ID")
    operator.environment["BACKUP_ID"] = must(operator, operator.block("http-backup") + 'echo "$BACKUP_ID"').strip()
    assert operator.environment["BACKUP_ID"] == backup_id
    operator.environment["DESTINATION"] = shop.elsewhere
    then = shop.rows()

    planned = ended(operator, operator.curl("http-plan"))
    assert (planned["status"], planned["dry_run"], planned["receipt"]) == ("success", True, None)
    assert ended(operator, after_csrf(operator, "http-new"))["receipt"]["differences"] == []
    assert shop.rows(shop.elsewhere) == then
    again = after_csrf(operator, "http-new")
    assert (again.status, again.code) == (409, "ERR_RESTORE_UNSAFE")
    assert [is_documented(reason["message"], RESTORE) for reason in again.body["error"]["reasons"]] == [True]

    shop.change()
    changed = shop.rows()
    assert ended(operator, after_csrf(operator, "http-replace"))["status"] == "success"
    assert shop.rows() == then
    late = after_csrf(operator, "http-cancel")
    assert (late.status, late.code, is_documented(late.detail, RESTORE)) == (409, "ERR_ALREADY_ENDED", True)
    assert ended(operator, after_csrf(operator, "http-undo"))["status"] == "success"
    assert shop.rows() == changed


#: What is sent beside the id of the backup, and the status of the answer.
REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"mode": "replace", "confirm": "Shop"}, 422),
    ({"destination": "/etc/shop.db"}, 422),
    ({"destination": "{data}/hhh.db"}, 422),
    ({"destination": "{folder}/new.db", "acknowledge": ["nonsense"]}, 422),
    ({"destination": "{folder}/new.db", "backup_id": NO_ID}, 404),
    ({"destination": "{folder}/some.db", "mode": "tables", "tables": ["a"]}, 409),
]


@pytest.mark.soak
def test_what_can_not_be_asked_for_is_told_as_documented(
    at_the_file: Operator, service: Service, sqlite_shop: SqliteShop
) -> None:
    places = {"data": service.data_dir, "folder": sqlite_shop.path.parent}
    with service.signed_in_client() as client:
        for body, status in REFUSED:
            asked = {name: value.format(**places) if isinstance(value, str) else value for name, value in body.items()}
            answer = client.post("/api/v1/restores", json={"backup_id": at_the_file.environment["BACKUP_ID"], **asked})
            assert answer.status_code == status, answer.text
            for reason in answer.json()["error"].get("reasons", [{"message": answer.json()["detail"]}]):
                assert is_documented(reason["message"], RESTORE), reason


@pytest.mark.soak
def test_the_contents_and_the_artifact_come_over_http(
    at_the_file: Operator, service: Service, sqlite_shop: SqliteShop
) -> None:
    operator = signed_in(at_the_file, service)

    assert operator.curl("http-contents").body["tables"]
    operator.must_run("http-download")

    assert sqlite_shop.rows(str(operator.folder / "shop.dump")) == sqlite_shop.rows()


# ---------------------------------------------------------------------------------------- looked into, taken in


@pytest.mark.soak
def test_a_backup_is_looked_into_and_taken_away(at_the_file: Operator, sqlite_shop: SqliteShop) -> None:
    printed = at_the_file.must_run("look-into")

    assert "its hash is right" in printed
    assert sqlite_shop.rows(str(at_the_file.folder / "shop.dump")) == sqlite_shop.rows()


@pytest.mark.postgres
@pytest.mark.soak
def test_a_foreign_dump_is_taken_in_and_restored(at_the_server: Operator, postgresql_shop: PostgresqlShop) -> None:
    dump_by_hand(postgresql_shop.server, postgresql_shop.name, at_the_server.folder / "legacy.dump")

    at_the_server.must_run("import", "new")

    assert postgresql_shop.rows("shop_restored") == postgresql_shop.rows()


# ---------------------------------------------------------------------------------------- when it refuses or fails


def documented_reasons(operator: Operator, command: str) -> list[str]:
    """The names of the checks that stand against it, whose messages all stand on the page."""
    done = operator.run_script(f"{command} --json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    checks = told.get("reasons") or told.get("checks") or told["plan"]["checks"]
    reasons = [check for check in checks if check["status"] == "unsafe"]
    assert [reason["message"] for reason in reasons if not is_documented(reason["message"], RESTORE)] == []
    return [reason["name"] for reason in reasons]


def refusal(operator: Operator, command: str) -> str:
    """The first line of what a command that is refused says."""
    done = operator.run_script(command)
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    return done.stderr.splitlines()[0].removeprefix("Error: ")


@pytest.mark.soak
def test_refusals_of_the_command_line_stand_on_the_page(at_the_file: Operator) -> None:
    new = "hhh restore latest --target shop --to new.db"
    must(at_the_file, new)
    assert documented_reasons(at_the_file, new) == ["destination"]
    for command in (
        "hhh restore latest --target shop",
        "hhh restore latest --target shop --replace",
        "hhh restore latest --target nobody --to other.db",
        f"hhh restore {NO_ID} --to other.db",
    ):
        assert is_documented(refusal(at_the_file, command), RESTORE), command
    at_the_file.environment["RESTORE_ID"] = restores(at_the_file)[0]["id"]
    assert is_documented(refusal(at_the_file, 'hhh restore undo "$RESTORE_ID"').rpartition(": ")[2], RESTORE)


@pytest.mark.soak
def test_a_live_file_that_is_gone_or_not_to_be_opened_comes_back_as_a_new_one(
    at_the_file: Operator, sqlite_shop: SqliteShop
) -> None:
    then = sqlite_shop.rows()
    for name in sqlite_shop.path.parent.glob(f"{sqlite_shop.path.name}*"):
        name.unlink()
    replace = "hhh restore latest --target shop --replace --confirm shop"
    assert documented_reasons(at_the_file, replace) == ["destination"]
    sqlite_shop.path.write_bytes(b"no database" * 1000)
    assert documented_reasons(at_the_file, replace) == ["destination"]
    sqlite_shop.path.unlink()

    must(at_the_file, f"hhh restore latest --target shop --to {sqlite_shop.path}")

    assert sqlite_shop.rows() == then


@pytest.mark.soak
def test_a_damaged_object_is_told_as_documented(at_the_file: Operator, service: Service) -> None:
    (stored,) = (service.data_dir / "backups").glob("*/shop/*.sql.1.zst")
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert documented_reasons(at_the_file, "hhh restore latest --target shop --to new.db --plan") == ["object"]
    stored.write_bytes(content[:-1])
    assert documented_reasons(at_the_file, "hhh restore latest --target shop --to new.db") == ["object"]


@pytest.mark.soak
def test_a_damaged_live_file_is_replaced_once_that_is_acknowledged(
    at_the_file: Operator, sqlite_shop: SqliteShop
) -> None:
    then = sqlite_shop.rows()
    with sqlite3.connect(sqlite_shop.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    make_corrupt(sqlite_shop.path)
    command = "hhh restore latest --target shop --replace --confirm shop"
    assert documented_reasons(at_the_file, command) == ["live_integrity"]

    must(at_the_file, f"{command} --acknowledge live_integrity")

    assert sqlite_shop.rows() == then


@pytest.mark.soak
def test_pages_of_another_size_are_told_as_documented(at_the_file: Operator, sqlite_shop: SqliteShop) -> None:
    connection = sqlite3.connect(sqlite_shop.path)
    for statement in ("journal_mode = DELETE", "page_size = 8192"):
        connection.execute(f"PRAGMA {statement}")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()

    assert documented_reasons(at_the_file, "hhh restore latest --target shop --plan") == ["page_size"]


@pytest.mark.postgres
@pytest.mark.soak
def test_a_missing_role_is_told_as_documented_and_acknowledged(
    service: Service, postgresql_shop: PostgresqlShop, tmp_path: Path
) -> None:
    server = postgresql_shop.server
    server.execute("DROP ROLE IF EXISTS hhh_clerk")
    server.execute("CREATE ROLE hhh_clerk")
    server.execute("GRANT SELECT ON customers TO hhh_clerk", database=postgresql_shop.name)
    operator = operator_of(service, tmp_path, postgresql_shop)
    server.execute("DROP OWNED BY hhh_clerk", database=postgresql_shop.name)
    server.execute("DROP ROLE hhh_clerk")
    command = f"hhh restore latest --target shop --to {postgresql_shop.elsewhere}"
    assert documented_reasons(operator, command) == ["roles"]

    assert "--acknowledge roles" in operator.run_script(command).stderr
    must(operator, f"{command} --acknowledge roles")

    assert postgresql_shop.rows(postgresql_shop.elsewhere) == postgresql_shop.rows()
    assert documented_reasons(operator, command) == ["destination", "roles"]
    assert "destination" in documented_reasons(operator, f"{command}2 --tables public.nobody")


# ----------------------------------------------------------------------------------------------- what it lists


def tables_of(heading: str) -> list[str]:
    """The names in the first columns of the tables below a heading."""
    text = RESTORE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [name for names in _NAMED.findall(text) for name in re.findall(r"`(\w+)`", names)]


def test_every_field_of_a_receipt_and_of_a_request_is_described() -> None:
    assert tables_of("The receipt") == list(Receipt.model_fields)
    assert tables_of("Over HTTP") == list(RestoreRequest.model_fields)


def test_every_state_of_a_check_is_described() -> None:
    assert tables_of("Plan first") == list(get_args(CheckStatus))


#: Checks that only something missing or damaged brings about, or an undo, or a store without a catalogue.
RARE = {"facts", "kept", "newest"}


@pytest.mark.postgres
@pytest.mark.soak
def test_every_check_is_described_and_no_other(
    service: Service, sqlite_shop: SqliteShop, postgresql_shop: PostgresqlShop, tmp_path: Path
) -> None:
    operator_of(service, tmp_path, sqlite_shop, name="notes")
    operator_of(service, tmp_path, postgresql_shop)
    found = set(RARE)
    for words in ("shop", "notes", "notes --to new.db", "notes --tables a --to some.db"):
        done = hhh(service, "restore", "latest", "--plan", "--json", "--target", *words.split())
        found |= {check["name"] for check in json.loads(done.stdout)["checks"]}

    described = tables_of("What is checked")
    assert set(described) == found
    assert len(described) == len(set(described))
