"""Messages and hints of errors, as pages tell them."""

import pytest

from hhh.console.words import advice, sentence


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("The disk is full", "The disk is full."),
        ("Done.", "Done."),
        ("Really?", "Really?"),
        ("", ""),
        ("see `hhh doctor`", "see <code>hhh doctor</code>."),
        ("`a` and `<b>`", "<code>a</code> and <code>&lt;b&gt;</code>."),
        ("one ` alone & <i>", "one ` alone &amp; &lt;i&gt;."),
    ],
)
def test_a_message_ends_with_a_stop_and_has_its_commands_as_code(told: str, shown: str) -> None:
    assert sentence(told) == shown


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("run `hhh migrate`", "Run <code>hhh migrate</code>."),
        ("`hhh users list` tells", "<code>hhh users list</code> tells."),
        ("e.g. file:///folder", "e.g. file:///folder."),
        ("HHH_STORAGE_URL is empty", "HHH_STORAGE_URL is empty."),
    ],
)
def test_a_hint_begins_with_a_capital_if_it_begins_with_a_word(hint: str, shown: str) -> None:
    assert advice(hint) == shown
