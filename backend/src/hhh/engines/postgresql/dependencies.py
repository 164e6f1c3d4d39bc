"""How the entries of a dump need each other, and which belong to which."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.objects import NOTES

TABLES = frozenset({"TABLE", "FOREIGN TABLE"})
VIEWS = frozenset({"VIEW", "MATERIALIZED VIEW"})
RELATIONS = TABLES | VIEWS
_INDEXES = frozenset({"INDEX", "CONSTRAINT"})
#: Parts whose tag is ``relation part``.
_NAMED_PARTS = frozenset(
    {"DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "ROW SECURITY"}
)
#: Of all other parts, the kinds of what they belong to, which they depend on.
_OWNERS: dict[str, AbstractSet[str]] = {
    "TABLE DATA": TABLES,
    "TABLE ATTACH": TABLES,
    "INDEX": RELATIONS,
    "INDEX ATTACH": _INDEXES,
    "STATISTICS": RELATIONS,
    "STATISTICS DATA": RELATIONS | _INDEXES,
    "MATERIALIZED VIEW DATA": VIEWS,
    "SEQUENCE": TABLES,
    "SEQUENCE SET": {"SEQUENCE"},
    "SEQUENCE OWNED BY": {"SEQUENCE"},
}
PARTS = _NAMED_PARTS | NOTES | frozenset(_OWNERS)
#: Up to PostgreSQL 13, the definition of a partition attaches it as well.
_IS_PARTITION = re.compile(r"\b(?:ATTACH PARTITION|PARTITION OF)\b")
_INHERITS = re.compile(r"^INHERITS \(", re.MULTILINE)


class Graph:
    """The entries of an archive by their dump ids, and the needs between them."""

    def __init__(self, archive: Archive) -> None:
        self.entries = {entry.dump_id: entry for entry in archive.entries}
        self.by_name = {
            (entry.namespace, entry.tag): entry
            for entry in archive.entries
            if entry.description in RELATIONS or entry.description == "SEQUENCE"
        }
        self.schemas = {entry.tag: entry.dump_id for entry in archive.entries if entry.description == "SCHEMA"}
        #: Partition → its parent; sequence → the table that owns it; table → those that it inherits from.
        self.partitions: dict[int, int] = {}
        self.owned: dict[int, int] = {}
        self.heirs: dict[int, set[int]] = defaultdict(set)
        #: The rule that holds a view's query → the view.
        self.queries: dict[int, int] = {}
        #: Needs that are no such thing, and needs that the archive does not have.
        self._optional: set[tuple[int, int]] = set()
        self._further: dict[int, set[int]] = defaultdict(set)
        for entry in archive.entries:
            self._relate(entry)

    def of_kind(self, entry: Entry, kinds: AbstractSet[str]) -> list[Entry]:
        """What an entry depends on directly and is of these kinds."""
        return [each for each in self._dependencies(entry) if each.description in kinds]

    def needs(self, dump_id: int) -> Iterator[int]:
        """What must be there so that an entry can be restored."""
        for needed in (*self.entries[dump_id].dependencies, *self._further[dump_id]):
            if needed in self.entries and (dump_id, needed) not in self._optional:
                yield needed

    def closure(self, dump_ids: Iterable[int], without: AbstractSet[int]) -> set[int]:
        """Entries and all that they need, directly or not, but not what is there already."""
        found: set[int] = set()
        waiting = [dump_id for dump_id in dump_ids if dump_id not in without]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting.extend(needed for needed in self.needs(each) if needed not in without)
        return found

    def owners(self, part: Entry) -> list[Entry]:
        """What a part belongs to. Where names have spaces, its tag may be that of parts of several relations."""
        if part.description in NOTES:
            return self._dependencies(part)
        if part.description in _NAMED_PARTS:
            return [
                each
                for each in self.of_kind(part, RELATIONS | {"DOMAIN"})
                if each.namespace == part.namespace and f"{part.tag} ".startswith(f"{each.tag} ")
            ]
        return self.of_kind(part, _OWNERS.get(part.description, frozenset()))

    def _dependencies(self, entry: Entry) -> list[Entry]:
        return [self.entries[each] for each in dict.fromkeys(entry.dependencies) if each in self.entries]

    def _relate(self, entry: Entry) -> None:
        schema = self.schemas.get(entry.namespace)
        if schema is not None:
            self._further[entry.dump_id].add(schema)
        relate = {
            "TABLE": self._relate_child,
            "TABLE ATTACH": self._relate_partition,
            "INDEX ATTACH": self._relate_index,
            "SEQUENCE OWNED BY": self._relate_sequence,
            "RULE": self._relate_rule,
            "TABLE DATA": self._relate_rows,
        }.get(entry.description)
        if relate is not None:
            relate(entry)

    def _relate_child(self, table: Entry) -> None:
        for parent in self.of_kind(table, TABLES):
            if _IS_PARTITION.search(table.definition):
                self.partitions[table.dump_id] = parent.dump_id
            elif _INHERITS.search(table.definition):
                self.heirs[table.dump_id].add(parent.dump_id)

    def _relate_partition(self, attach: Entry) -> None:
        """Since PostgreSQL 14, a partition is made as a table of its own and attached afterwards."""
        for partition in self.of_kind(attach, TABLES):
            for parent in self.of_kind(partition, TABLES):
                if (partition.namespace, partition.tag) == (attach.namespace, attach.tag):
                    self.partitions[partition.dump_id] = parent.dump_id
                    self._optional.add((partition.dump_id, parent.dump_id))

    def _relate_index(self, attach: Entry) -> None:
        indexes = self.of_kind(attach, _INDEXES)
        self._optional |= {(one.dump_id, other.dump_id) for one in indexes for other in indexes}

    def _relate_sequence(self, owned_by: Entry) -> None:
        """The sequence of a serial column needs its table only to be owned by it."""
        for sequence in self.of_kind(owned_by, {"SEQUENCE"}):
            for table in self.of_kind(sequence, TABLES):
                self.owned[sequence.dump_id] = table.dump_id
                self._optional.add((sequence.dump_id, table.dump_id))
                self._further[owned_by.dump_id].add(table.dump_id)

    def _relate_rule(self, rule: Entry) -> None:
        """A view that needs a primary key is made without its query first, which follows as a rule."""
        for view in self.of_kind(rule, VIEWS):
            if (rule.namespace, rule.tag) == (view.namespace, f"{view.tag} _RETURN"):
                self._further[view.dump_id].add(rule.dump_id)
                self.queries[rule.dump_id] = view.dump_id

    def _relate_rows(self, rows: Entry) -> None:
        """Without a schema, pg_dump orders rows by foreign keys."""
        self._optional |= {(rows.dump_id, other.dump_id) for other in self.of_kind(rows, {"TABLE DATA"})}
