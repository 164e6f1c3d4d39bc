"""Tables of contents of real dumps, held against what pg_restore says of them."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hhh.core.errors import InvalidInput, SourceUnreadable
from hhh.engines.postgresql.archive import Archive, Entry, Section, write_list
from support.postgres import PostgresServer
from support.postgres_data import ODD_NAMES, ODD_SCHEMA, make_odd_names_database
from support.postgres_dumps import dump_by_hand, listing

pytestmark = pytest.mark.postgres

_LISTED = re.compile(r"^(\d+); \d+ \d+ (.*)$")
_DEPENDS = ";\tdepends on:"


@pytest.fixture(scope="module")
def odd_dump(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A dump of odd names, made once per major."""
    database = postgres.create_database()
    with postgres.connect(database) as connection:
        make_odd_names_database(connection)
    path = tmp_path_factory.mktemp("dump") / "odd.dump"
    dump_by_hand(postgres, database, path, "--create")
    yield path
    postgres.drop_database(database)


def one(archive: Archive, description: str, namespace: str, tag: str) -> Entry:
    wanted = (description, namespace, tag)
    [entry] = [each for each in archive.entries if (each.description, each.namespace, each.tag) == wanted]
    return entry


def as_listed(entry: Entry) -> str:
    """What pg_restore makes of the names of an entry."""
    names = [entry.description, entry.namespace or "-", entry.tag, entry.owner]
    return " ".join(re.sub(r"[\r\n]", " ", name) for name in names)


def test_every_entry_is_read_as_pg_restore_lists_it(postgres: PostgresServer, odd_dump: Path) -> None:
    listed: dict[int, str] = {}
    depends: dict[int, tuple[int, ...]] = {}
    for line in listing(postgres, odd_dump, "--list", "--verbose").splitlines():
        if found := _LISTED.match(line):
            listed[int(found[1])] = found[2]
        elif line.startswith(_DEPENDS):
            depends[list(listed)[-1]] = tuple(map(int, line.removeprefix(_DEPENDS).split()))
    entries = Archive.read(odd_dump).entries
    assert {entry.dump_id: as_listed(entry) for entry in entries} == listed
    assert {entry.dump_id: entry.dependencies for entry in entries if entry.dependencies} == depends
    assert [entry.dump_id for entry in entries] == list(listed)


def test_odd_names_are_told_apart(odd_dump: Path) -> None:
    archive = Archive.read(odd_dump)
    for schema in ("public", ODD_SCHEMA):
        for name in ODD_NAMES:
            table = one(archive, "TABLE", schema, name)
            rows = one(archive, "TABLE DATA", schema, name)
            assert (table.section, rows.section) == (Section.PRE_DATA, Section.DATA)
            assert (table.has_data, rows.has_data) == (False, True)
            assert rows.dependencies == (table.dump_id,)
            assert table.definition.startswith("CREATE TABLE ")
            assert table.drop_statement.startswith("DROP TABLE ")
            assert rows.copy_statement.startswith("COPY ")


def test_the_head_says_what_was_dumped_when_by_what(postgres: PostgresServer, odd_dump: Path) -> None:
    archive = Archive.read(odd_dump)
    with postgres.connect() as connection:
        [(version,)] = connection.execute("SHOW server_version").fetchall()
    assert archive.server_version == version
    assert archive.dump_version.split()[0] == version.split()[0]
    assert archive.encoding == "UTF8"
    assert archive.database.startswith("db_")
    assert archive.created_at is not None
    assert abs(archive.created_at - datetime.now()) < timedelta(days=1)  # noqa: DTZ005 - as in the archive
    assert {entry.owner for entry in archive.entries if entry.description == "TABLE"} == {postgres.superuser}


def test_names_are_read_in_the_encoding_of_the_dump(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute('CREATE TABLE "Größe" (n integer)')
    dump_by_hand(postgres, postgres_database, tmp_path / "latin.dump", "--encoding=LATIN1")
    archive = Archive.read(tmp_path / "latin.dump")
    assert archive.encoding == "LATIN1"
    assert one(archive, "TABLE", "public", "Größe").definition.startswith('CREATE TABLE public."Größe"')


def test_a_list_of_entries_restores_them_alone(postgres: PostgresServer, odd_dump: Path, tmp_path: Path) -> None:
    wanted = one(Archive.read(odd_dump), "TABLE DATA", ODD_SCHEMA, "new\nline")
    write_list([wanted], tmp_path / "list")
    sql = listing(postgres, odd_dump, "--file=-", f"--use-list={tmp_path / 'list'}")
    assert re.findall(r"^(?:COPY|CREATE|ALTER|DROP) .*\n.*", sql, re.MULTILINE) == ['COPY "sche""ma; of\nits own"."new']


def test_a_truncated_dump_is_told_as_one(odd_dump: Path, tmp_path: Path) -> None:
    content = odd_dump.read_bytes()
    for size in (5, 8, 11, 30, 100, 1000, 5000, 20_000):
        (tmp_path / "cut.dump").write_bytes(content[:size])
        with pytest.raises(SourceUnreadable, match=r"cut\.dump is damaged .* it ends there"):
            Archive.read(tmp_path / "cut.dump")


def test_no_flipped_byte_does_more_than_an_error(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    any_postgres.execute("CREATE TABLE t (id serial PRIMARY KEY)", database=database)
    path = tmp_path / "small.dump"
    dump_by_hand(any_postgres, database, path)
    any_postgres.drop_database(database)
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        try:
            Archive.read(path)
        except (SourceUnreadable, InvalidInput):
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format=plain"], "psql would run its commands"),
        (["--format=tar"], "it is a tar archive"),
        (["--format=directory"], "is a folder"),
    ],
)
def test_other_forms_of_a_dump_are_refused(
    any_postgres: PostgresServer, tmp_path: Path, options: list[str], said: str
) -> None:
    dump_by_hand(any_postgres, "postgres", tmp_path / "other", *options)
    with pytest.raises(InvalidInput, match=said) as refused:
        Archive.read(tmp_path / "other")
    assert "pg_dump -Fc" in str(refused.value)
