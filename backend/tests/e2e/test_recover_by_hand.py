"""Backups come back without us: by the commands of docs/recover-without-hhh.md, as they stand there."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from support.documentation import README, RECOVERY, Operator, require_programs
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer
from support.postgres_data import make_realistic_database
from support.s3 import S3Bucket
from support.sqlite_data import make_odd_names_sqlite_database, make_sqlite_database, quote_identifier

RESTORED = "restored"
READER = "shop_reader"
OWNER = "shop owner"
#: The blocks of the page up to where the engines differ.
FIND = ("pick", "objects", "check", "signature")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator with a data folder of their own and no service: the command line needs none."""
    require_programs("bash", "age", "age-keygen", "zstd", "sha256sum", "jq", "openssl")
    operator = Operator(tmp_path, page=RECOVERY)
    operator.environment |= {
        "HHH_DATA_DIR": str(tmp_path / "var"),
        "STORE": str(tmp_path / "var/backups"),
        "TARGET": "shop",
        "RESTORED": str(tmp_path / "restored.db"),
    }
    return operator


@pytest.fixture
def key(operator: Operator) -> Path:
    """The identity of a key pair, made as documented; backups are encrypted for it from now on."""
    printed = Operator(operator.folder).must_run("age-key").split()
    key = operator.folder / "hhh-backup.key"
    operator.environment |= {"HHH_AGE_RECIPIENTS": printed[-1], "KEY": str(key)}
    return key


@pytest.fixture
def shop(postgres: PostgresServer, postgres_database: str, operator: Operator) -> Iterator[str]:
    """A realistic database, with a privilege on a table, that the operator may restore beside; its name."""
    for role in (OWNER, READER):
        postgres.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        postgres.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    with postgres.connect(postgres_database) as connection:
        make_realistic_database(connection)
        reader, database = sql.Identifier(READER), sql.Identifier(postgres_database)
        connection.execute(sql.SQL("GRANT SELECT ON customers TO {}").format(reader))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, reader))
        [(number,)] = connection.execute("SELECT oid::int8 FROM pg_largeobject_metadata").fetchall()
        for grant in ("SELECT ON LARGE OBJECT {} TO {} WITH GRANT OPTION", "UPDATE ON LARGE OBJECT {} TO PUBLIC"):
            connection.execute(sql.SQL("GRANT " + grant).format(sql.Literal(number), reader))
    operator.environment |= postgres.environment("postgres")
    operator.environment |= {
        "HHH_PG_BIN_DIR": str(postgres.bin_dir),
        "PATH": f"{postgres.bin_dir}:{operator.environment['PATH']}",
        "SHOP_URL": postgres.url(postgres_database),
        "NOTES_URL": f"sqlite:///{operator.folder}/notes.db",
    }
    postgres.drop_database(RESTORED)
    yield postgres_database
    postgres.drop_database(RESTORED)
    postgres.drop_database(postgres_database)
    for role in (OWNER, READER):
        postgres.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.mark.postgres
@ONE_MAJOR_AT_FIRST
def test_an_encrypted_postgresql_backup(postgres: PostgresServer, shop: str, operator: Operator, key: Path) -> None:
    take_backup(operator, "shop", operator.environment["SHOP_URL"])

    printed = operator.must_run(
        *("list", *FIND, "extensions", "schema", "postgresql-without-owners"),
        *("privileges", "large-objects", "compare", "clean-up"),
    )

    assert printed.count("good backup_") == 3
    assert "BAD" not in printed
    assert f"GRANT CONNECT ON DATABASE {shop} TO {READER}" in printed
    assert "CREATE DATABASE" in printed
    assert printed.splitlines()[-1] == "rows as in the facts"
    check_same(postgres, shop)
    with postgres.connect(RESTORED) as connection:
        query = "SELECT has_table_privilege(%s, 'customers', 'SELECT'), has_table_privilege(%s, 'orders', 'SELECT')"
        assert connection.execute(query, (READER, READER)).fetchone() == (True, False)
        acls = "SELECT unnest(lomacl)::text FROM pg_largeobject_metadata"
        assert {acl for (acl,) in connection.execute(acls)} == {
            "postgres=rw/postgres",
            f"{READER}=r*/postgres",
            "=w/postgres",
        }


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.parametrize("postgres", [16], indirect=True)
def test_a_plain_postgresql_backup(postgres: PostgresServer, shop: str, operator: Operator) -> None:
    take_backup(operator, "shop", operator.environment["SHOP_URL"])

    printed = operator.must_run(*FIND, "postgresql-without-owners", "compare")

    assert printed.splitlines()[-1] == "rows as in the facts"
    check_same(postgres, shop)


