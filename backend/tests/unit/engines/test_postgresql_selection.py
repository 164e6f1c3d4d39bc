"""Names as operators write them, and archives of servers that are older than any here."""

import pytest

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.archive import Archive, Entry, Section
from hhh.engines.postgresql.selection import select
from hhh.engines.postgresql.table_names import Wanted, parse


def entry(dump_id: int, description: str, tag: str, *dependencies: int, definition: str = "") -> Entry:
    return Entry(
        dump_id=dump_id,
        tag=tag,
        description=description,
        section=Section.DATA if description == "TABLE DATA" else Section.PRE_DATA,
        definition=definition,
        drop_statement="",
        copy_statement="",
        namespace="" if description == "SCHEMA" else "public",
        owner="",
        tablespace="",
        dependencies=dependencies,
        has_data=description == "TABLE DATA",
    )


def archive(*entries: Entry) -> Archive:
    return Archive(
        format_version="1.13",
        server_version="12.1",
        dump_version="12.1",
        database="d",
        created_at=None,
        encoding="UTF8",
        entries=entries,
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shop", Wanted("shop", None)),
        ("Shop.Orders", Wanted("shop", "orders")),
        ('"Shop"."a.b ""c"""', Wanted("Shop", 'a.b "c"')),
        (" shop . orders_2$ ", Wanted("shop", "orders_2$")),
        ("größe.Ünder", Wanted("größe", "Ünder")),
        ('"new\nline"', Wanted("new\nline", None)),
    ],
)
def test_names_are_read_as_in_sql_and_written_so_that_they_are_read_again(written: str, meant: Wanted) -> None:
    assert parse(written) == meant
    assert parse(str(meant)) == meant


@pytest.mark.parametrize("written", ["", ".", "a.", "a.b.c", '"a', 'a"b"', '""', "a b", "1a", "a;b"])
def test_what_is_no_name_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of a table or schema"):
        parse(written)


def test_nothing_named_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No table is named"):
        select(archive(), [])


def test_a_table_in_another_case_or_schema_is_suggested_as_it_has_to_be_written() -> None:
    with pytest.raises(InvalidInput) as refused:
        select(archive(entry(1, "TABLE", "Orders")), ["public.Orders"])
    assert refused.value.hint == 'near to it are public."Orders"'


def test_partitions_of_old_servers_come_with_their_parent() -> None:
    attach = "CREATE TABLE public.p ();\nALTER TABLE ONLY public.t ATTACH PARTITION public.p DEFAULT;\n"
    old = archive(
        entry(1, "TABLE", "t"),
        entry(2, "TABLE", "p", 1, definition=attach),
        entry(3, "TABLE", "heir", 1, definition="CREATE TABLE public.heir (\n)\nINHERITS (public.t);\n"),
        entry(4, "TABLE DATA", "p", 2),
        entry(5, "TABLE DATA", "heir", 3),
    )
    selection = select(old, ["public.t"])
    assert [each.dump_id for each in selection.entries] == [1, 2, 4]
    assert selection.left_out == ("public.heir inherits from public.t and was not selected: its rows do not come",)
    assert [each.dump_id for each in select(old, ["public.p"]).entries] == [1, 2, 4]


def test_rows_that_were_ordered_by_foreign_keys_do_not_bring_each_other() -> None:
    ordered = archive(
        entry(1, "TABLE", "a"),
        entry(2, "TABLE", "b"),
        entry(3, "TABLE DATA", "a", 1),
        entry(4, "TABLE DATA", "b", 2, 3),
    )
    assert select(ordered, ["public.b"]).tables == ("public.b",)


def test_entries_that_need_each_other_or_what_is_not_there_do_no_harm() -> None:
    odd = archive(entry(1, "TABLE", "a", 2, 99), entry(2, "TYPE", "t", 1), entry(3, "TABLE DATA", "a", 1))
    assert [each.dump_id for each in select(odd, ["public.a"]).entries] == [1, 2, 3]


def test_of_thousands_of_names_that_are_not_there_the_first_are_told() -> None:
    dump = archive(*(entry(number, "TABLE", f"table_{number}") for number in range(1, 3000)))
    with pytest.raises(InvalidInput, match=r"public\.tabel_0.* and 9990 more") as refused:
        select(dump, [f"public.tabel_{number}" for number in range(10_000)])
    assert len(str(refused.value)) < 2000
