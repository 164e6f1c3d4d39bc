"""What a server says where something that a dump needs is not installed on its machine, or does not fit there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

#: By what the server says in English, which throw-away servers speak; each group names what is lacking.
#: From its sources: `extension.c`, `dfmgr.c`, `pg_locale.c`, `pg_collation.c`, `ts_utils.c`, `ts_locale.c`, `fd.c`, and
#: `foreign.c`, `postgres_fdw`, `dblink`.
_SAID: Final[tuple[tuple[re.Pattern[str], Callable[[str], str]], ...]] = tuple(
    (re.compile(pattern), told)
    for pattern, told in (
        (
            r'extension "([^"]*)" is not available|could not open extension control file "([^"]*)"',
            lambda name: f"The extension {name} is not installed here: install its package for this major",
        ),
        (
            r'extension "([^"]*)" has no installation script',
            lambda name: f"The extension {name} is here in another version: install the one of the backup",
        ),
        (
            r'could not (?:access file|load library) "([^"]*)"|could not find function "[^"]*" in file "([^"]*)"',
            lambda name: f"The library {name} is not installed here, or another one: install its package",
        ),
        (
            (
                r'collation "([^"]*)" for encoding "[^"]*" does not exist|could not create locale "([^"]*)"'
                r'|invalid (?:LC_\w+ )?locale name:? "([^"]*)"|could not open collator for locale "([^"]*)"'
                r'|ICU locale "([^"]*)" has unknown language|(ICU) is not supported in this build'
            ),
            lambda name: f"The locale {name} is not on this machine: install it (`locale-gen`, or ICU)",
        ),
        (
            r'could not open (?:dictionary|affix|stop-word|thesaurus|synonym|text search)[\w -]* file "([^"]*)"',
            lambda name: f"The file {name} of a text search dictionary is not here: copy it from the source's machine",
        ),
        (
            r'([\w-]+)"? (?:must be preloaded|(?:must|can only) be (?:pre)?loaded via "?shared_preload_libraries)',
            lambda name: (
                f"The library {name} must be loaded as the server starts, which throw-away servers do not do: name a "
                "server that has it in its shared_preload_libraries (`hhh target set … --drill-server`)"
            ),
        ),
        (
            # A materialized view is filled anew, and where it reads elsewhere, there is neither network nor password.
            (
                r'could not connect to server "([^"]*)"|user mapping not found for user "[^"]*", server "([^"]*)"'
                r'|user mapping not found for "|could not establish connection|Non-superusers? (?:must prov|cannot con)'
            ),
            lambda name: (
                f"The foreign server {name or 'of a view'} can't be reached by a drill, and the dump reads from it"
            ),
        ),
        (
            # A value of type regrole or aclitem is no dependency, so that no drill knows to make that role.
            r'COPY failed for table ".*?": ERROR:  role "(.*?)" does not exist',
            lambda name: (
                f"The role {name}, which rows name, is not there: name a server that has it "
                "(`hhh target set … --drill-server`)"
            ),
        ),
        (
            r"No space left on device|Disk quota exceeded",
            lambda _: "The disk of the scratch folder is full: free some space, or set HHH_SCRATCH_DIR",
        ),
        (
            r"out of memory|[Cc]annot allocate memory|was ended by SIGKILL",
            lambda _: "The memory of this machine does not suffice for the restore",
        ),
        (
            r"server closed the connection unexpectedly|the database system is (?:shutting down|in recovery mode)",
            lambda _: "The throw-away server was lost while it was restored to",
        ),
    )
)


def lacking(error: str) -> str | None:
    """See `hhh.engines.proving.Prover.lacking`."""
    for pattern, told in _SAID:
        if found := pattern.search(error):
            return told(next((name for name in found.groups() if name), ""))
    return None