@pytest.mark.postgres
@pytest.mark.parametrize("postgres", [16], indirect=True)
def test_owners_and_roles_come_back_on_a_server_that_lacks_them(
    postgres: PostgresServer, shop: str, operator: Operator
) -> None:
    with postgres.connect(shop) as connection:
        connection.execute(sql.SQL("ALTER TABLE orders OWNER TO {}").format(sql.Identifier(OWNER)))
    take_backup(operator, "shop", operator.environment["SHOP_URL"])
    postgres.drop_database(shop)
    for role in (OWNER, READER):
        postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))

    printed = operator.must_run(*FIND, "roles", "schema", "postgresql", "privileges", "large-objects", "compare")

    assert f"made {OWNER}\n" in printed
    assert "left postgres as it is\n" in printed
    assert printed.splitlines()[-1] == "rows as in the facts"
    with postgres.connect(RESTORED) as connection:
        owners = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename IN ('customers', 'orders')")
        assert sorted(owners.fetchall()) == sorted([("postgres",), (OWNER,)])
        query = "SELECT has_table_privilege(%s, 'customers', 'SELECT')"
        assert connection.execute(query, (READER,)).fetchone() == (True,)


@pytest.mark.postgres
@pytest.mark.parametrize("postgres", [16], indirect=True)
def test_rows_that_are_missing_are_told(postgres: PostgresServer, shop: str, operator: Operator) -> None:
    take_backup(operator, "shop", operator.environment["SHOP_URL"])
    operator.must_run(*FIND, "postgresql-without-owners")
    with postgres.connect(RESTORED) as connection:
        connection.execute("DELETE FROM events WHERE id = (SELECT min(id::text)::uuid FROM events)")

    told = operator.run(*FIND, "compare").stdout

    assert "> public.events " in told
    assert "rows as in the facts" not in told


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.parametrize("postgres", [16], indirect=True)
def test_extensions_that_the_server_lacks_are_told(postgres: PostgresServer, shop: str, operator: Operator) -> None:
    with postgres.connect(shop) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS plpgsql")
    take_backup(operator, "shop", operator.environment["SHOP_URL"])
    (facts,) = Path(operator.environment["STORE"]).glob("*/shop/*.facts.json")
    needed = json.loads(facts.read_text())
    needed["extensions"].append({"name": "not_there", "version": "1", "schema_name": "public"})
    facts.write_text(json.dumps(needed))

    assert operator.must_run("pick", "objects", "extensions") == "not_there\n"


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.s3
@pytest.mark.parametrize("postgres", [16], indirect=True)
def test_an_encrypted_backup_in_an_object_store(
    postgres: PostgresServer, shop: str, operator: Operator, key: Path, s3: S3Bucket
) -> None:
    operator.environment |= {**s3.environment(), "HHH_STORAGE_URL": s3.url("some/prefix")}
    take_backup(operator, "shop", operator.environment["SHOP_URL"])
    for name in s3.keys("some/prefix/"):
        file = operator.folder / "fetched" / name.removeprefix("some/prefix/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(s3.read(name))
    operator.environment["STORE"] = str(operator.folder / "fetched")

    printed = operator.must_run(*FIND, "postgresql-without-owners")

    assert "BAD" not in printed
    check_same(postgres, shop)


@pytest.mark.parametrize("encryption", ["encrypted", pytest.param("plain", marks=pytest.mark.soak)])
def test_a_sqlite_backup(encryption: str, operator: Operator, request: pytest.FixtureRequest) -> None:
    require_programs("sqlite3")
    if encryption == "encrypted":
        request.getfixturevalue("key")
    source = operator.folder / "notes.db"
    make_sqlite_database(source, megabytes=1)
    take_backup(operator, "shop", f"sqlite:///{source}")

    printed = operator.must_run(*FIND, "sqlite", "compare-sqlite")

    assert printed.splitlines()[-2:] == ["ok", "rows as in the facts"]
    assert printed.count("good backup_") == 2
    check_same_sqlite(source, operator.folder / "restored.db")


@pytest.mark.soak
def test_a_sqlite_backup_with_odd_names(operator: Operator, key: Path) -> None:
    require_programs("sqlite3")
    source = operator.folder / "odd.db"
    make_odd_names_sqlite_database(source)
    take_backup(operator, "shop", f"sqlite:///{source}")

    operator.must_run(*FIND, "sqlite")

    check_same_sqlite(source, operator.folder / "restored.db")


@pytest.mark.soak
def test_a_changed_object_is_told(operator: Operator) -> None:
    make_sqlite_database(operator.folder / "notes.db")
    take_backup(operator, "shop", f"sqlite:///{operator.folder}/notes.db")
    (dump,) = Path(operator.environment["STORE"]).glob("*/shop/*.zst")
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)

    printed = operator.must_run("pick", "objects", "check")

    assert f"BAD  {dump.name}" in printed
    assert printed.count("good") == 1


