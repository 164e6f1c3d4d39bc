"""Names that a restore gives to databases."""

import pytest

from hhh.engines.postgresql.names import before_name, is_before_name, restore_name

TOKEN = "a1b2c3d4"


def test_a_name_says_what_it_is_and_of_which_restore() -> None:
    assert restore_name("shop", TOKEN) == "shop_restore_a1b2c3d4"
    assert before_name("shop", TOKEN) == "shop_before_a1b2c3d4"


@pytest.mark.parametrize("database", ["x" * 63, "é" * 31 + "x", "🦊" * 15 + "abc", "a\"b;--'" * 9])
def test_a_long_name_is_cut_between_characters_to_what_the_server_keeps(database: str) -> None:
    for name in (restore_name(database, TOKEN), before_name(database, TOKEN)):
        beginning = name[: name.rindex("_", 0, -9)]
        assert database.startswith(beginning)
        assert len(beginning) > 10
        assert 63 - 3 <= len(name.encode()) <= 63  # at most what one more character of four bytes did not fit into


@pytest.mark.parametrize("database", ["shop", "é" * 31])
def test_a_kept_database_is_known_by_its_name(database: str) -> None:
    assert is_before_name(before_name(database, TOKEN), database)


@pytest.mark.parametrize(
    "name", ["shop", "shop_before_", "shop_before_a1b2c3d", "shop_before_A1B2C3D4", "shop_restore_a1b2c3d4", ""]
)
def test_any_other_name_is_none_of_a_kept_database(name: str) -> None:
    assert not is_before_name(name, "shop")


def test_the_kept_database_of_another_one_is_not_this_ones() -> None:
    assert not is_before_name(before_name("shop2", TOKEN), "shop")
