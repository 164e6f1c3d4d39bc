"""Which entries of a dump a restore of some tables needs.

``pg_restore --table`` restores the bare table: without its defaults, sequences, keys, indexes and triggers, and says
nothing. Here the table of contents is followed: forwards to what an entry needs (schemas, types, functions,
sequences, parents), and back to what belongs to a selected table (rows, defaults, keys, indexes, triggers, policies,
comments, partitions). Privileges are not selected: they name roles, and come from the schema-only dump.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.dependencies import PARTS, RELATIONS, TABLES, VIEWS, Graph
from hhh.engines.postgresql.table_names import Wanted, nearest, parse

#: Of a whole schema, what is taken with all it needs. The rest of it only comes if it needs no other relations.
_ROOTS = TABLES | {"SEQUENCE", "TYPE", "DOMAIN"}
#: Not restored with some tables: privileges name roles, publications belong to the whole database.
_NEVER = frozenset({"ACL", "DEFAULT ACL", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA", "SUBSCRIPTION TABLE"})
#: What comes without what hangs on it, unless it was named.
_BARE = RELATIONS | {"EXTENSION", "SCHEMA"}
#: Nobody has to be told of these: what they belong to is told of.
_SILENT = frozenset({"COMMENT", "SECURITY LABEL", "INDEX ATTACH", "TABLE ATTACH", "SEQUENCE OWNED BY"})
_LARGE_OBJECTS = frozenset({"BLOBS", "BLOB", "BLOB METADATA"})
#: Names that are not in the dump: how many are told, and how much of each. Finding similar ones takes its time.
_MOST_TOLD, _LONGEST_TOLD = 10, 200
_WORDS = {"FK CONSTRAINT": "foreign key", "MATERIALIZED VIEW DATA": "content", "TABLE DATA": "rows"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What to restore."""

    #: In the archive's order, which is the one to restore in. Extensions are among them.
    entries: tuple[Entry, ...]
    #: ``schema.name`` of each table whose rows come along, as it is, without quotes.
    tables: tuple[str, ...]
    #: ``schema.name`` of each sequence that comes along with its value.
    sequences: tuple[str, ...]
    #: Names of the extensions that it needs.
    extensions: tuple[str, ...]
    #: Sentences for the operator: what belongs to the selected tables and does not come, or not as it was.
    left_out: tuple[str, ...]


def select(archive: Archive, wanted: Sequence[str]) -> Selection:
    """The entries that tables and schemas need, and what is left out.

    Args:
        archive: of the whole database.
        wanted: ``schema.table`` or ``schema``, quoted as in SQL: ``"Odd Name".t``; without quotes, upper case becomes
            lower case. Views and sequences may be named like tables.

    Raises:
        InvalidInput: nothing is named, a name is malformed, or it is not in the dump; all such are told at once, with
            the nearest names that are.
    """
    names = [parse(text) for text in wanted]
    if not names:
        raise InvalidInput("No table is named", hint="name them as schema.table, or a whole schema")
    graph = Graph(archive)
    _refuse_unknown(graph, names)
    taken = _Taken(graph, _roots(graph, names))
    taken.take_parts([entry for entry in archive.entries if _is_member(entry, names)])
    entries = tuple(entry for entry in archive.entries if entry.dump_id in taken.ids)
    return Selection(
        entries=entries,
        tables=_names(entries, "TABLE DATA"),
        sequences=_names(entries, "SEQUENCE SET"),
        extensions=tuple(entry.tag for entry in entries if entry.description == "EXTENSION"),
        left_out=tuple(dict.fromkeys(_left_out(graph, taken))),
    )


class _Taken:
    """What is selected so far."""

    def __init__(self, graph: Graph, roots: set[int]) -> None:
        self._graph = graph
        #: What comes with all that belongs to it.
        self.whole = set(roots)
        #: All that comes.
        self.ids: set[int] = set()
        #: What would belong to it, but needs relations that do not come.
        self.blocked: dict[int, list[Entry]] = {}
        self._take(roots)

    def take_parts(self, members: Sequence[Entry]) -> None:
        """Takes what belongs to what is taken, and of the members what can be taken, until nothing more comes."""
        waiting = [entry for entry in self._graph.entries.values() if entry.description in PARTS]
        while True:
            before = len(self.ids)
            for entry in (*members, *waiting):
                if entry.dump_id not in self.ids and (entry.description not in PARTS or self._belongs(entry)):
                    self._take_unless_blocked(entry)
            if len(self.ids) == before:
                return

    def _belongs(self, part: Entry) -> bool:
        return any(owner.dump_id in self.whole for owner in self._graph.owners(part))

    def _take_unless_blocked(self, entry: Entry) -> None:
        missing = self._missing(entry)
        if missing:
            self.blocked[entry.dump_id] = missing
            return
        self.blocked.pop(entry.dump_id, None)
        self._take([entry.dump_id])
        self.whole.add(entry.dump_id)

    def _missing(self, entry: Entry) -> list[Entry]:
        """The relations that it needs and that do not come with their rows."""
        # What a materialised view shows is computed anew: all that it reads must have its rows.
        there = set() if entry.description == "MATERIALIZED VIEW DATA" else self.whole
        needed = self._graph.closure([entry.dump_id], there) - self.whole - {entry.dump_id}
        return [
            self._graph.entries[each] for each in sorted(needed) if self._graph.entries[each].description in RELATIONS
        ]

    def _take(self, dump_ids: Iterable[int]) -> None:
        further = self._graph.closure(dump_ids, self.ids)
        self.ids |= further
        self.whole |= {each for each in further if self._graph.entries[each].description not in _BARE}