@pytest.mark.soak
def test_a_missing_object_is_told(operator: Operator) -> None:
    make_sqlite_database(operator.folder / "notes.db")
    take_backup(operator, "shop", f"sqlite:///{operator.folder}/notes.db")
    (dump,) = Path(operator.environment["STORE"]).glob("*/shop/*.zst")
    dump.unlink()

    assert f"BAD  {dump.name}" in operator.run("pick", "objects", "check").stdout


def test_the_signature_and_whose_it_is_are_told(operator: Operator) -> None:
    make_sqlite_database(operator.folder / "notes.db")
    take_backup(operator, "shop", f"sqlite:///{operator.folder}/notes.db")

    printed = operator.must_run("pick", "objects", "signature").splitlines()

    assert printed[0] == "Signature Verified Successfully"
    assert printed[1] == json.loads(operator.run_script("hhh keys show --json").stdout)["signing_key"]


def test_a_forged_manifest_is_told(operator: Operator) -> None:
    make_sqlite_database(operator.folder / "notes.db")
    take_backup(operator, "shop", f"sqlite:///{operator.folder}/notes.db")
    (manifest,) = Path(operator.environment["STORE"]).glob("*/shop/*.sql.json")
    manifest.write_text(manifest.read_text().replace('"attempt": 1', '"attempt": 2'))

    tried = operator.run("pick", "objects", "signature")

    assert "Signature Verified Successfully" not in tried.stdout
    assert "Signature Verification Failure" in tried.stdout + tried.stderr


def test_the_newest_is_picked_of_all_installations(operator: Operator) -> None:
    folder = operator.folder / "store"
    names = {
        "one": ["backup_20250101_120000.sql", "backup_20250101_120000_2.sql"],
        "two": ["backup_20250101_120000_10.sql", "backup_20241231_235959.sql"],
        "three": ["backup_20250101_115959_11.sql"],
    }
    for installation, files in names.items():
        (folder / installation / "shop").mkdir(parents=True)
        for file in files:
            (folder / installation / "shop" / f"{file}.json").touch()
    operator.environment["STORE"] = "store"

    picked = operator.run_script(f'{operator.block("pick")}\necho "$MANIFEST"').stdout

    assert picked == f"{folder}/two/shop/backup_20250101_120000_10.sql.json\n"
    assert len(operator.must_run("list").splitlines()) == 5


@pytest.mark.soak
def test_the_objects_of_an_attempt_that_was_given_up_are_not_taken(operator: Operator) -> None:
    require_programs("sqlite3")
    source = operator.folder / "notes.db"
    make_sqlite_database(source)
    take_backup(operator, "shop", f"sqlite:///{source}")
    (dump,) = Path(operator.environment["STORE"]).glob("*/shop/*.zst")
    dump.with_name(dump.name.replace(".sql.1.", ".sql.0.")).write_bytes(b"of an attempt that was given up")

    assert "BAD" not in operator.must_run(*FIND, "sqlite")
    check_same_sqlite(source, operator.folder / "restored.db")


