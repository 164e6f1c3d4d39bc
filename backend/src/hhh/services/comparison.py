"""What was restored, compared with the facts of its backup: a restore or a drill counts only without a difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from hhh.engines.fingerprints import are_comparable
from hhh.schemas.facts import (
    ExtensionFacts,
    Facts,
    LargeObjectFacts,
    LargeObjectPrivileges,
    PostgresqlFacts,
    SequenceFacts,
    SqliteFacts,
    TableFacts,
)
from hhh.schemas.restore import Difference
from hhh.services.partitions import together

#: How the differences of tables are called, before their names; proof reports find the counts of rows by them.
ROWS_OF = "rows of "
TABLE = "table "
_MISSING = "missing"
_NONE = "none"
#: What is kept in the header of a SQLite file. Not among them are the journal mode, which may be another beside the
#: destination, and the number of pages.
_HEADER = ("page_size", "encoding", "user_version", "application_id", "auto_vacuum")


def compare(expected: Facts, found: Facts, *, only: Collection[str] | None = None) -> Sequence[Difference]:
    """The differences; none means that everything that the facts tell is there.

    A sequence may be further than it was: it is read before the dump begins. An extension may be of another version,
    and there may be more of them: the server decides; so `compared_tables` are not those that another version filled.
    Content is compared where both sides have fingerprints of it that were taken in the same way.

    Args:
        expected: of the backup.
        found: of what was restored, in the same form.
        only: tables (``schema.name``) that were to be restored; None means all. With it, their rows alone are compared:
            what else there is may have been there before.
    """
    if expected.engine != found.engine:
        return [Difference(name="engine", expected=expected.engine, found=found.engine)]
    differences = list(_tables(*_compared(expected, found, only), only))
    if only is None:
        match expected, found:
            case PostgresqlFacts(), PostgresqlFacts():
                differences += _postgresql(expected, found)
            case SqliteFacts(), SqliteFacts():
                differences += _sqlite(expected, found)
    return differences


def compared_tables(expected: Facts, found: Facts, *, of: Facts | None = None) -> list[TableFacts]:
    """The tables that `compare` compares: the expected ones, or those of one side.

    Partitions between which a restore moves rows stand there as one, with the name of the table that they are of.
    """
    before, after = _compared(expected, found)
    return after if of is found else before


def _compared(
    expected: Facts, found: Facts, only: Collection[str] | None = None
) -> tuple[list[TableFacts], list[TableFacts]]:
    """Of both sides, what can be compared table by table."""
    left_out = _filled_by_others(expected, found)
    before, after = _without(expected.tables, left_out), _without(found.tables, left_out)
    if only is not None:
        before, after = (
            [each for each in side if f"{each.schema_name}.{each.name}" in only] for side in (before, after)
        )
    return together(before, after)


def _filled_by_others(expected: Facts, found: Facts) -> set[tuple[str, str]]:
    """Tables that an extension made which is there in another version, or of which the backup does not know it."""
    if not isinstance(expected, PostgresqlFacts) or not isinstance(found, PostgresqlFacts):
        return set()
    before = {(each.name, each.version) for each in expected.extensions}
    same = {each.name for each in found.extensions if (each.name, each.version) in before}
    return {
        (table.schema_name, table.name)
        for table in found.tables
        if table.extension is not None and table.extension not in same
    }


def _without(tables: Iterable[TableFacts], left_out: Collection[tuple[str, str]]) -> list[TableFacts]:
    return [table for table in tables if (table.schema_name, table.name) not in left_out]


def compared_contents(expected: Facts, found: Facts) -> int:
    """Of how many tables `compare` compares the content: those that have a fingerprint on both sides, taken alike."""
    before, after = _compared(expected, found)
    there = {(table.schema_name, table.name): table.fingerprint for table in after}
    return sum(are_comparable(table.fingerprint, there.get((table.schema_name, table.name))) for table in before)


def _tables(
    expected: Iterable[TableFacts], found: Iterable[TableFacts], only: Collection[str] | None
) -> Iterator[Difference]:
    left = {(table.schema_name, table.name): table for table in found}
    for table in expected:
        there = left.pop((table.schema_name, table.name), None)
        yield from _table(table, there)
    if only is None:
        for (schema, name), table in left.items():
            said = f"one with {table.rows} rows"
            yield Difference(name=f"{TABLE}{full_name(schema, name)}", expected=_NONE, found=said)


def _table(expected: TableFacts, found: TableFacts | None) -> Iterator[Difference]:
    name = full_name(expected.schema_name, expected.name)
    if found is None or found.rows != expected.rows:
        there = "the table is missing" if found is None else str(found.rows)
        yield Difference(name=f"{ROWS_OF}{name}", expected=str(expected.rows), found=there)
    elif are_comparable(expected.fingerprint, found.fingerprint) and expected.fingerprint != found.fingerprint:
        yield Difference(name=f"content of {name}", expected=str(expected.fingerprint), found=str(found.fingerprint))


def _postgresql(expected: PostgresqlFacts, found: PostgresqlFacts) -> Iterator[Difference]:
    yield from _sequences(expected.sequences, found.sequences)
    yield from _large_objects(expected.large_objects, found.large_objects)
    yield from _extensions(expected.extensions, found.extensions)


def _sequences(expected: Iterable[SequenceFacts], found: Iterable[SequenceFacts]) -> Iterator[Difference]:
    left = {(sequence.schema_name, sequence.name): sequence for sequence in found}
    for sequence in expected:
        restored = left.pop((sequence.schema_name, sequence.name), None)
        if restored is None or not _has_reached(restored, sequence):
            yield Difference(
                name=f"sequence {full_name(sequence.schema_name, sequence.name)}",
                expected=f"{_position(sequence)} or later",
                found=_MISSING if restored is None else _position(restored),
            )
    for schema, name in left:
        yield Difference(name=f"sequence {full_name(schema, name)}", expected=_NONE, found="one")


def _has_reached(restored: SequenceFacts, source: SequenceFacts) -> bool:
    """Whether it hands out no value again that the source has handed out."""
    if restored.increment != source.increment:
        return False
    if source.goes_back:  # it did, or will
        return True
    ahead = restored.last_value - source.last_value
    if ahead == 0:
        return restored.is_called or not source.is_called
    return (ahead > 0) == (source.increment > 0)


def _position(sequence: SequenceFacts) -> str:
    called = "handed out" if sequence.is_called else "to be handed out next"
    return f"{sequence.last_value} ({called}, increment {sequence.increment})"


def _large_objects(expected: LargeObjectFacts, found: LargeObjectFacts) -> Iterator[Difference]:
    if expected.count != found.count:
        yield Difference(name="large objects", expected=str(expected.count), found=str(found.count))
    if None not in (expected.total_bytes, found.total_bytes) and expected.total_bytes != found.total_bytes:
        yield Difference(
            name="bytes of large objects", expected=str(expected.total_bytes), found=str(found.total_bytes)
        )
    # Where roles were missing, what was restored has None: that was acknowledged, and is among the warnings.
    if expected.privileges is not None and found.privileges is not None:
        yield from _privileges(_who_may_what(expected.privileges), _who_may_what(found.privileges))


def _privileges(expected: Counter[str], found: Counter[str]) -> Iterator[Difference]:
    for each in sorted(expected.keys() | found.keys()):
        if expected[each] != found[each]:
            yield Difference(name=f"large objects with {each}", expected=str(expected[each]), found=str(found[each]))


def _who_may_what(privileges: Iterable[LargeObjectPrivileges]) -> Counter[str]:
    """How many large objects have the same privileges.

    Who granted them may be another: the server takes the owner where a grantor has become a member of him since.
    """
    counts: Counter[str] = Counter()
    for each in privileges:
        grants = {(grant.grantee, grant.privilege, grant.is_grantable) for grant in each.grants}
        told = [
            f"{privilege} for {grantee or 'PUBLIC'}{' with grant option' if is_grantable else ''}"
            for grantee, privilege, is_grantable in sorted(grants)
        ]
        counts[f"{', '.join(told) or 'no privileges'} (owner {each.owner})"] += each.count
    return counts


def _extensions(expected: Iterable[ExtensionFacts], found: Iterable[ExtensionFacts]) -> Iterator[Difference]:
    there = {extension.name for extension in found}
    for extension in expected:
        if extension.name not in there:
            yield Difference(name=f"extension {extension.name}", expected=extension.version, found=_MISSING)


def _sqlite(expected: SqliteFacts, found: SqliteFacts) -> Iterator[Difference]:
    before, after = set(expected.objects), set(found.objects)
    for kind, name in sorted(before - after):
        yield Difference(name=f"{kind} {name}", expected="one", found=_MISSING)
    for kind, name in sorted(after - before):
        yield Difference(name=f"{kind} {name}", expected=_NONE, found="one")
    for member in _HEADER:
        was, now = getattr(expected, member), getattr(found, member)
        if was != now:
            yield Difference(name=member, expected=str(was), found=str(now))


def full_name(schema: str, name: str) -> str:
    """How differences name a table or a sequence; those of SQLite are in no schema."""
    return f"{schema}.{name}" if schema else name
