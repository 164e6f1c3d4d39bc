"""What the entries of a dump define, by name, and how one definition differs from another."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hhh.engines.postgresql.archive import Entry, Section
from hhh.engines.postgresql.objects import NOTES, Identity, identity
from hhh.schemas.restore import Difference

MISSING = "missing"
NONE = "none"
_CONTENT = frozenset({"BLOB", "BLOB METADATA", "BLOB COMMENTS", "BLOBS", "MATERIALIZED VIEW DATA", "STATISTICS DATA"})
#: Settings of the session, what belongs to the database itself, privileges (they are taken over, as far as there are
#: roles for them), and what a restore leaves without its slot.
_NO_DEFINITIONS = frozenset(
    {"ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES", "ACL", "DEFAULT ACL"}
    | {"SUBSCRIPTION", "SUBSCRIPTION TABLE"}
)
#: What is said of these is not compared: an extension brings its own comment along.
_NOTED_ELSEWHERE = ("EXTENSION ", "LARGE OBJECT ", "DATABASE ", "SUBSCRIPTION ")
#: They are in every new database; whether a dump has them depends on their owner and on the version of pg_dump.
_BUILT_IN = frozenset({("SCHEMA", "public"), ("EXTENSION", "plpgsql")})
_BUILT_IN_COMMENT = "COMMENT ON SCHEMA public IS 'standard public schema'"
#: There are passwords in them.
_SECRETIVE = frozenset({"SERVER", "USER MAPPING", "FOREIGN DATA WRAPPER"})
_WORDS = {
    "FK CONSTRAINT": "foreign key",
    "INDEX ATTACH": "attached index",
    "ROW SECURITY": "row-level security of",
    "SEQUENCE OWNED BY": "owner of sequence",
    "TABLE ATTACH": "attached partition",
}
_USUAL_METHODS = frozenset({"", "heap"})
#: In signatures: a server may be set to quote all names, or only those that need it.
_NEEDLESSLY_QUOTED = re.compile(r'"([a-z_][a-z0-9_]*)"')
_LONGEST_LINE = 300
_BEFORE_DIFFERENCE = 60

#: The definitions of each object: several only where names have spaces, so that parts of two are called the same.
Definitions = Mapping[Identity, Sequence[str]]


def is_content(entry: Entry) -> bool:
    """Whether an entry is rows, values or large objects."""
    about_large_object = entry.description in NOTES and entry.tag.startswith("LARGE OBJECT ")
    return entry.section is Section.DATA or entry.description in _CONTENT or about_large_object


def name_of(entry: Entry) -> Identity:
    """By what the same object is known in another dump."""
    what = identity(entry)
    return what._replace(name=_NEEDLESSLY_QUOTED.sub(r"\1", what.name))


def definitions(entries: Iterable[Entry]) -> Definitions:
    """What defines something that every restore brings back, without owners and privileges."""
    found: defaultdict[Identity, list[str]] = defaultdict(list)
    for entry in entries:
        if _is_compared(entry):
            found[name_of(entry)].append(_definition(entry))
    return {what: sorted(texts) for what, texts in found.items()}


def called(what: Identity) -> str:
    """An object, for people: ``table public.orders``."""
    kind = _WORDS.get(what.kind, what.kind.lower())
    if what.kind in NOTES:
        return f"{kind} on {what.name}" + (f" in {what.schema}" if what.schema else "")
    # Operators have their schema in their names.
    has_schema = what.schema and not what.name.startswith(f"{what.schema}.")
    return f"{kind} {what.schema}.{what.name}" if has_schema else f"{kind} {what.name}"


def difference(what: Identity, expected: Sequence[str] | None, found: Sequence[str] | None) -> Difference:
    """How the definitions of one object differ, by their first line that does.

    Args:
        what: the object.
        expected: its definitions in the backup; None where it is not there.
        found: those in what was restored.
    """
    if expected is None or found is None or len(expected) != len(found):
        return Difference(name=called(what), expected=_counted(expected, NONE), found=_counted(found, MISSING))
    if what.kind in _SECRETIVE:
        return Difference(name=called(what), expected="as in the backup", found="another definition")
    one, other = next(pair for pair in zip(expected, found, strict=True) if pair[0] != pair[1])
    lines = _differing_lines(_lines(one), _lines(other))
    if lines is None:  # in what lines begin or end with
        lines = _differing_lines(one.splitlines(), other.splitlines())
    expected_line, found_line = _cut(*lines) if lines else ("", "")
    return Difference(name=called(what), expected=expected_line, found=found_line)


def _is_compared(entry: Entry) -> bool:
    if is_content(entry) or entry.description in _NO_DEFINITIONS:
        return False
    if entry.description in NOTES:
        return not entry.tag.startswith(_NOTED_ELSEWHERE) and _BUILT_IN_COMMENT not in entry.definition
    return (entry.description, entry.tag) not in _BUILT_IN


def _definition(entry: Entry) -> str:
    text = entry.definition.strip()
    # pg_restore sets it beforehand.
    return f"{text}\nUSING {entry.access_method};" if entry.access_method not in _USUAL_METHODS else text


def _counted(texts: Sequence[str] | None, none: str) -> str:
    if texts is None:
        return none
    return "one" if len(texts) == 1 else f"{len(texts)} of that name"


def _lines(definition: str) -> list[str]:
    """Without what changes where a line before or after it comes or goes."""
    return [line.strip().rstrip(",;") for line in definition.splitlines() if line.strip()]


def _differing_lines(expected: Sequence[str], found: Sequence[str]) -> tuple[str, str] | None:
    """The first line that differs on both sides, or that one side does not have."""
    same = 0
    while same < min(len(expected), len(found)) and expected[same] == found[same]:
        same += 1
    rest_expected, rest_found = expected[same:], found[same:]
    if not rest_expected and not rest_found:
        return None
    if not rest_found or (rest_found[0] in rest_expected and rest_expected[0] not in rest_found):
        return rest_expected[0], MISSING
    if not rest_expected or (rest_expected[0] in rest_found and rest_found[0] not in rest_expected):
        return NONE, rest_found[0]
    return rest_expected[0], rest_found[0]


def _cut(expected: str, found: str) -> tuple[str, str]:
    """Both from shortly before where they differ, if they are long."""
    same = 0
    while same < min(len(expected), len(found)) and expected[same] == found[same]:
        same += 1
    begin = max(0, same - _BEFORE_DIFFERENCE) if max(len(expected), len(found)) > _LONGEST_LINE else 0
    return _shown(expected, begin), _shown(found, begin)


def _shown(line: str, begin: int) -> str:
    text = line[begin : begin + _LONGEST_LINE]
    return ("…" if begin else "") + text + ("…" if begin + _LONGEST_LINE < len(line) else "")