def _refuse_unknown(graph: Graph, names: Sequence[Wanted]) -> None:
    schemas = {Wanted(schema, None) for schema, _ in graph.by_name} | {Wanted(schema, None) for schema in graph.schemas}
    existing = schemas | {Wanted(*name) for name in graph.by_name}
    unknown = [name for name in names if name not in existing]
    if unknown:
        told, others = unknown[:_MOST_TOLD], existing - set(names)
        near = list(dict.fromkeys(each for name in told for each in nearest(name, others)))
        more = f" and {len(unknown) - len(told)} more" if len(unknown) > len(told) else ""
        raise InvalidInput(
            f"Not in the dump: {', '.join(str(name)[:_LONGEST_TOLD] for name in told)}{more}",
            hint=f"near to it are {', '.join(near)}" if near else "name them as schema.table, or a whole schema",
        )


def _roots(graph: Graph, names: Sequence[Wanted]) -> set[int]:
    schemas = {name.schema for name in names if name.name is None}
    roots = {graph.schemas[schema] for schema in schemas if schema in graph.schemas}
    roots |= {graph.by_name[name.schema, name.name].dump_id for name in names if name.name is not None}
    roots |= {
        entry.dump_id for entry in graph.entries.values() if entry.namespace in schemas and entry.description in _ROOTS
    }
    while more := {child for child, parent in graph.partitions.items() if parent in roots} - roots:
        roots |= more
    return roots


def _is_member(entry: Entry, names: Sequence[Wanted]) -> bool:
    if entry.description in PARTS or entry.description in _NEVER:
        return False
    return any(name.name is None and name.schema == entry.namespace for name in names)


def _names(entries: Iterable[Entry], description: str) -> tuple[str, ...]:
    return tuple(f"{entry.namespace}.{entry.tag}" for entry in entries if entry.description == description)


def _left_out(graph: Graph, taken: _Taken) -> Iterator[str]:
    """Sentences, each of one thing that belongs to what is selected and does not come, or not as it was."""
    for dump_id, entry in graph.entries.items():
        if dump_id in taken.ids:
            yield from _changed(graph, taken, entry)
        elif dump_id in taken.blocked:
            yield from _blocked(graph, entry, taken.blocked[dump_id])
        else:
            yield from _not_asked_for(graph, taken, entry)
    if any(entry.description in _LARGE_OBJECTS for entry in graph.entries.values()):
        yield "Large objects do not come along: they belong to no table"


def _changed(graph: Graph, taken: _Taken, entry: Entry) -> Iterator[str]:
    if entry.description in TABLES and entry.dump_id not in taken.whole:
        yield f"{_shown(entry)} comes without its rows: only its definition is needed"
    parent = graph.partitions.get(entry.dump_id)
    if parent is not None and parent not in taken.whole:
        yield (
            f"{_shown(entry)} is a partition of {_shown(graph.entries[parent])}, which was not selected: "
            "it comes without the foreign keys and triggers that it has from there"
        )
    owner = graph.owned.get(entry.dump_id)
    if owner is not None and owner not in taken.whole:
        yield f"The sequence {_shown(entry)} comes without {_shown(graph.entries[owner])}, to which it belongs"


def _blocked(graph: Graph, entry: Entry, missing: Sequence[Entry]) -> Iterator[str]:
    if entry.description in _SILENT:
        return
    names = ", ".join(map(_shown, missing))
    yield f"Left out: {_described(graph, entry)}, which needs {names}"


def _not_asked_for(graph: Graph, taken: _Taken, entry: Entry) -> Iterator[str]:
    used = [each for each in graph.of_kind(entry, RELATIONS) if each.dump_id in taken.whole]
    reader = graph.entries[graph.queries.get(entry.dump_id, entry.dump_id)]
    for each in used:
        if reader.description in VIEWS and reader.dump_id not in taken.blocked:
            yield f"The {reader.description.lower()} {_shown(reader)} reads {_shown(each)} and was not selected"
        elif entry.description == "PUBLICATION TABLE":
            publications = ", ".join(found.tag for found in graph.of_kind(entry, {"PUBLICATION"}))
            yield f"{_shown(each)} is not added to its publication {publications}"
        elif each.dump_id in graph.heirs.get(entry.dump_id, ()):
            yield f"{_shown(entry)} inherits from {_shown(each)} and was not selected: its rows do not come"


def _described(graph: Graph, entry: Entry) -> str:
    word = _WORDS.get(entry.description, entry.description.lower())
    for owner in graph.owners(entry):
        part = entry.tag.removeprefix(owner.tag).strip()
        return f"{word} {part} of {_shown(owner)}" if part else f"{word} of {_shown(owner)}"
    return f"{word} {_shown(entry)}"


def _shown(entry: Entry) -> str:
    return str(Wanted(entry.namespace, entry.tag))
