"""What a restore reads without a server: statements about privileges, and what only a superuser may create."""

import pytest

from hhh.core.errors import EngineError
from hhh.engines.postgresql.archive import Archive, Entry, Section
from hhh.engines.postgresql.privilege_statements import about_database, statements, text
from hhh.engines.postgresql.superuser import in_turns, superuser_entries, with_dependents


def entry(dump_id: int, description: str, definition: str = "", *needs: int) -> Entry:
    return Entry(
        dump_id=dump_id,
        tag=f"tag {dump_id}",
        description=description,
        section=Section.PRE_DATA,
        definition=definition,
        drop_statement="",
        copy_statement="",
        namespace="public",
        owner="somebody",
        tablespace="",
        dependencies=needs,
        has_data=False,
    )


def archive(*entries: Entry) -> Archive:
    return Archive(
        format_version="1.15",
        server_version="16.4",
        dump_version="16.4",
        database="db",
        created_at=None,
        encoding="UTF8",
        entries=entries,
    )


def test_statements_are_taken_apart_where_names_do_not_say() -> None:
    definition = 'REVOKE ALL ON TABLE "a;b" FROM "it""s; x";\nGRANT SELECT ON TABLE "a;b" TO PUBLIC;\n'
    assert [text(each) for each in statements(definition)] == [
        'REVOKE ALL ON TABLE "a;b" FROM "it""s; x"',
        'GRANT SELECT ON TABLE "a;b" TO PUBLIC',
    ]


@pytest.mark.parametrize(
    "definition",
    [
        "ALTER ROLE mallory SUPERUSER;",
        "GRANT pg_execute_server_program TO mallory;",
        'GRANT "x ON y" TO mallory;',
        "GRANT SELECT ON TABLE t TO a; DROP TABLE t;",
        "COPY t TO PROGRAM 'sh';",
        "GRANT SELECT ON TABLE t TO a",
        "GRANT pg_write_all_data TO mallory, ON;",
        "SELECT 1;",
        "COMMENT ON TABLE t IS 'x';",
        "GRANT pg_execute_server_program /* ON TABLE */ TO mallory;",
        "GRANT pg_execute_server_program -- ON TABLE\n TO mallory;",
        'GRANT U&"postgres" UESCAPE $ON$TABLE$ON$ TO mallory;',
        "GRANT SET ON PARAMETER session_preload_libraries TO mallory;",
        "GRANT CREATE ON TABLESPACE pg_global TO mallory;",
        "SECURITY LABEL FOR p ON ROLE r IS 'x';",
    ],
)
def test_privileges_hold_no_other_statements(definition: str) -> None:
    with pytest.raises(EngineError, match="privileges of the backup"):
        list(statements(definition))


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("GRANT CONNECT ON DATABASE db TO x;", 'GRANT CONNECT ON DATABASE "new" TO x'),
        ('GRANT CONNECT ON DATABASE "o""dd; db" TO x;', 'GRANT CONNECT ON DATABASE "new" TO x'),
        ("COMMENT ON DATABASE db IS 'DATABASE; db''s';", "COMMENT ON DATABASE \"new\" IS 'DATABASE; db''s'"),
    ],
)
def test_a_statement_about_the_database_is_about_the_new_one(definition: str, expected: str) -> None:
    [statement] = statements(definition)
    assert text(about_database(statement, '"new"')) == expected


@pytest.mark.parametrize(
    "definition",
    [
        "GRANT CONNECT ON DATABASE db, other TO x;",
        "GRANT ALL ON SCHEMA s TO x;",
        'REVOKE ALL ON TABLE "DATABASE" FROM x;',
    ],
)
def test_privileges_of_the_database_are_about_nothing_else(definition: str) -> None:
    [statement] = statements(definition)
    with pytest.raises(EngineError, match="more than its database"):
        about_database(statement, '"new"')


@pytest.mark.parametrize(
    "definition",
    [
        'GRANT SELECT(a,"b c"),INSERT(a) ON TABLE public.t TO x WITH GRANT OPTION;',
        'GRANT ALL ON FUNCTION public.f(integer[], numeric, VARIADIC "any") TO PUBLIC;',
        'GRANT ALL ON FUNCTION public.f(*) TO "$dollar /* -- */";',
        "GRANT USAGE ON FOREIGN DATA WRAPPER w TO x;",
        "REVOKE ALL ON LARGE OBJECT 12345 FROM x;",
        "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s REVOKE ALL ON TABLES FROM x;",
        "GRANT SELECT ON TABLE tëst.ß TO é;",
    ],
)
def test_what_pg_dump_writes_passes(definition: str) -> None:
    assert [text(each) + ";" for each in statements(definition)] == [definition]