def test_without_the_identity_nothing_can_be_read(operator: Operator, key: Path) -> None:
    make_sqlite_database(operator.folder / "notes.db")
    take_backup(operator, "shop", f"sqlite:///{operator.folder}/notes.db")
    key.unlink()
    operator.run_script("age-keygen -o hhh-backup.key")

    tried = operator.run("pick", "objects", "sqlite")

    assert tried.returncode != 0
    assert "no identity matched any of the recipients" in tried.stderr
    for file in Path(operator.environment["STORE"]).glob("*/shop/*"):
        assert b"SQLite format" not in file.read_bytes()
        assert b"author" not in file.read_bytes(), f"{file.name} tells of the content"


@pytest.mark.postgres
@pytest.mark.parametrize("postgres", [16], indirect=True)
def test_the_tour_of_the_readme(postgres: PostgresServer, shop: str, operator: Operator) -> None:
    require_programs("sqlite3")
    make_sqlite_database(operator.folder / "notes.db")
    tourist = Operator(operator.folder, page=README)
    tourist.environment = {**operator.environment, "HHH_AGE_RECIPIENTS": ""}

    printed = tourist.must_run("tour-key", "tour-targets", "tour-backup", "tour-look", "tour-by-itself")

    assert printed.count("Stored backup_") == 3
    printed = tourist.must_run("tour-restore", "tour-prove")
    assert printed.count("Restored to ") == 2
    assert ", is proven: it was restored, and is what was backed up." in printed
    assert (operator.folder / "proof.html").read_text().startswith("<!DOCTYPE html>")
    postgres.drop_database("shop_restored")
    check_same_sqlite(operator.folder / "notes.db", operator.folder / "notes_restored.db")
    tourist.must_run("tour-recover-postgresql", "tour-recover-sqlite")
    check_same(postgres, shop)
    check_same_sqlite(operator.folder / "notes.db", operator.folder / "restored.db")


def take_backup(operator: Operator, target: str, url: str) -> None:
    """Through the command line, as a nightly job would."""
    operator.environment["URL"] = url
    done = operator.run_script(f'set -e; printf "%s\\n" "$URL" | hhh target add {target} -; hhh backup run {target}')
    assert done.returncode == 0, done.stderr


def check_same(server: PostgresServer, source: str) -> None:
    """The restored database has the source's rows, one by one, and all else that is in it."""
    with server.connect(source) as one, server.connect(RESTORED) as other:
        expected, found = contents(one), contents(other)
    assert found.keys() == expected.keys()
    for part, content in expected.items():
        assert found[part] == content, part
    assert len(expected["public.customers"]) > 100


def contents(connection: "Connection[Any]") -> dict[str, list[Any]]:
    """Every row of every table, and sequences, large objects, definitions."""
    tables = connection.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 2")
    parts: dict[str, Any] = {
        f"{schema}.{name}": sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(schema, name))
        for schema, name in tables.fetchall()
    }
    parts["sequences"] = "SELECT sequencename, last_value, increment_by FROM pg_sequences ORDER BY 1"
    parts["large objects"] = "SELECT lo_get(oid) FROM pg_largeobject_metadata ORDER BY 1"
    parts["indexes"] = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    parts["constraints"] = (
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
    )
    parts["views"] = "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1"
    parts["functions"] = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    return {name: connection.execute(query).fetchall() for name, query in parts.items()}


def check_same_sqlite(source: Path, restored: Path) -> None:
    """Same schema and same rows."""
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(restored)) as other:
        expected = sqlite_contents(one)
        assert sqlite_contents(other) == expected
    assert len(expected) > 3


def sqlite_contents(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """Every definition and every row."""
    schema = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
    tables = [name for kind, name, _ in schema if kind == "table"]
    rows = {
        name: connection.execute(f"SELECT * FROM {quote_identifier(name)} ORDER BY 1").fetchall() for name in tables
    }
    return {"schema": schema, **{f"table {name}": content for name, content in rows.items()}}
