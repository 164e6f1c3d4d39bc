"""Dumps in the custom format that somebody else made: their facts, as far as the dump tells them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hhh.core.errors import InvalidInput
from hhh.core.run import Run
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.contents import qualified
from hhh.engines.postgresql.rows import count_rows
from hhh.schemas.facts import (
    DatabaseProperties,
    ExtensionFacts,
    LargeObjectFacts,
    PostgresqlFacts,
    SequenceFacts,
    TableFacts,
)

#: What a fact is where the dump does not tell it.
UNKNOWN = "unknown"
_PRIVILEGES = frozenset({"ACL", "DEFAULT ACL"})
_PARTITIONED = re.compile(r"^PARTITION BY (?:RANGE|LIST|HASH) \(", re.MULTILINE)
_SET_TO = re.compile(r", (-?\d+), (true|false)\);\s*\Z")
_INCREMENT = re.compile(r"^[ \t]+INCREMENT BY (-?\d+)$", re.MULTILINE)
_START = re.compile(r"^[ \t]+START WITH (-?\d+)$", re.MULTILINE)
_IDENTIFIER = r'(?:"((?:[^"]|"")+)"|([^\W\d][\w$]*))'
_IN_SCHEMA = re.compile(rf"WITH SCHEMA {_IDENTIFIER};")
#: In privileges, names follow these words; all other names are consumed as a whole, so that nothing in them counts.
_ROLE = re.compile(rf"\b(?:TO|FROM|FOR ROLE|AUTHORIZATION|GRANTED BY) {_IDENTIFIER}|\"(?:[^\"]|\"\")*\"")
_MAPPED = re.compile(rf"\ACREATE USER MAPPING FOR {_IDENTIFIER}")
#: Of a policy, what comes after its roles.
_POLICY_ENDS = re.compile(r" USING \(| WITH CHECK \(|;")
_OPTION = re.compile(r" ([A-Z_]+) = (?:'((?:[^']|'')*)'|(\w+))")


def facts_of_dump(dump: Path, pg_restore: Path, run: Run) -> PostgresqlFacts:
    """What the dump itself tells, in the form of the facts of a backup. It is read once, whole; nothing is restored.

    What only the server knew is ``unknown`` or empty: the versions of extensions, the size of large objects. The
    warnings say what is left out.

    Args:
        dump: a file in the custom format.
        pg_restore: the program, of at least the version that made the dump.
        run: who may cancel.

    Raises:
        InvalidInput: it is plain SQL, or in another format, or has rows without tables.
        SourceUnreadable, ToolFailed: it is damaged.
        Cancelled, LeaseLost: the run is over.
    """
    archive = Archive.read(dump)
    _refuse_rows_alone(archive, dump)
    return PostgresqlFacts(
        server_version=archive.server_version,
        system_identifier=None,
        database=_database(archive),
        tables=list(_tables(archive, dump, pg_restore, run)),
        sequences=list(_sequences(archive)),
        large_objects=LargeObjectFacts(count=_large_objects(archive), total_bytes=None),
        extensions=[_extension(entry) for entry in archive.entries if entry.description == "EXTENSION"],
        roles=sorted(_roles(archive)),
        warnings=list(_warnings(archive)),
    )


def _refuse_rows_alone(archive: Archive, dump: Path) -> None:
    kinds = {entry.description for entry in archive.entries}
    if "TABLE DATA" in kinds and not kinds & {"TABLE", "EXTENSION"}:
        raise InvalidInput(
            f"The dump {dump.name} has rows and no tables, so that it can't be restored by itself",
            hint="make one without --data-only",
        )


def _tables(archive: Archive, dump: Path, pg_restore: Path, run: Run) -> Iterator[TableFacts]:
    with_rows = [entry for entry in archive.entries if entry.description == "TABLE DATA" and entry.has_data]
    counts = count_rows(dump, pg_restore, with_rows, run) if with_rows else []
    rows = {(entry.namespace, entry.tag): count for entry, count in zip(with_rows, counts, strict=True)}
    for entry in archive.entries:
        name = (entry.namespace, entry.tag)
        if entry.description == "TABLE" and (name in rows or not _PARTITIONED.search(entry.definition)):
            yield TableFacts(schema_name=entry.namespace, name=entry.tag, rows=rows.get(name, 0))


def _sequences(archive: Archive) -> Iterator[SequenceFacts]:
    values = {
        (entry.namespace, entry.tag): found
        for entry in archive.entries
        if entry.description == "SEQUENCE SET" and (found := _SET_TO.search(entry.definition))
    }
    for entry in archive.entries:
        if entry.description != "SEQUENCE":
            continue
        # Only names can come before: the last that looks like it is it.
        increment, start = _INCREMENT.findall(entry.definition), _START.findall(entry.definition)
        value = values.get((entry.namespace, entry.tag))
        if increment and (value or start):
            yield SequenceFacts(
                schema_name=entry.namespace,
                name=entry.tag,
                last_value=int(value[1] if value else start[-1]),
                is_called=value is not None and value[2] == "true",
                increment=int(increment[-1]),
            )


def _large_objects(archive: Archive) -> int:
    """Each has an entry of its own, since PostgreSQL 17 up to 1000 have one together, a line each."""
    single = sum(entry.description == "BLOB" for entry in archive.entries)
    groups = (entry.definition.split() for entry in archive.entries if entry.description == "BLOB METADATA")
    return single + sum(map(len, groups))


def _extension(entry: Entry) -> ExtensionFacts:
    schema = _IN_SCHEMA.search(entry.definition)
    return ExtensionFacts(name=entry.tag, version=UNKNOWN, schema_name=_name(schema[1], schema[2]) if schema else "")


def _roles(archive: Archive) -> set[str]:
    """Owners, who has privileges or has given them, and whom policies are for."""
    roles = {entry.owner for entry in archive.entries if entry.owner}
    for entry in archive.entries:
        if entry.description in _PRIVILEGES:
            roles |= _named(_ROLE.findall(entry.definition))
        roles |= roles_needed(entry)
    return roles


def roles_needed(entry: Entry) -> set[str]:
    """The roles without which an entry can't be made: those that a policy or a user mapping is for."""
    if entry.description == "POLICY":
        _, said, names = _POLICY_ENDS.split(entry.definition)[0].rpartition(" TO ")
        return _named(re.findall(_IDENTIFIER, names) if said else ())
    if entry.description == "USER MAPPING":
        return _named(_MAPPED.findall(entry.definition))
    return set()