@pytest.mark.parametrize(
    ("description", "definition", "privileged"),
    [
        ("FUNCTION", "CREATE FUNCTION f() RETURNS integer\n    LANGUAGE sql\n    AS 'SELECT 1';", False),
        ("FUNCTION", "CREATE FUNCTION f() RETURNS integer\n    LANGUAGE c\n    AS 'lib', 'f';", True),
        ("FUNCTION", "CREATE FUNCTION f() RETURNS integer\n    LANGUAGE plpython3u\n    AS 'x';", True),
        ("FUNCTION", "CREATE FUNCTION f() RETURNS integer\n    LANGUAGE sql LEAKPROOF\n    AS 'x';", True),
        ("FUNCTION", "CREATE FUNCTION f() RETURNS integer\n    LANGUAGE plpgsql\n    AS '    LANGUAGE c';", False),
        ("FUNCTION", "CREATE FUNCTION f()\n    LANGUAGE sql\n    SET search_path TO 'a'\n    AS 'x';", False),
        ("FUNCTION", "CREATE FUNCTION f()\n    LANGUAGE sql\n    SET lc_messages TO 'C'\n    AS 'x';", True),
        ("FUNCTION", "CREATE FUNCTION f()\n    LANGUAGE sql\n    SET \"app.x\" TO 'C'\n    AS 'x';", True),
        ("FUNCTION", "CREATE FUNCTION f()\n    LANGUAGE sql\n    AS '\n    SET lc_messages TO x';", False),
        ("TYPE", "CREATE TYPE public.t AS ENUM (\n    'a'\n);", False),
        ("TYPE", "CREATE TYPE public.t AS (\n\ta integer\n);", False),
        ("TYPE", 'CREATE TYPE public."o d""d" (\n    INTERNALLENGTH = 4\n);', True),
        ("AGGREGATE", "CREATE AGGREGATE public.a(integer) (\n    SFUNC = f,\n    STYPE = internal\n);", True),
        ("CAST", "CREATE CAST (text AS integer) WITH INOUT;", True),
        ("PUBLICATION", "CREATE PUBLICATION p FOR ALL TABLES WITH (publish = 'insert');", True),
        ("PUBLICATION", "CREATE PUBLICATION p WITH (publish = 'insert');", False),
        ("EVENT TRIGGER", "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();", True),
        ("TABLE", "CREATE TABLE t ();", False),
    ],
)
def test_what_only_a_superuser_may_create_is_found(description: str, definition: str, *, privileged: bool) -> None:
    one = entry(1, description, definition)
    assert superuser_entries(archive(one)) == ((one,) if privileged else ())


def test_a_cast_of_the_databases_own_type_needs_no_superuser_and_comments_go_with_what_they_are_about() -> None:
    own = entry(1, "TYPE", "CREATE TYPE public.t AS ENUM ('a');")
    cast = entry(2, "CAST", "CREATE CAST (public.t AS text) WITH INOUT;", 1)
    trigger = entry(3, "EVENT TRIGGER")
    comment = entry(4, "COMMENT", "COMMENT ON EVENT TRIGGER x IS 'y';", 3)
    assert superuser_entries(archive(own, cast, trigger, comment)) == (trigger, comment)


def test_entries_come_in_turns_so_that_each_finds_what_it_needs() -> None:
    schema, operator_class = entry(1, "SCHEMA"), entry(2, "OPERATOR CLASS", "", 1)
    table, index = entry(3, "TABLE", "", 1), entry(4, "INDEX", "", 3, 2)
    cast = entry(5, "CAST", "", 4)
    assert in_turns([schema, operator_class, table, index, cast], [operator_class, cast]) == [
        [schema, table],
        [operator_class],
        [index],
        [cast],
    ]
    assert with_dependents([schema, operator_class, table, index, cast], [operator_class]) == (
        operator_class,
        index,
        cast,
    )
