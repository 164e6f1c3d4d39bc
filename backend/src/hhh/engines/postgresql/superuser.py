"""Which entries of a dump only a superuser may create, and in which order they and the others come."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.objects import NOTES

#: The check by which the operator accepts that a superuser creates what only a superuser may.
SUPERUSER_CHECK = "superuser_objects"

_ALWAYS = frozenset(
    {
        "ACCESS METHOD",
        "EVENT TRIGGER",
        "FOREIGN DATA WRAPPER",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "PROCEDURAL LANGUAGE",
        "PUBLICATION TABLES IN SCHEMA",
        "SHELL TYPE",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
        "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE",
        "TRANSFORM",
    }
)
#: The second line of a function that pg_dump writes (https://github.com/postgres/postgres, dumpFunc): its arguments
#: are all before.
_FUNCTION_LINE = re.compile(r"^    LANGUAGE (\S+)(.*)((?:\n    SET .*)*)", re.MULTILINE)
_FUNCTION_SETTING = re.compile(r"^    SET \"?([^\"\s]+)\"? TO ", re.MULTILINE)
_UNTRUSTED = re.compile(r"(c|internal|plsh|plr|.*u)")
_ONLY_SUPERUSERS_DECLARE = re.compile(r"\b(LEAKPROOF|SUPPORT)\b")
#: ``context = 'superuser'`` in pg_settings of PostgreSQL 15 to 18, and names with a dot: those that the server does not
#: know are for superusers as well.
_SETTINGS_OF_SUPERUSERS = re.compile(
    r"""
    allow_in_place_tablespaces | allow_system_table_mods | backtrace_functions | commit_delay | compute_query_id
    | deadlock_timeout | debug_discard_caches | dynamic_library_path | event_triggers | extension_control_path
    | ignore_checksum_failure | jit_dump_bitcode | lc_messages | lo_compat_privileges | log_duration
    | log_error_verbosity | log_executor_stats | log_lock_failures | log_lock_waits | log_min_duration_sample
    | log_min_duration_statement | log_min_error_statement | log_min_messages | log_parameter_max_length
    | log_parser_stats | log_planner_stats | log_replication_commands | log_statement
    | log_statement_sample_rate | log_statement_stats | log_temp_files | log_transaction_sample_rate
    | max_stack_depth | session_preload_libraries | session_replication_role | temp_file_limit
    | track_activities | track_cost_delay_timing | track_counts | track_functions | track_io_timing
    | track_wal_io_timing | update_process_title | wal_compression | wal_consistency_checking | wal_init_zero
    | wal_recycle | zero_damaged_pages
    | .*\..*
    """,
    re.VERBOSE,
)
_BASE_TYPE = re.compile(r"CREATE TYPE (?:[^\s\"]|\"(?:[^\"]|\"\")*\")+ \(")
_FILES_OF_THE_SERVER = re.compile(r"^[ \t]+(filename|program) '", re.MULTILINE)
_OWN_TYPES = frozenset({"TYPE", "DOMAIN", "SHELL TYPE", "TABLE", "VIEW", "MATERIALIZED VIEW"})


def superuser_entries(archive: Archive, entries: Iterable[Entry] | None = None) -> tuple[Entry, ...]:
    """The entries that a role without superuser may not create, in the archive's order.

    Args:
        archive: the dump.
        entries: those that are restored; all, unless they are given.
    """
    own_types = {entry.dump_id for entry in archive.entries if entry.description in _OWN_TYPES}
    found: dict[int, Entry] = {}
    for entry in archive.entries if entries is None else entries:
        of_another = entry.description in NOTES and any(each in found for each in entry.dependencies)
        if of_another or _needs_superuser(entry, own_types):
            found[entry.dump_id] = entry
    return tuple(found.values())


def with_dependents(entries: Iterable[Entry], roots: Iterable[Entry]) -> tuple[Entry, ...]:
    """Those of the entries that are among the roots or can't be without one of them, in their order."""
    taken = {root.dump_id for root in roots}
    found = []
    for entry in entries:
        if entry.dump_id in taken or any(each in taken for each in entry.dependencies):
            taken.add(entry.dump_id)
            found.append(entry)
    return tuple(found)


def in_turns(entries: Sequence[Entry], privileged: Iterable[Entry]) -> list[list[Entry]]:
    """Entries in groups that are restored one after the other, so that each finds what it depends on.

    The first group is the plain role's, the second the superuser's, the third the plain role's again, and so on.

    Args:
        entries: in an order in which none comes before what it depends on.
        privileged: those of them that a superuser restores.
    """
    of_superuser = {entry.dump_id for entry in privileged}
    turns: dict[int, int] = {}
    groups: list[list[Entry]] = []
    for entry in entries:
        parity = int(entry.dump_id in of_superuser)
        turn = max((turns[each] for each in entry.dependencies if each in turns), default=parity)
        turns[entry.dump_id] = turn + (turn % 2 != parity)
        groups.extend([] for _ in range(turns[entry.dump_id] + 1 - len(groups)))
        groups[turns[entry.dump_id]].append(entry)
    return groups


def _needs_superuser(entry: Entry, own_types: set[int]) -> bool:
    if entry.description in _ALWAYS:
        return True
    of_kind = _BY_KIND.get(entry.description)
    if of_kind is not None:
        return of_kind(entry.definition)
    if entry.description == "CAST":
        with_own_type = any(each in own_types for each in entry.dependencies)
        return not with_own_type or "WITHOUT FUNCTION" in entry.definition
    return False


def _is_privileged_function(definition: str) -> bool:
    line = _FUNCTION_LINE.search(definition)
    if line is None:
        return False
    if any(_SETTINGS_OF_SUPERUSERS.fullmatch(name.lower()) for name in _FUNCTION_SETTING.findall(line[3])):
        return True
    return bool(_UNTRUSTED.fullmatch(line[1].strip('"').lower()) or _ONLY_SUPERUSERS_DECLARE.search(line[2]))


#: By what a definition of that kind says.
_BY_KIND: dict[str, Callable[[str], bool]] = {
    "FUNCTION": _is_privileged_function,
    "PROCEDURE": _is_privileged_function,
    "AGGREGATE": lambda definition: "STYPE = internal" in definition,
    "TYPE": lambda definition: _BASE_TYPE.match(definition.lstrip()) is not None,
    "FOREIGN TABLE": lambda definition: _FILES_OF_THE_SERVER.search(definition) is not None,
    "PUBLICATION": lambda definition: "FOR ALL TABLES" in definition,
}
