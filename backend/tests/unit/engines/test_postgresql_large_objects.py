"""What makes the privileges that large objects had of those that new ones have."""

import pytest

from hhh.engines.postgresql.large_object_privileges import changes
from hhh.engines.postgresql.large_objects import ranges_of, roles_of_privileges
from hhh.schemas.facts import LargeObjectFacts, LargeObjectGrant, LargeObjectPrivileges

_OWN = (("o", "o", "SELECT", False), ("o", "o", "UPDATE", False))


def privileges(*grants: tuple[str, str, str, bool]) -> LargeObjectPrivileges:
    told = [
        LargeObjectGrant(grantor=grantor, grantee=grantee, privilege=privilege, is_grantable=is_grantable)
        for grantor, grantee, privilege, is_grantable in grants
    ]
    return LargeObjectPrivileges(owner="o", grants=told, count=1, objects="1")


def statements(*grants: tuple[str, str, str, bool], is_owners: bool = True) -> list[str]:
    return [
        f"{change.by}> {change.about([7, 4294967295]).as_string(None)}"
        for change in changes(privileges(*grants), is_owners=is_owners)
    ]


def test_nobody_grants_before_he_was_granted_it() -> None:
    chain = (("c", "d", "SELECT", False), ("b", "c", "SELECT", True), ("o", "b", "SELECT", True))
    assert statements(*_OWN, *chain) == [
        '> GRANT SELECT ON LARGE OBJECT 7, 4294967295 TO "b" WITH GRANT OPTION',
        'b> GRANT SELECT ON LARGE OBJECT 7, 4294967295 TO "c" WITH GRANT OPTION',
        'c> GRANT SELECT ON LARGE OBJECT 7, 4294967295 TO "d"',
    ]


def test_what_goes_together_is_one_statement() -> None:
    assert statements(*_OWN, ("o", "", "UPDATE", False), ("o", "", "SELECT", False)) == [
        "> GRANT SELECT, UPDATE ON LARGE OBJECT 7, 4294967295 TO PUBLIC",
    ]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ((), []),
        ((("o", "o", "SELECT", False),), ['> GRANT SELECT ON LARGE OBJECT 7, 4294967295 TO "o"']),
        (
            (("o", "o", "SELECT", True), ("o", "o", "UPDATE", True)),
            ['> GRANT SELECT, UPDATE ON LARGE OBJECT 7, 4294967295 TO "o" WITH GRANT OPTION'],
        ),
    ],
)
def test_what_an_owner_took_from_himself_is_taken_from_him_and_from_no_other(
    own: tuple[tuple[str, str, str, bool], ...], expected: list[str]
) -> None:
    revoked = '> REVOKE SELECT, UPDATE ON LARGE OBJECT 7, 4294967295 FROM "o"'
    assert statements(*own) == [revoked, *expected]
    assert statements(*own, is_owners=False) == []


def test_grants_that_nobody_could_have_made_are_tried_and_do_not_go_on_for_ever() -> None:
    assert len(statements(*_OWN, ("x", "y", "SELECT", True), ("y", "x", "SELECT", True))) == 2


def test_numbers_are_read_as_they_are_written() -> None:
    assert list(ranges_of("5 7..9 4294967295")) == [(5, 5), (7, 9), (4294967295, 4294967295)]


def test_roles_that_privileges_name_are_those_of_no_server_by_itself() -> None:
    facts = LargeObjectFacts(
        count=1,
        total_bytes=0,
        privileges=[privileges(("a", "", "SELECT", False), ("a", "pg_monitor", "SELECT", False))],
    )
    assert roles_of_privileges(facts) == {"o", "a"}
