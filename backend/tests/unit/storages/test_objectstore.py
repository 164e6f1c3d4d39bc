import pytest

from hhh.storages.objectstore import part_size, parts_at_once

MIB = 1 << 20
GB = 10**9


@pytest.mark.parametrize("expected", [None, 0, 1, 5 * GB, 50 * GB, 100 * GB, 300 * GB, 500 * GB])
def test_an_upload_of_up_to_500_gb_stays_within_memory_and_the_number_of_parts(expected: int | None) -> None:
    part = part_size(expected)

    assert (parts_at_once(part) + 1) * part <= 110 * MIB
    assert part * 10_000 >= (500 * GB if expected is None else expected)


def test_an_object_may_be_twice_what_was_expected_while_memory_allows() -> None:
    for expected in (1 * GB, 50 * GB, 250 * GB):
        assert part_size(expected) * 10_000 >= 2 * expected


def test_parts_are_never_smaller_than_s3_allows_and_grow_on_above_500_gb() -> None:
    assert part_size(0) >= 5 * MIB
    assert part_size(4_000 * GB) * 10_000 > 4_000 * GB
    assert parts_at_once(part_size(4_000 * GB)) == 1


@pytest.mark.parametrize("writers", [2, 3, 16])
@pytest.mark.parametrize("expected", [0, 1 * GB, 500 * GB])
def test_writers_of_the_same_pieces_have_fewer_parts_under_way_each(writers: int, expected: int) -> None:
    part = part_size(expected)

    at_once = parts_at_once(part, writers)

    assert 1 <= at_once <= parts_at_once(part)
    # Above one each they would fit even if no two held the same bytes.
    assert at_once == 1 or writers * (at_once + 1) * part <= 110 * MIB