def _named(found: Iterable[tuple[str, str]]) -> set[str]:
    return {_name(quoted, plain) for quoted, plain in found if (quoted or plain) and plain.upper() != "PUBLIC"}


def _name(quoted: str, plain: str) -> str:
    return quoted.replace('""', '"') or plain


def _database(archive: Archive) -> DatabaseProperties:
    """As its own entry says, which pg_dump leaves out of dumps of rows alone only."""
    entry = next((entry for entry in archive.entries if entry.description == "DATABASE"), None)
    said = "" if entry is None else entry.definition.rpartition(" WITH TEMPLATE = ")[2]
    options = {name: text.replace("''", "'") or word for name, text, word in _OPTION.findall(said)}
    locale = options.get("LOCALE", "")
    return DatabaseProperties(
        name=archive.database if entry is None else entry.tag,
        owner="" if entry is None else entry.owner,
        encoding=options.get("ENCODING", archive.encoding),
        locale_provider=options.get("LOCALE_PROVIDER", UNKNOWN if entry is None else "libc"),
        collation=options.get("LC_COLLATE", locale),
        character_type=options.get("LC_CTYPE", locale),
        icu_locale=options.get("ICU_LOCALE", options.get("BUILTIN_LOCALE")),
        collation_version=options.get("COLLATION_VERSION"),
        settings=[],
    )


def _warnings(archive: Archive) -> Iterator[str]:
    made = {(entry.namespace, entry.tag) for entry in archive.entries if entry.description == "TABLE"}
    for entry in archive.entries:
        if entry.description == "TABLE DATA" and (entry.namespace, entry.tag) not in made:
            yield f"The rows of {qualified(entry)} belong to an extension and are not counted"
        elif entry.description == "DATABASE PROPERTIES":
            yield "The settings of the database are in the dump and not in these facts"
        elif entry.description in {"SUBSCRIPTION", "USER MAPPING"}:
            yield f"The {entry.description.lower()} {entry.tag} may hold a password"
