"""What is in a dump, for people, by its table of contents."""

from __future__ import annotations

from hhh.engines.postgresql.archive import Archive, Entry

#: Entries that are no objects: settings of the session, rows, and what belongs to an object.
_NO_OBJECTS = frozenset(
    {"ENCODING", "STDSTRINGS", "SEARCHPATH", "TABLE DATA", "MATERIALIZED VIEW DATA", "STATISTICS DATA", "BLOBS"}
    | {"BLOB", "BLOB METADATA", "BLOB COMMENTS", "SEQUENCE SET", "SEQUENCE OWNED BY", "TABLE ATTACH", "INDEX ATTACH"}
    | {"ACL", "DEFAULT ACL", "COMMENT", "SECURITY LABEL", "DATABASE PROPERTIES"}
)


def contents(archive: Archive) -> list[tuple[str, str]]:
    """Each object as ``TYPE schema.name``, and its owner (empty where the dump has none), in the archive's order."""
    objects = (entry for entry in archive.entries if entry.description not in _NO_OBJECTS)
    return [(f"{entry.description} {qualified(entry)}", entry.owner) for entry in objects]


def definitions(archive: Archive) -> dict[tuple[str, str], str]:
    """The SQL that makes each table, by schema and name."""
    tables = (entry for entry in archive.entries if entry.description == "TABLE")
    return {(entry.namespace, entry.tag): entry.definition.strip() for entry in tables}


def qualified(entry: Entry) -> str:
    """Its name as people write it, unquoted: ``schema.name``."""
    return f"{entry.namespace}.{entry.tag}" if entry.namespace else entry.tag
