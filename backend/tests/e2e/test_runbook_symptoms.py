"""The symptoms that the runbook lists: each comes about, in the documented words, and is helped as documented."""

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from hhh.services.tokens import AccessTokens
from support.documentation import ROOT, RUNBOOK, Answer, Operator, blocks, is_documented, require_programs
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer, PrivatePostgres
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service, ServiceFactory
from support.sqlite_data import make_corrupt, make_sqlite_database
from support.triggers import failure, trigger


@pytest.fixture(autouse=True)
def _programs() -> None:
    require_programs("bash", "curl", "grep", "awk")


# ------------------------------------------------------------------------------------------- who may not do it


@pytest.mark.parametrize("name", ["trigger", "logs", "stats"])
def test_without_a_session_it_is_403(operator: Operator, name: str) -> None:
    operator.curl("health")

    check_refused(operator.curl(name), "ERR_SUPERADMIN_REQUIRED", "Super Admin access required")


@pytest.mark.parametrize("role", ["MEMBER", "ADMIN"])
def test_another_role_is_403(operator: Operator, role: str) -> None:
    email, password = f"not.super.{role.lower()}@example.com", "another good password"
    made = operator.run_script(f"hhh users create {email} --role {role}", stdin=f"{password}\n")
    assert made.returncode == 0, made.stderr
    assert operator.sign_in(email, password).body["role"] == role

    for name in ("trigger", "logs", "stats"):
        check_refused(operator.curl(name), "ERR_SUPERADMIN_REQUIRED", "Super Admin access required")


def test_without_the_header_the_trigger_is_403(super_admin: Operator) -> None:
    script = blocks(RUNBOOK)["trigger"].replace('  -H "X-CSRF-Token: $CSRF" \\\n', "")

    check_refused(super_admin.curl_script(script), "ERR_CSRF_INVALID", "CSRF validation failed")


def test_a_token_from_before_the_login_is_403(operator: Operator) -> None:
    operator.curl("health")
    extract, post = blocks(RUNBOOK)["trigger"].split("\n", 1)
    early = operator.run_script(f"{extract}; echo -n $CSRF").stdout
    operator.environment |= {"EMAIL": ADMIN_EMAIL, "PASSWORD": ADMIN_PASSWORD, "CSRF": early}
    operator.curl("login")

    check_refused(operator.curl_script(post), "ERR_CSRF_INVALID", "CSRF validation failed")


def test_health_without_b_wipes_the_login_as_the_page_warns(super_admin: Operator) -> None:
    assert super_admin.curl("stats").status == 200

    super_admin.curl("health")

    assert "hhh_at" not in (super_admin.folder / "cookies.txt").read_text()
    check_refused(super_admin.curl("trigger"), "ERR_SUPERADMIN_REQUIRED", "Super Admin access required")


def test_health_with_b_keeps_the_login(super_admin: Operator) -> None:
    super_admin.curl_script(blocks(RUNBOOK)["health"].replace("curl -i", "curl -i -b cookies.txt"))

    assert super_admin.curl("trigger").status == 200


def test_an_expired_access_cookie_is_401_until_it_is_refreshed(shared_service: Service, super_admin: Operator) -> None:
    expire_access_cookie(shared_service, super_admin.folder / "cookies.txt")
    expired = super_admin.curl("stats")
    assert (expired.status, expired.code, expired.detail) == (
        401,
        "ERR_SESSION_EXPIRED",
        "The access token has expired",
    )
    assert is_documented(expired.detail)

    assert super_admin.curl("refresh").status == 200
    assert super_admin.curl("trigger").status == 200


def expire_access_cookie(service: Service, jar: Path) -> None:
    """Put an hour-old token of the same session in the place of the one in the jar."""
    text = jar.read_text()
    (token,) = re.findall(r"\thhh_at\t(\S+)", text)
    claims = jwt.decode(token, options={"verify_signature": False})
    tokens = AccessTokens((service.data_dir / "secret.key").read_bytes())
    old = tokens.issue(claims["sub"], claims["sid"], now=datetime.now(UTC) - timedelta(hours=1))
    jar.write_text(text.replace(token, old))


def test_a_wrong_password_is_401(operator: Operator) -> None:
    answer = operator.sign_in(ADMIN_EMAIL, "not the password")

    assert (answer.status, answer.code, answer.detail) == (401, "ERR_INVALID_CREDENTIALS", "Wrong e-mail or password")
    assert is_documented(answer.detail)


def test_a_lost_password_is_set_anew(shared_service: Service, operator: Operator) -> None:
    operator.run_script("hhh users create admin@localhost --role SUPER_ADMIN", stdin="the first password\n")

    operator.must_run("set-password", stdin="the second password\n")

    assert operator.sign_in("admin@localhost", "the first password").status == 401
    assert operator.sign_in("admin@localhost", "the second password").status == 200


def check_refused(answer: Answer, code: str, detail: str) -> None:
    assert (answer.status, answer.detail, answer.code) == (403, detail, code)
    assert answer.body["error"]["message"] == detail
    assert answer.body["error"]["request_id"] == answer.headers["x-request-id"]


# ---------------------------------------------------------------------------------------- the symptoms it lists


