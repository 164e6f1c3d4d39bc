"""Partitions that share rows out anew as they are restored: only all of them together can be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from hhh.engines.fingerprints import added_up
from hhh.schemas.facts import TableFacts

_Name: TypeAlias = tuple[str, str]
_Partitions: TypeAlias = Mapping[_Name, Mapping[_Name, TableFacts]]


def together(expected: Sequence[TableFacts], found: Sequence[TableFacts]) -> tuple[list[TableFacts], list[TableFacts]]:
    """Both sides, each with one entry in the place of such partitions: the sum of them, named as their root.

    Where one side has other partitions than the other, they stay as they are: one is missing.
    """
    # What was restored tells the roots also of backups that do not: of imports, and of earlier releases.
    roots = {_name(table): table.root for table in (*expected, *found) if table.root is not None}
    before, after = _by_root(expected, roots), _by_root(found, roots)
    same = {root for root in before if before[root].keys() == after.get(root, {}).keys()}
    return _summed(expected, roots, before, same), _summed(found, roots, after, same)


def _name(table: TableFacts) -> _Name:
    return table.schema_name, table.name


def _by_root(tables: Sequence[TableFacts], roots: Mapping[_Name, _Name]) -> _Partitions:
    partitions: dict[_Name, dict[_Name, TableFacts]] = defaultdict(dict)
    for table in tables:
        if (root := roots.get(_name(table))) is not None:
            partitions[root][_name(table)] = table
    return partitions


def _summed(
    tables: Sequence[TableFacts], roots: Mapping[_Name, _Name], partitions: _Partitions, summed: set[_Name]
) -> list[TableFacts]:
    others = [table for table in tables if roots.get(_name(table)) not in summed]
    return [*others, *(_sum(root, [*partitions[root].values()]) for root in sorted(summed))]


def _sum(root: _Name, partitions: Sequence[TableFacts]) -> TableFacts:
    schema, name = root
    return TableFacts(
        schema_name=schema,
        name=name,
        rows=sum(each.rows for each in partitions),
        fingerprint=added_up([each.fingerprint for each in partitions]),
    )
