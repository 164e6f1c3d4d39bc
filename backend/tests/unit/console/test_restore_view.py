"""What the pages of restores make of receipts, messages, names and moments."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hhh.console.views.recovery_line import line_of
from hhh.console.views.restore_view import MOST_TABLES, receipt_view
from hhh.console.words import with_sizes
from hhh.engines.base import EngineKind
from hhh.schemas.facts import TableFacts
from hhh.schemas.restore import Difference, Receipt
from hhh.services.recovery_points import Point, PointPage
from hhh.services.whereabouts import Whereabouts

NOW = datetime(2025, 1, 31, 3, 0, tzinfo=UTC)


def receipt(tables: list[TableFacts], differences: list[Difference]) -> Receipt:
    return Receipt(
        source={"tables": 3, "rows": 3000},
        restored={"tables": 2, "rows": 2500},
        tables=tables,
        differences=differences,
        errors=[],
        warnings=[],
        duration_seconds=1,
        raw_bytes=1,
        bytes_per_second=1,
        kept=None,
        kept_until=None,
    )


def table(name: str, rows: int = 5, **more: object) -> TableFacts:
    return TableFacts.model_validate({"schema_name": "public", "name": name, "rows": rows, **more})


def point(number: int, *, level: str | None = None, good: bool = True) -> Point:
    taken = NOW - timedelta(hours=number)
    return Point(
        id=f"id-{number}",
        target="shop",
        backup_file=f"file-{number}",
        created_at=taken,
        stored_size=1,
        raw_size=1,
        level=level,
        pinned=False,
        is_stored=good,
        is_refuted=False,
    )


def test_tables_that_differ_stand_apart_from_those_that_do_not() -> None:
    seen = receipt_view(
        receipt(
            [table("orders", 5), table("people")],
            [
                Difference(name="rows of public.orders", expected="10", found="5"),
                Difference(name="rows of public.gone", expected="10", found="the table is missing"),
                Difference(name="sequence public.ids", expected="7", found="missing"),
            ],
        )
    )

    assert not seen.is_whole
    assert [(each.name, each.source, each.restored) for each in seen.differing] == [
        ("public.orders", "10", "5"),
        ("public.gone", "10", "the table is missing"),
    ]
    assert [each.name for each in seen.others] == ["sequence public.ids"]
    assert [each.name for each in seen.alike] == ["public.people"]
    assert seen.numbers == [("tables", "3", "2"), ("rows", "3,000", "2,500")]


def test_of_a_table_that_was_not_compared_by_itself_no_rows_of_the_backup_are_told() -> None:
    seen = receipt_view(
        receipt([table("part", root=("public", "whole")), table("spatial_ref_sys", extension="postgis")], [])
    )

    assert [(each.source, each.remark) for each in seen.alike] == [
        (None, "a partition, compared as part of public.whole"),
        (None, "of the extension postgis, which fills it"),
    ]


def test_of_very_many_tables_some_are_left_out() -> None:
    seen = receipt_view(receipt([table(f"t{number}") for number in range(MOST_TABLES + 7)], []))

    assert (len(seen.alike), seen.left_out, seen.is_whole) == (MOST_TABLES, 7, True)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("54656700416 bytes are free", "54.7 GB are free"),
        ("307200 bytes are needed in /x, 54656700416 are free", "307 kB are needed in /x, 54.7 GB are free"),
        ("Process 28241 has it open", "Process 28241 has it open"),
        ("pages of 65536 bytes", "pages of 65536 bytes"),
    ],
)
def test_bytes_in_messages_are_told_as_sizes(message: str, told: str) -> None:
    assert with_sizes(message).striptags() == told


def test_what_stands_in_a_message_beside_them_is_escaped() -> None:
    assert with_sizes("<b> 5000 bytes </b>").startswith("&lt;b&gt; <data")


def test_a_name_of_digits_alone_is_no_size_that_anything_could_have() -> None:
    name = f"/data/{'9' * 400} bytes"

    assert with_sizes(name) == name


@pytest.mark.parametrize("name", ["shop", "x" * 63, "é" * 31])
def test_a_proposed_name_fits_and_begins_like_the_database(name: str) -> None:
    proposed = Whereabouts("shop", EngineKind.POSTGRESQL, name, "", {}).free_name(NOW)

    assert len(proposed.encode()) <= 63
    assert proposed.endswith("_restored_20250131_0300")
    assert name.startswith(proposed.removesuffix("_restored_20250131_0300"))


def test_a_command_holds_whatever_a_database_is_called() -> None:
    where = Whereabouts("shop", EngineKind.POSTGRESQL, "shop", "db", {"host": "db", "user": "o'neil"})

    assert where.command("shop") == """psql 'host=db user=o\\'"'"'neil dbname=shop\'"""
    assert where.command("a=b; rm -rf ~").startswith("psql 'host=db")


def test_days_are_those_of_whoever_reads() -> None:
    page = PointPage([point(0), point(1), point(5)], None, None, EngineKind.SQLITE)

    def days(zone: str) -> list[tuple[str, int]]:
        return [(each.name, len(each.points)) for each in line_of(page, NOW, ZoneInfo(zone)).days]

    assert days("UTC") == [("Friday, 31 January 2025", 2), ("Thursday, 30 January 2025", 1)]
    assert days("America/New_York") == [("Thursday, 30 January 2025", 3)]


def test_without_a_proven_one_the_newest_good_one_is_chosen() -> None:
    page = PointPage([point(0, good=False), point(1), point(2)], None, None, EngineKind.SQLITE)
    line = line_of(page, NOW, ZoneInfo("UTC"))

    assert (line.chosen, line.apart) == ("id-1", None)
    assert [mark.look for mark in line.marks] == ["bad", "good", "good"]
    assert line.marks[0].percent > line.marks[-1].percent