def test_a_target_that_nobody_knows_is_404(shared_service: Service) -> None:
    with shared_service.signed_in_client() as client:
        answer = client.post("/api/v1/backups/trigger", json={"target": "nobody"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_NOT_FOUND")
    assert is_documented(answer.json()["detail"])


def test_a_failed_backup_is_500_and_stands_in_logs_and_stats(service: Service, tmp_path: Path) -> None:
    operator = Operator(tmp_path, service)
    operator.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD)

    reason = failure(service, f"sqlite:///{tmp_path}/nowhere.db")

    assert reason == f"{tmp_path}/nowhere.db can't be opened: No such file or directory (check the path of the target)"
    (entry,) = operator.curl("logs").body
    assert (entry["status"], entry["backup_size"]) == ("BackupStatus.FAILED", 0)
    assert operator.curl("stats").body == {
        "total_backups": 1,
        "successful_backups": 0,
        "failed_backups": 1,
        "total_backup_size": 0,
        "latest_backup": None,
    }
    shown = operator.run_script(f"hhh backup show {entry['id']}")
    assert reason in shown.stdout


def test_sqlite_files_that_cannot_be_backed_up_are_told_as_documented(shared_service: Service, tmp_path: Path) -> None:
    corrupt, text = tmp_path / "corrupt.db", tmp_path / "text.db"
    make_sqlite_database(corrupt, journal_mode="delete")
    make_corrupt(corrupt)
    text.write_text("not a database, but long enough to be looked at " * 100)

    for url in (f"sqlite:///{corrupt}", f"sqlite:///{text}", f"sqlite:///{tmp_path}/nowhere.db"):
        assert is_documented(failure(shared_service, url)), url


@pytest.mark.parametrize("setting", ["scratch_dir", "storage_url"])
def test_a_folder_that_cannot_be_written_is_told_as_documented(
    setting: str, service_factory: ServiceFactory, tmp_path: Path
) -> None:
    blocker = tmp_path / "a file, no folder"
    blocker.touch()
    values: dict[str, Any] = {
        "scratch_dir": blocker / "below",
        "storage_url": f"file://{quote(str(blocker))}/below",
    }

    reason = failure(service_factory(**{setting: values[setting]}), None)

    assert is_documented(reason), reason


@pytest.mark.postgres
@ONE_MAJOR_AT_FIRST
def test_a_role_without_rights_is_told_as_documented_and_helped_by_the_documented_grants(
    postgres: PostgresServer, postgres_database: str, service_factory: ServiceFactory
) -> None:
    service = service_factory(pg_bin_dir=postgres.bin_dir)
    sql = blocks(RUNBOOK)
    create, grant = sql["role"].split("\n", 1)
    with postgres.connect(postgres_database, autocommit=True) as connection, dropped_role(postgres):
        connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
        connection.execute("SELECT lo_from_bytea(0, 'content')")
        connection.execute(create)
        url = postgres.url(postgres_database, user="hhh_backup", password="a long random one")

        reasons = [failure(service, postgres.url(postgres_database, user="hhh_backup", password="a wrong one"))]
        reasons.append(failure(service, url))
        connection.execute(grant)
        reasons.append(failure(service, url))
        connection.execute(sql["role-large-objects"])
        connection.execute("ALTER TABLE kept ENABLE ROW LEVEL SECURITY")
        reasons.append(failure(service, url))
        connection.execute(sql["role-row-level-security"])

        assert [reason for reason in reasons if not is_documented(reason)] == []
        assert trigger(service, url)["success"] is True
        connection.execute("DROP OWNED BY hhh_backup")


@contextlib.contextmanager
def dropped_role(server: PostgresServer) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            server.execute("DROP ROLE IF EXISTS hhh_backup")


@pytest.mark.postgres
def test_a_missing_pg_dump_is_told_as_documented(postgres18: PostgresServer, service_factory: ServiceFactory) -> None:
    if any(int(folder.name) >= 18 for folder in Path("/usr/lib/postgresql").glob("[0-9]*")):
        pytest.skip("this machine has a pg_dump for PostgreSQL 18 where it is always found")

    reason = failure(service_factory(environment={"PATH": "/nowhere"}), postgres18.url())

    assert reason.startswith("The server is PostgreSQL 18, and no pg_dump 18 was found")
    assert is_documented(reason)


@pytest.mark.soak
def test_pending_migrations_are_500_until_they_are_run(service_factory: ServiceFactory, tmp_path: Path) -> None:
    service = service_factory(auto_migrate="false")
    operator = Operator(tmp_path, service)
    for name in ("stats", "logs", "trigger"):
        answer = operator.curl(name)
        assert (answer.status, answer.code) == (500, "ERR_MIGRATIONS_PENDING")
        assert is_documented(answer.detail)

    operator.must_run("alembic", cwd=ROOT)

    check_refused(operator.curl("stats"), "ERR_SUPERADMIN_REQUIRED", "Super Admin access required")
    service.restart()
    assert operator.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).status == 200


@pytest.mark.soak
@pytest.mark.postgres
def test_a_database_that_is_gone_is_500_and_told_as_documented(
    private_postgres: PrivatePostgres, service_factory: ServiceFactory, tmp_path: Path
) -> None:
    server = private_postgres()
    service = service_factory(database_url=server.url(server.create_database()), pg_bin_dir=server.bin_dir)
    operator = Operator(tmp_path, service)
    operator.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD)
    server.kill_postmaster()

    for name in ("stats", "logs", "trigger"):
        answer = operator.curl(name)
        assert (answer.status, answer.code) == (500, "ERR_DATABASE_UNAVAILABLE")
        assert is_documented(answer.detail), answer.detail

    server.start()
    assert operator.curl("trigger").status == 200
