"""Options of a registered store: what an update keeps of them, and what may be shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from hhh.models import Store
from hhh.services.sealing import Sealing, store_owner
from hhh.storages.options import NONE, Options, kinds_of
from hhh.storages.registry import scheme_of


def sealed(sealing: Sealing, session: Session, name: str, options: Options) -> str:
    """What the row keeps.

    Raises:
        ConfigurationError: as for `Sealing.seal`.
    """
    return sealing.seal(session, json.dumps(dict(options), sort_keys=True), owner=store_owner(name))


def opened(sealing: Sealing, row: Store) -> Options:
    """The options of a store, its secrets among them.

    Raises:
        ConfigurationError: they were sealed with another key.
    """
    options: dict[str, str] = json.loads(sealing.open(row.sealed_options, owner=store_owner(row.name)))
    return options


def shown(url: str, options: Options) -> tuple[Mapping[str, str], Sequence[str]]:
    """The options that are no secret, and the names of those that are."""
    kinds = kinds_of(scheme_of(url))
    secrets = [name for name in options if name not in kinds or kinds[name].secret]
    return {name: value for name, value in options.items() if name not in secrets}, sorted(secrets)


def merged(row: Store, known: Options, url: str, given: Mapping[str, str | None], *, whole: bool) -> Options:
    """The options after an update.

    Secrets that are not given are kept, all or none: a token belongs to its key. None is kept where the account or the
    server is another one, since they were given for that one.

    Args:
        row: of the store.
        known: its options.
        url: that it is to have.
        given: by name; None takes one away.
        whole: whether options that are no secret and not given go.
    """
    kinds = kinds_of(scheme_of(url))
    if scheme_of(row.url) != scheme_of(url):
        known = NONE
    secrets = [name for name, kind in kinds.items() if kind.secret]
    renewed = any(given.get(name) for name in secrets)
    # Where a secret stays, so does what it is bound to, unless that is named.
    stays = [name for name, kind in kinds.items() if not kind.secret and (not whole or (kind.binds and not renewed))]
    after: dict[str, str | None] = {**{name: known[name] for name in stays if name in known}, **given}
    same_server = all(after.get(name) == known.get(name) for name, kind in kinds.items() if kind.binds)
    if same_server and not renewed:
        after = {**{name: known[name] for name in secrets if name in known}, **after}
    return {name: value for name, value in after.items() if value is not None}
