"""The lines of pg_restore, also where its jobs write into each other's."""

from itertools import combinations

from hhh.engines.postgresql.tool_lines import ToolLines

ONE = ["pg_restore:", " ", "error: ", 'COPY failed for table "one": ERROR:  no\nCONTEXT:  COPY one, line 1\n']
OTHER = ["pg_restore:", " ", "error: ", 'COPY failed for table "two": ERROR:  no\n']
SUMMARY = "pg_restore: warning: errors ignored on restore: 2\n"


def told(text: str) -> ToolLines:
    lines = ToolLines()
    for line in text.splitlines():
        lines.add(line)
    return lines


def mixed(positions: tuple[int, ...]) -> str:
    """Both messages in one stream: the pieces of the one at these positions."""
    ones, others = iter(ONE), iter(OTHER)
    return "".join(next(ones if at in positions else others) for at in range(len(ONE) + len(OTHER)))


def test_an_error_has_its_entry_its_details_and_its_command() -> None:
    lines = told(
        "pg_restore: while PROCESSING TOC:\n"
        "pg_restore: from TOC entry 3; 2606 16386 CONSTRAINT t t_pkey root\n"
        "pg_restore: error: could not execute query: ERROR:  no\n"
        "pg_restore: detail: why\n"
        "Command was: ALTER TABLE t\n"
        "pg_restore: warning: something\n" + SUMMARY
    )

    about = "TOC entry 3; 2606 16386 CONSTRAINT t t_pkey root"
    assert lines.errors == (f"could not execute query: ERROR:  no ({about})\nwhy\nCommand was: ALTER TABLE t",)
    assert lines.warnings == ["something"]


def test_of_two_errors_none_is_lost_however_their_pieces_are_mixed() -> None:
    for positions in combinations(range(8), 4):
        text = mixed(positions) + SUMMARY

        errors = told(text).errors

        assert len(errors) == 2, text
        assert '"one"' in "".join(errors), text
        assert '"two"' in errors[1] or '"two"' in errors[0] or "There are more" in errors[1], text


def test_what_could_not_be_told_apart_is_an_error_of_its_own() -> None:
    lines = told("pg_restore:pg_restore:  error: error: ONE\nTWO\n" + SUMMARY)

    assert lines.errors == (
        "ONE\nTWO",
        "There are more errors; pg_restore's jobs wrote them into each other's lines",
    )


def test_steps_that_are_mixed_with_an_error_make_no_other() -> None:
    lines = told("pg_restore:pg_restore: error: ONE\n while PROCESSING TOC:\n" + SUMMARY)
    assert lines.errors == ("ONE",)


def test_a_line_of_a_command_begins_no_error() -> None:
    lines = told("pg_restore: error: ERROR:  no\nCommand was: DO $$\n error: nothing\n$$\n" + SUMMARY)
    assert lines.errors == ("ERROR:  no\nCommand was: DO $$\n error: nothing\n$$",)


def test_commands_that_may_hold_passwords_are_left_out() -> None:
    lines = told("pg_restore: error: ERROR:  no\nCommand was: CREATE USER MAPPING FOR a\n OPTIONS (password 'x')\n")
    assert lines.errors == ("ERROR:  no",)
