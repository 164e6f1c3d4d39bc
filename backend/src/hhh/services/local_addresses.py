"""The rule of ``HHH_REFUSE_LOCAL_ADDRESSES``, for what somebody registers; what the settings name is the operator's.

Asked when something is registered and each time it is opened, since a name may lead elsewhere by then. Between this
look and the connection a name may change once more: who can't trust the names' server closes those ways by a firewall.
"""

from __future__ import annotations

from hhh.core.addresses import refuse_local_host, refuse_local_url
from hhh.core.config import Settings
from hhh.engines.base import EngineKind
from hhh.engines.postgresql.url import parse_url
from hhh.engines.registry import engine_for
from hhh.storages.options import Options


def refuse_local_target(settings: Settings, url: str) -> None:
    """Refuses a database that is reached over this machine's own addresses; a SQLite file is reached over none.

    Raises:
        InvalidInput: the setting forbids it.
    """
    if not settings.refuse_local_addresses or engine_for(url).kind is not EngineKind.POSTGRESQL:
        return
    parameters = parse_url(url).parameters
    for name in ("host", "hostaddr"):
        if name in parameters:
            refuse_local_host(parameters[name])


def refuse_local_store(settings: Settings, options: Options) -> None:
    """Refuses a store whose server is reached so; without one in its options it is the provider's, or the operator's.

    Raises:
        InvalidInput: the setting forbids it.
    """
    if settings.refuse_local_addresses and "endpoint_url" in options:
        refuse_local_url(options["endpoint_url"])


def refuse_local_receiver(settings: Settings, url: str) -> None:
    """Refuses a URL that alerts would be sent to.

    Raises:
        InvalidInput: the setting forbids it.
    """
    if settings.refuse_local_addresses:
        refuse_local_url(url)
