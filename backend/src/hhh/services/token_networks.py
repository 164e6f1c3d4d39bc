"""Where a token may be used from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from hhh.core.errors import InvalidInput

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: More are a mistake, or a list that belongs into a firewall.
MOST = 50
#: IPv4 addresses as sockets for both kinds show them: ``::ffff:192.0.2.1``.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def checked(networks: Iterable[str]) -> str:
    """Networks and single addresses as they are kept, comma-separated; empty: everywhere.

    Raises:
        InvalidInput: one is none, or there are too many.
    """
    kept = list(dict.fromkeys(str(_network(each.strip())) for each in networks if each.strip()))
    if len(kept) > MOST:
        raise InvalidInput(f"A token has at most {MOST} networks", hint="name larger ones, or leave it to a firewall")
    return ",".join(kept)


def is_within(address: str, networks: str) -> bool:
    """Whether a client's address is in one of the kept networks; where there are none, every address is."""
    if not networks:
        return True
    try:
        asking = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket, or a proxy that says nothing
        return False
    if isinstance(asking, ipaddress.IPv6Address) and asking.ipv4_mapped:
        asking = asking.ipv4_mapped
    return any(asking in ipaddress.ip_network(each) for each in networks.split(","))


def _network(given: str) -> _Network:
    try:
        network = ipaddress.ip_network(given, strict=False)
    except ValueError:
        raise InvalidInput(
            f"{given!r} is no network and no address", hint="e.g. 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        inner = network.network_address.ipv4_mapped
        return ipaddress.ip_network((int(inner) if inner else 0, network.prefixlen - _MAPPED.prefixlen))
    return network
