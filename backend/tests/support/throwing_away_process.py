"""A drill in a process of its own: it restores a dump to a throw-away place, tells of it, and stays there until it is
killed or its standard input ends.

Standard input begins with one line of JSON, as `support.throwing_away.Drill` writes it.
"""

import json
import sys
from pathlib import Path

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.postgresql.throw_away import throw_away
from hhh.engines.restoring import RestoreSource
from hhh.schemas.facts import PostgresqlFacts


def main() -> None:
    order = json.loads(sys.stdin.readline())
    source = RestoreSource(
        facts=PostgresqlFacts.model_validate(order["facts"]),
        versions=order["versions"],
        raw_size=order["raw_size"],
        attachments={suffix: Path(path) for suffix, path in order["attachments"].items()},
        dump=Path(order["dump"]),
    )
    workplace = Workplace(
        Path(order["scratch"]), pg_bin_dir=Path(order["pg_bin_dir"]), hidden=tuple(map(Path, order["hidden"]))
    )
    with throw_away(source, order["server_url"], workplace, Unattended()) as place:
        built = PostgresqlRestorer().build(source, place.destination, workplace, Unattended())
        told = {
            "url": place.destination.url,
            "built": built.url,
            "errors": built.errors,
            "name": place.destination.name,
            "isolation": place.isolation,
            "warnings": place.warnings,
        }
        print(json.dumps(told), flush=True)  # noqa: T201  it is what the parent reads
        sys.stdin.read()


if __name__ == "__main__":
    main()
