"""The definitions of what was restored, held against those of the backup.

docs/decisions/0022-how-schemas-are-compared.md says why it is done like this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hhh.core.errors import EngineError
from hhh.core.run import Run
from hhh.core.text import counted
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import administration
from hhh.engines.postgresql.again import read_again
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.definitions import definitions, difference, name_of
from hhh.engines.postgresql.foreign import roles_needed
from hhh.engines.postgresql.notes import Roles
from hhh.engines.postgresql.objects import Identity
from hhh.engines.postgresql.passes import restorable
from hhh.engines.postgresql.schema_dump import schema_of
from hhh.engines.postgresql.superuser import superuser_entries, with_dependents
from hhh.engines.proving import Place
from hhh.engines.restoring import SCHEMA_DUMP, Built, RestoreSource
from hhh.schemas.restore import Difference


def compare_schemas(
    source: RestoreSource, built: Built, place: Place, workplace: Workplace, run: Run
) -> tuple[str, Sequence[Difference]]:
    """Compares the definitions of all objects; see `Prover.compare_schemas`.

    Raises:
        Lacking: there is no pg_dump for the server of the place.
        EngineError: it could not be done.
        Cancelled, LeaseLost: the run is over.
    """
    recorded = _recorded(source)
    expected = definitions(recorded.entries)
    found = definitions(schema_of(built.url, workplace, run).entries)
    unequal = [what for what in {**expected, **found} if expected.get(what) != found.get(what)]
    told = counted(len(expected), "definition", "definitions")
    if unequal:
        left_out = _left_out(recorded, place, workplace)
        unequal = [what for what in unequal if what not in left_out]
    if any(what in found for what in unequal):
        again = definitions(read_again(source, place.destination, workplace, run).entries)
        # What is missing stays so: what each restore loses is no less lost.
        unequal = [what for what in unequal if what not in found or again.get(what) != found[what]]
    return told, [difference(what, expected.get(what), found.get(what)) for what in unequal]


def _recorded(source: RestoreSource) -> Archive:
    """The schema dump of the backup; what was imported has its definitions in the dump itself."""
    path = source.attachments.get(SCHEMA_DUMP, source.dump)
    if path is None:
        raise EngineError("There is no dump of a PostgreSQL database to compare with")
    return Archive.read(path)


def _left_out(recorded: Archive, place: Place, workplace: Workplace) -> Collection[Identity]:
    """What could not be made at the place, as the restore has told: for want of a superuser, or of a role."""
    entries = restorable(recorded.entries)
    with administration(place.destination.url, workplace) as admin:
        roles = Roles(admin)
        privileged = () if admin.is_superuser else superuser_entries(recorded, entries)
    without_role = [entry for entry in entries if not all(map(roles.exists, roles_needed(entry)))]
    return {name_of(entry) for entry in with_dependents(entries, [*privileged, *without_role])}
